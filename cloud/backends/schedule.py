"""A queue as a schedule: what is due first is served first, and what that means for everyone in it.

Earliest deadline first, as Sponge (EuroMLSys 2024) and Clockwork (OSDI 2020) have it for inference. No clock is read in
here: times are seconds by whatever clock the caller has.
"""

from __future__ import annotations

import heapq
import math
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from operator import attrgetter
from typing import Generic, NamedTuple, Protocol, TypeVar


class Waiting(Protocol):
    """What stands in a schedule.

    due: what is due first comes first, of equals what came first. latest: the last moment at which it is worth
    beginning. expected_ms: how long it will keep a worker.
    """

    @property
    def due(self) -> float:
        """When it must be done."""

    @property
    def latest(self) -> float:
        """When it must begin."""

    @property
    def expected_ms(self) -> float:
        """For how long it is at work."""


_W = TypeVar("_W", bound=Waiting)
_due: Callable[[Waiting], float] = attrgetter("due")


class Outlook(NamedTuple):
    """What becomes of a schedule if nothing else comes. dues [n], in order; starts [n + 1]: when each begins, and what
    would come after them all. slacks_s [n + 1]: how much later all from there on may begin without one being too late.

    fill: of the time that each had left to begin, the largest share that it will have waited, from 0 to 1.
    """

    dues: Sequence[float]
    starts: Sequence[float]
    slacks_s: Sequence[float]
    fill: float

    def start(self, due: float) -> float:
        """When work would begin that comes now and is due then."""
        return self.starts[bisect_right(self.dues, due)]

    def room_ms(self, due: float) -> float:
        """How long such work may take without making late any that it would come before."""
        return self.slacks_s[bisect_right(self.dues, due)] * 1e3


class Schedule(Generic[_W]):
    """What waits, in the order in which it is to be done."""

    def __init__(self) -> None:
        self._queue: list[_W] = []

    def __len__(self) -> int:
        return len(self._queue)

    def __iter__(self) -> Iterator[_W]:
        return iter(self._queue)

    def add(self, one: _W) -> Sequence[_W]:
        """Put it where it belongs; gives those that it comes before."""
        place = bisect_right(self._queue, one.due, key=_due)
        self._queue.insert(place, one)
        return self._queue[place + 1 :]

    def pop(self) -> _W:
        """Take what is first. Raises IndexError where nothing waits."""
        return self._queue.pop(0)

    def take_expired(self, expired: Callable[[_W], bool]) -> list[_W]:
        """Take all for which this holds."""
        gone = [one for one in self._queue if expired(one)]
        if gone:
            self._queue = [one for one in self._queue if not expired(one)]
        return gone

    def outlook(self, free: Sequence[float], now: float) -> Outlook:
        """What is to be expected with workers that are free at these times, at least one."""
        heap, starts = sorted(free), []
        for one in self._queue:
            start = heap[0]
            starts.append(start)
            heapq.heapreplace(heap, start + one.expected_ms / 1e3)
        slacks_s, fill = [math.inf], 0.0
        for one, start in zip(reversed(self._queue), reversed(starts), strict=True):
            left_s = one.latest - now
            # What is too late already cannot be made late.
            slacks_s.append(min(slacks_s[-1], one.latest - start) if left_s > 0 else slacks_s[-1])
            if 0 < left_s < math.inf:
                fill = max(fill, (start - now) / left_s)
        slacks_s.reverse()
        return Outlook([one.due for one in self._queue], [*starts, heap[0]], slacks_s, min(fill, 1.0))
