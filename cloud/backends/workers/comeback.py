"""When the next worker can be given work while there is none: as soon as starting one has taken before."""

from __future__ import annotations

# The share of the newest start in the average: starts are few, and the machine is busier at some than at others.
_SHARE = 0.5


class Comeback:
    """An expectation on a given clock, in seconds. takes_s: how long it takes to start a worker and load its models."""

    def __init__(self) -> None:
        self.takes_s, self._at = 0.0, 0.0

    def came(self, took_s: float) -> None:
        """A worker was started, and it took so long."""
        self.takes_s += (_SHARE if self.takes_s else 1.0) * (took_s - self.takes_s)

    def awaited(self, now: float, pause_s: float = 0.0) -> None:
        """One is being started, after a pause."""
        self._at = now + pause_s + self.takes_s

    def at(self, now: float) -> float:
        """When it is expected; what is overdue may come at any moment."""
        return max(self._at, now)
