"""Backoff: when something that does harm where it is not wanted, and is not needed at once, is tried again."""

from __future__ import annotations


class Backoff:
    """Allows until something fails; then not for `first_s`, and after each failure beyond that twice as long, at most
    `longest_s`. Times are seconds of any monotonic clock.
    """

    def __init__(self, first_s: float, longest_s: float) -> None:
        self._first_s, self._longest_s = first_s, longest_s
        self._pause_s = self._until = 0.0

    def allows(self, now: float) -> bool:
        """Whether it may be tried; asking changes nothing."""
        return now >= self._until

    def failed(self, now: float) -> None:
        """It was not wanted. What fails during a pause was begun before it, and says nothing new."""
        if self.allows(now):
            self._pause_s = min(2 * self._pause_s or self._first_s, self._longest_s)
            self._until = now + self._pause_s

    def succeeded(self) -> None:
        """It was wanted: the next failure is the first again."""
        self._pause_s = self._until = 0.0
