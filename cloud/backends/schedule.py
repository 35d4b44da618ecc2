"""A queue as a schedule: what is due first is served first, and what that means for everyone in it.

Earliest deadline first, as Sponge (EuroMLSys 2024) and Clockwork (OSDI 2020) have it for inference. No clock is read in
here: times are seconds by whatever clock the caller has.
"""

from __future__ import annotations

import heapq
import math
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Sequence
from typing import Generic, NamedTuple, Protocol, TypeVar

import numpy as np

from ondevice.timing.arrays import FloatArray

# So many are looked at worker by worker. Behind more than these one piece more or less makes no difference, and with
# two thousand it takes an eighth of the time.
_NEAR = 64


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


class Outlook(NamedTuple):
    """What becomes of a schedule if nothing else comes. dues [n], in order; starts [n + 1]: when each begins, and what
    would come after them all. slacks_s [n + 1]: how much later all from there on may begin without one being too late.

    fill: of the time that each had left to begin, the largest share that it will have waited, from 0 to 1.
    """

    dues: Sequence[float]
    starts: Sequence[float] | FloatArray
    slacks_s: Sequence[float] | FloatArray
    fill: float

    def start(self, due: float) -> float:
        """When work would begin that comes now and is due then."""
        return float(self.starts[bisect_right(self.dues, due)])

    def room_ms(self, due: float) -> float:
        """How long such work may take without making late any that it would come before."""
        return float(self.slacks_s[bisect_right(self.dues, due)]) * 1e3


class Schedule(Generic[_W]):
    """What waits, `queue`, in the order in which it is to be done. Each is asked when it comes, and once, what it will
    take.
    """

    def __init__(self) -> None:
        self.queue: list[_W] = []
        self._dues: list[float] = []
        self._latest: list[float] = []
        self._takes_ms: list[float] = []

    def __len__(self) -> int:
        return len(self.queue)

    def __iter__(self) -> Iterator[_W]:
        return iter(self.queue)

    def add(self, one: _W) -> Sequence[_W]:
        """Put it where it belongs; gives those that it comes before."""
        place = bisect_right(self._dues, one.due)
        self.queue.insert(place, one)
        self._dues.insert(place, one.due)
        self._latest.insert(place, one.latest)
        self._takes_ms.insert(place, one.expected_ms)
        return self.queue[place + 1 :]

    def pop(self) -> _W:
        """Take what is first. Raises IndexError where nothing waits."""
        return self._take(0)

    def remove(self, one: _W) -> None:
        """Take it out, wherever it stands, if it does."""
        for place in range(bisect_left(self._dues, one.due), bisect_right(self._dues, one.due)):
            if self.queue[place] is one:
                self._take(place)
                return

    def take_expired(self, expired: Callable[[_W], bool]) -> list[_W]:
        """Take all for which this holds."""
        places = [place for place, one in enumerate(self.queue) if expired(one)]
        return [self._take(place) for place in reversed(places)][::-1]

    def outlook(self, free: Sequence[float], now: float) -> Outlook:
        """What is to be expected with workers that are free at these times, at least one."""
        return (self._near if len(self.queue) <= _NEAR else self._far)(free, now)

    def _near(self, free: Sequence[float], now: float) -> Outlook:
        heap, starts = sorted(free), []
        for takes_ms in self._takes_ms:
            starts.append(heap[0])
            heapq.heapreplace(heap, heap[0] + takes_ms / 1e3)
        slacks_s, fill = [math.inf], 0.0
        for latest, start in zip(reversed(self._latest), reversed(starts), strict=True):
            left_s = latest - now
            # What is too late already cannot be made late.
            slacks_s.append(min(slacks_s[-1], latest - start) if left_s > 0 else slacks_s[-1])
            if 0 < left_s < math.inf:
                fill = max(fill, (start - now) / left_s)
        slacks_s.reverse()
        return Outlook(self._dues.copy(), [*starts, heap[0]], slacks_s, min(fill, 1.0))

    def _far(self, free: Sequence[float], now: float) -> Outlook:
        """Of all at once, as if all workers did each piece together: off by a part of one piece."""
        ahead_s = np.concatenate(([0.0], np.cumsum(self._takes_ms))) / (1e3 * len(free))
        starts = sum(free) / len(free) + ahead_s
        latest = np.array(self._latest)
        left_s = latest - now
        alive = left_s > 0
        slacks_s = np.append(np.where(alive, latest - starts[:-1], math.inf), math.inf)
        slacks_s = np.minimum.accumulate(slacks_s[::-1])[::-1]
        fill = float(((starts[:-1] - now)[alive] / left_s[alive]).max(initial=0.0))
        return Outlook(self._dues.copy(), starts, slacks_s, min(fill, 1.0))

    def _take(self, place: int) -> _W:
        for column in (self._dues, self._latest, self._takes_ms):
            column.pop(place)
        return self.queue.pop(place)
