"""Phones and boards that can be emulated: their cards, the time model, calibration to this host, and the emulation."""
