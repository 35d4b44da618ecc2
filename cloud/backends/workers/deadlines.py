"""What is too late is refused by a timer, whatever the workers do."""

from __future__ import annotations

import math
from time import perf_counter

from ondevice.cloud.backends.workers.alarm import Alarm
from ondevice.cloud.backends.workers.crew import Crew
from ondevice.cloud.backends.workers.job_queue import JobQueue


class Deadlines:
    """Jobs in the `queue` expire when they are due, those that the `crew` is at some time after."""

    def __init__(self, queue: JobQueue, crew: Crew) -> None:
        self._queue, self._crew = queue, crew
        self._alarm = Alarm(self._expire)

    def watch(self, expires: float) -> None:
        """There is a job that expires then, by perf_counter."""
        self._alarm.by(expires)

    def stop(self) -> None:
        """Refuse no more."""
        self._alarm.stop()

    def _expire(self) -> None:
        now, hands = perf_counter(), [worker.hands for worker in self._crew.workers]
        gone = self._queue.take_expired(now) + [job for one in hands for job in one.expired(now)]
        for job in gone:
            job.expire()
        self.watch(min((job.ticket.expires for job in self._queue), default=math.inf))
        self.watch(min((one.expires() for one in hands), default=math.inf))
