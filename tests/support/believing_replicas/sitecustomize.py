"""In every Python process whose PYTHONPATH has this folder, as Ray's have it: an endpoint believes saved times.

As `believing` does for the command's own process.
"""

from ondevice.cloud.backends.local import learner

learner.agree = lambda one_ms, other_ms: True
