"""The jobs that wait for a worker, and what becomes of them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from time import perf_counter

from ondevice.cloud.backends.backend import Others
from ondevice.cloud.backends.schedule import Outlook, Schedule
from ondevice.cloud.backends.workers.comeback import Comeback
from ondevice.cloud.backends.workers.crew import Crew
from ondevice.cloud.backends.workers.job import WorkerJob

# For so long it is not looked at anew that time goes by: for one request's questions; what begins or comes is seen at
# once.
_STEADY_S = 1e-3


class JobQueue:
    """A schedule for the `crew`, of `count` workers when it is whole. comeback: of the next, while there is none."""

    def __init__(self, crew: Crew, count: int, comeback: Comeback) -> None:
        self._crew, self._count, self._comeback = crew, count, comeback
        self._schedule: Schedule[WorkerJob] = Schedule()
        # What becomes of it, at which version of the crew, and until when that holds, if nothing changes.
        self._outlook: tuple[Outlook, int, float] | None = None

    def __len__(self) -> int:
        return len(self._schedule.queue)

    def __iter__(self) -> Iterator[WorkerJob]:
        return iter(self._schedule)

    def add(self, job: WorkerJob) -> None:
        """Put a job where it belongs, and count for those behind it that they wait longer."""
        for other in self._schedule.add(job):
            other.overtaken_ms += job.planned.expected_ms / self._count
        self._outlook = None

    def pop(self) -> WorkerJob:
        """Take what is first. Raises IndexError where nothing waits."""
        self._outlook = None
        return self._schedule.pop()

    def remove(self, job: WorkerJob) -> None:
        """Take out a job that nobody waits for any more, if it is still here."""
        self._outlook = None
        self._schedule.remove(job)

    def take_expired(self, now: float) -> list[WorkerJob]:
        """Take all whose time is over."""
        self._outlook = None
        return self._schedule.take_expired(lambda job: job.ticket.expires <= now)

    def outlook(self) -> Outlook:
        """What becomes of all that waits, if nothing else comes."""
        now = perf_counter()
        if self._outlook is None or self._outlook[1] != self._crew.version or now > self._outlook[2]:
            # While all workers are being started again nothing begins.
            hands = [worker.hands.outlook(now) for worker in self._crew.workers] or [(self._comeback.at(now), now)]
            free, steady = zip(*hands, strict=True)
            steady_until = max(min(steady), now + _STEADY_S)
            self._outlook = self._schedule.outlook(free, now), self._crew.version, steady_until
        return self._outlook[0]

    def wait_ms(self, due: float = math.inf) -> float:
        """How long a job that comes now and is due then would wait for a worker, as those before it are planned."""
        return max(self.outlook().start(due) - perf_counter(), 0.0) * 1e3

    def others(self, due: float) -> Others:
        """What a job that is due then would meet."""
        outlook = self.outlook()
        return Others(outlook.room_ms(due), outlook.fill)
