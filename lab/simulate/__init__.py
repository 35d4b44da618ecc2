"""Policies under networks, loads and devices that are drawn, with the selection code that serves."""
