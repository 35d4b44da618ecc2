"""For each request: here, there or both; estimate the network, hold the deadline, fall back."""
