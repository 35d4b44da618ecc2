"""One pool of workers, each able to run every loaded model, and one queue before it: what is due first comes first."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from time import perf_counter

from ondevice.cloud.backends.ticket import TurnTimes
from ondevice.cloud.backends.workers.comeback import Comeback
from ondevice.cloud.backends.workers.crew import Crew
from ondevice.cloud.backends.workers.deadlines import Deadlines
from ondevice.cloud.backends.workers.handle import WorkerHandle
from ondevice.cloud.backends.workers.hands import Held
from ondevice.cloud.backends.workers.job import WorkerJob
from ondevice.cloud.backends.workers.job_queue import JobQueue
from ondevice.cloud.backends.workers.process import Reply
from ondevice.cloud.backends.workers.residents import Residents
from ondevice.cloud.backends.workers.supervisor import Supervisor, Workers
from ondevice.errors import OnDeviceError, ServeError, WorkerDiedError

# A job that killed so many workers is to blame for it: once may have been chance.
_DEATHS = 2


class Pool:
    """Gives jobs to so many `processes`, in turn. tell: called with an event's name and its fields, for the log."""

    def __init__(self, processes: Workers, tell: Callable[..., None]) -> None:
        self.processes, comeback = processes, Comeback()
        self.crew = Crew(self._dispatch)
        self.queue = JobQueue(self.crew, processes.count, comeback)
        self.residents = Residents(self.crew, self.queue)
        self.supervisor = Supervisor(processes, self.crew, self.residents.preload, comeback, tell)
        self._deadlines = Deadlines(self.queue, self.crew)

    async def start(self) -> None:
        """Start the workers. Raises WorkerDiedError, OnDeviceError."""
        await self.supervisor.start()

    def close(self) -> None:
        """End all workers; what still waits fails."""
        self.supervisor.close()
        self._deadlines.stop()
        for job in self.queue:
            job.fail(ServeError("the server is stopping"))

    def submit(self, job: WorkerJob) -> None:
        """Put a job into the queue, or at once to work."""
        job.foreseen_ms = self.queue.wait_ms(job.due)
        self._enqueue(job)

    async def result(self, job: WorkerJob) -> Reply:
        """What comes of a submitted job. One that nobody waits for any more leaves the queue. Raises OnDeviceError."""
        try:
            return await job.future
        finally:
            if job.future.cancelled():
                self.queue.remove(job)

    def _enqueue(self, job: WorkerJob) -> None:
        self.queue.add(job)
        self._deadlines.watch(job.ticket.expires)
        self._dispatch()

    def _dispatch(self) -> None:
        now = perf_counter()
        while self.queue and (free := self.crew.free(now)):
            job = self.queue.pop()
            if job.future.done():  # its client is gone
                continue
            try:
                job.ticket.reconsider(self._turn(job, free, now))
                job.planned = job.plan()
            except OnDeviceError as error:
                job.fail(error)
                continue
            self._begin(job, free, now)

    def _turn(self, job: WorkerJob, free: list[WorkerHandle], now: float) -> TurnTimes:
        # It is one, or all of them are idle.
        still_ms = (free[0].hands.free_at(now) - now) * 1e3
        longer_ms = (now - job.queued) * 1e3 + still_ms - job.foreseen_ms
        if not self.queue:
            return TurnTimes(still_ms, longer_ms, math.inf)
        outlook = self.queue.outlook()
        return TurnTimes(still_ms, longer_ms, outlook.room_ms(-math.inf), outlook.fill)

    def _begin(self, job: WorkerJob, free: list[WorkerHandle], now: float) -> None:
        model = job.planned.model
        # A worker that has the model, if there is a choice.
        worker = next((w for w in free if model in w.loaded), free[0])
        held = Held(now, job.planned.expected_ms, job, loads=model not in worker.loaded)
        self._deadlines.watch(held.expires)
        worker.give(held, {**job.message, "model": model}, job.ticket.work.payload, partial(self._done, job))

    def _done(self, job: WorkerJob, reply: Reply | OnDeviceError, began: float) -> None:
        if not isinstance(reply, WorkerDiedError):
            job.started = began
            job.learn(reply)
            self.residents.maintain()
        elif job.deaths < _DEATHS and not job.future.done() and not self.supervisor.closing:
            self._enqueue(job)  # where it stood: what is due before it goes first
            return
        if isinstance(reply, OnDeviceError):
            job.fail(reply)
        elif not job.future.done():
            job.future.set_result(reply)
