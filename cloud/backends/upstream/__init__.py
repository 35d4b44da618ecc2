"""Models that another Open Inference Protocol server runs.

It may be gone, slow or wrong at any moment, and what it sends is not trusted.
"""
