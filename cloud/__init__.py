"""The CNNSelect endpoint, put together: its rooms joined to what the operator set, and run as one process.

Each room below knows only those under it; here alone HTTP meets the service, and the backends are made.
"""
