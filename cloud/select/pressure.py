"""What those that are refused would pay for a worker's time: nobody in the queue speaks for them."""

from __future__ import annotations

# The share of the newest request in the average, over some twenty of them: a burst counts, and is soon forgotten.
_SHARE = 0.05


class Pressure:
    """share: of the recent requests that an idle server could have answered, how many were refused, from 0 to 1."""

    def __init__(self) -> None:
        self.share = 0.0

    def admitted(self) -> None:
        """One more was let in."""
        self.share -= _SHARE * self.share

    def refused(self) -> None:
        """One more was not, or had to be let go after all."""
        self.share += _SHARE * (1 - self.share)

    def raised(self, fill: float) -> float:
        """A queue's fill, from 0 to 1, with those counted that are not in it."""
        return fill + (1 - fill) * self.share
