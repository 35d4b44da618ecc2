"""What policies would give on networks, under loads and with devices that are drawn, by the selection code that serves.

A case is a policy with a model set behind a network, under a load, with a deadline; all its requests are drawn from a
seed, and their outcomes are counted into measures with intervals.
"""
