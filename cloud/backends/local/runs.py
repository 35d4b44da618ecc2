"""Requests' work on this machine: queued, done, and learned from."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from time import monotonic, perf_counter

from ondevice.cloud.backends.backend import InferenceResult
from ondevice.cloud.backends.local.learner import Learner
from ondevice.cloud.backends.local.model import LocalModel
from ondevice.cloud.backends.local.repository import ModelRepository
from ondevice.cloud.backends.ticket import Ticket
from ondevice.cloud.backends.workers.frames import Message
from ondevice.cloud.backends.workers.job import PlannedRun, WorkerJob
from ondevice.cloud.backends.workers.pool import Pool
from ondevice.cloud.backends.workers.process import Reply
from ondevice.errors import ModelError, OnDeviceError


class Runs:
    """By the workers of `pool`, with these models, by name. learned: called when there is something new."""

    def __init__(
        self,
        models: Mapping[str, LocalModel],
        pool: Pool,
        learner: Learner,
        repository: ModelRepository,
        learned: Callable[[], None],
    ) -> None:
        self._models, self._pool, self._learner = models, pool, learner
        self._repository, self._learned = repository, learned

    async def run(self, ticket: Ticket) -> InferenceResult:
        """Queue the work and await its result. Raises ImageError, ModelError, ServeError, RefusedError."""
        work = ticket.work
        message: Message = {"op": "tensor", "top": work.top, "raw": work.raw}
        if work.is_picture:
            message |= {"op": "image", "cropped": work.cropped}
        job = WorkerJob(
            message, ticket, self._planned(ticket), lambda: self._plan(ticket), lambda reply: self._learn(ticket, reply)
        )
        self._pool.submit(job)
        try:
            reply, raw = await self._pool.result(job)
        except ModelError as error:
            error.model = ticket.model
            raise
        return self._account(job, reply, raw)

    def _plan(self, ticket: Ticket) -> PlannedRun:
        """What it comes to, as its turn is there, with room made for its model. Raises ModelError."""
        self._repository.admit(ticket.model)
        return self._planned(ticket)

    def _planned(self, ticket: Ticket) -> PlannedRun:
        model = self._models[ticket.model]
        cold_ms = 0.0 if model.source in self._pool.crew.warm() else model.known.loading_ms(monotonic())
        decode_ms = model.known.decode.expect(ticket.work.picture)
        return PlannedRun(model.source, float(self._learner.table.mean_ms[model.row]) + decode_ms + cold_ms)

    def _account(self, job: WorkerJob, reply: Message, raw: bytes) -> InferenceResult:
        load_ms = float(reply.get("load_ms", 0.0))
        if not job.deaths:  # else a worker's death, and what it was at, would be taken for the way through here
            parts_ms = job.queue_ms + reply["decode_ms"] + reply["invoke_ms"] + load_ms
            self._learner.overhead.add((perf_counter() - job.queued) * 1e3, parts_ms)
        top = [(index, score) for index, score in reply["top"]]
        times_ms = job.queue_ms, reply["decode_ms"], reply["invoke_ms"], load_ms
        return InferenceResult(job.ticket.model, top, raw, *times_ms, overtaken_ms=job.overtaken_ms)

    def _learn(self, ticket: Ticket, reply: Reply | OnDeviceError) -> None:
        """Learn from what a worker answered; what a client no longer waits for counts too, for it may be why."""
        work, health = ticket.work, self._repository.health
        if isinstance(reply, OnDeviceError):
            # What a client sends as a tensor may be what makes no sense of it; a picture's pixels are numbers.
            health.failed(ticket.model, reply, counts=work.is_picture)
            return
        health.succeeded(ticket.model)
        self._learner.timed(self._models[ticket.model].row, work.picture, reply[0], monotonic())
        self._learned()
