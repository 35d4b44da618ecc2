"""What those that are refused would pay for a worker's time: nobody in the queue speaks for them."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable

# So many of the newest requests are looked at: a burst counts, and is soon forgotten.
_RECENT = 20
# Who has less than this part of another's time is in more of a hurry. Of those like itself a request sees the queue.
_HURRIED = 0.7


class Pressure:
    """Of the recent requests that an idle server could have answered, those that were refused, by their budgets, ms."""

    def __init__(self) -> None:
        self._refused_ms: deque[float] = deque([math.inf] * _RECENT, _RECENT)

    def admitted(self) -> None:
        """One more was let in."""
        self._refused_ms.append(math.inf)

    def refused(self, budget_ms: float) -> None:
        """One more was not, or had to be let go after all."""
        self._refused_ms.append(budget_ms)

    @property
    def recent_ms(self) -> list[float]:
        """The newest requests, the newest last: the budgets of those that were refused, inf for those let in."""
        return list(self._refused_ms)

    def begin(self, recent_ms: Iterable[float]) -> None:
        """Take these for the newest requests, as another server's `recent_ms` has them."""
        self._refused_ms.extend(recent_ms)

    def raised(self, fill: float, budget_ms: float) -> float:
        """A queue's fill, from 0 to 1, for a request with this budget, with those counted that are not in it."""
        hurried_ms = _HURRIED * budget_ms
        share = len([ms for ms in self._refused_ms if ms < hurried_ms]) / _RECENT
        return fill + (1 - fill) * share
