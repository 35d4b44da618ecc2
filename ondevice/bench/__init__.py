"""Measure how long a model takes: one child process a measurement, one record behind every way of printing it."""
