"""Which numbers are times: how long a deadline may be, and beyond what nobody is believed."""

from __future__ import annotations

import math

# The longest deadline, wait or reply that can be asked for, ms: an hour. Who asks for more has mistaken the unit.
LONGEST_MS = 3_600_000
# What another process tells of its times is believed up to 11 days, in ms: no request or inference lasts so long, but
# microseconds that were taken for milliseconds of an hour still pass, and floats stay far from overflowing.
BELIEVABLE_MS = 1e9


def time_ms(ms: float) -> float:
    """The argument, if it is a time in ms. Raises ValueError for what is not."""
    if not 0 <= ms < math.inf:
        raise ValueError(f"{ms} is not a time in ms")
    return ms
