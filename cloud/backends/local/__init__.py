"""Models run on this machine: which are loaded under the memory that they may take, and how long each takes.

What was learned is kept on disk for the next start.
"""
