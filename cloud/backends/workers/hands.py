"""What one worker has in its hands: the job that it is at, and those that were sent ahead. On a given clock."""

from __future__ import annotations

import math
from collections import deque
from typing import NamedTuple

from ondevice.cloud.backends.workers.job import WorkerJob

# While a worker does what takes no longer, its next job is sent already.
_SHORT_MS = 20.0
# A worker hangs when it takes so many times what was expected, but never before two seconds, for a machine that is
# short of memory or processors can hold up anyone for one.
_HANGS_TIMES, _HANGS_MS = 10.0, 2_000.0
# Starting and loading wait for a disk, of which nothing is known.
_LOADING_MS = 30_000.0
# Who has had nothing to do for so long is asked whether it lives: that costs a ten-thousandth of the time, or less.
_SILENT_S = 2.0
# A client whose deadline is over still gets its answer if that is not held up by much more than jitter: so many times
# what was expected, and so long.
_LATE_TIMES, _LATE_MS = 4.0, 100.0


class Held(NamedTuple):
    """What a worker was told to do. began: when, or when it was done with what it had before that. job: None where
    it is not a request's. loads: whether a model is loaded for it, or all of a new worker.
    """

    began: float
    expected_ms: float
    job: WorkerJob | None = None
    loads: bool = False

    @property
    def hangs_at(self) -> float:
        """When it is no longer to be believed that it is being done, if it was begun."""
        least_ms = _LOADING_MS if self.loads else _HANGS_MS
        return self.began + max(least_ms, _HANGS_TIMES * self.expected_ms) / 1e3

    @property
    def expires(self) -> float:
        """When its client is told that it comes too late."""
        if self.job is None:
            return math.inf
        return max(self.job.ticket.expires, self.began + (_LATE_TIMES * self.expected_ms + _LATE_MS) / 1e3)


class Hands:
    """The jobs of one worker. held: the first at work; all times by perf_counter."""

    def __init__(self) -> None:
        self.held: deque[Held] = deque()
        self._heard = 0.0

    @property
    def at(self) -> WorkerJob | None:
        """The request that it is at."""
        return self.held[0].job if self.held else None

    def take(self, held: Held) -> None:
        """It was told one more thing."""
        self.held.append(held)

    def done(self, now: float) -> float:
        """It is done with the first thing that it had; when it had begun that."""
        began, self._heard = self.held.popleft().began, now
        if self.held:  # which it begins now, whenever it was told
            _, expected_ms, job, loads = self.held[0]
            self.held[0] = Held(now, expected_ms, job, loads)
        return began

    def free_at(self, now: float) -> float:
        """When all of this is likely to be done. What takes longer than expected takes as long again as it is over."""
        return self.outlook(now)[0]

    def outlook(self, now: float) -> tuple[float, float]:
        """When it is free, and until when that will be told the same."""
        if not self.held:
            return now, math.inf
        end = self.held[0].began + self.held[0].expected_ms / 1e3
        free, steady = (end, end) if end > now else (2 * now - end, now)
        if len(self.held) > 1:
            free += sum([held.expected_ms for held in self.held]) / 1e3 - self.held[0].expected_ms / 1e3
        return free, steady

    def takes_more(self, now: float) -> bool:
        """Whether it can be sent its next job: it has but one, a short one, that does not take longer than expected.

        Else it would wait for the news that it is wanted, which takes as long as a fifth of a small model's inference.
        """
        if len(self.held) != 1 or self.held[0].expected_ms >= _SHORT_MS:
            return False
        return (now - self.held[0].began) * 1e3 < self.held[0].expected_ms + _SHORT_MS

    def hung_s(self, now: float) -> float:
        """For how long it has not done what it is at, s; 0 while it is to be believed that it does it."""
        return now - self.held[0].began if self.held and now > self.held[0].hangs_at else 0.0

    def silent(self, now: float) -> bool:
        """Whether it has had nothing to do for so long that nobody knows whether it lives."""
        return not self.held and now - self._heard >= _SILENT_S

    def expired(self, now: float) -> list[WorkerJob]:
        """Those whose clients have waited too long and do so still."""
        return [held.job for held in self.held if held.job and not held.job.future.done() and held.expires <= now]

    def expires(self) -> float:
        """When the next of them has."""
        waited = (held.expires for held in self.held if held.job and not held.job.future.done())
        return min(waited, default=math.inf)
