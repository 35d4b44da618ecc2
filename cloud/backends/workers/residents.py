"""The models that every worker is to hold."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial

from ondevice.cloud.backends.workers.crew import Crew
from ondevice.cloud.backends.workers.handle import WorkerHandle
from ondevice.cloud.backends.workers.job_queue import JobQueue
from ondevice.cloud.backends.workers.process import Reply
from ondevice.errors import ModelError, OnDeviceError, WorkerDiedError


class Residents:
    """models: by where they come from; what a worker lacks of them it loads when nothing waits in the `queue`.

    load_ms: what loading is expected to take, by model. loaded: called with a model that an idle worker has loaded, its
    process id, and the time, ms. failed: called with one that cannot be loaded and the error; it is resident no more.
    """

    def __init__(self, crew: Crew, queue: JobQueue) -> None:
        self._crew, self._queue = crew, queue
        self.models: set[str] = set()
        self.load_ms: dict[str, float] = {}
        self.loaded: Callable[[str, int, float], None] = lambda model, pid, ms: None
        self.failed: Callable[[str, OnDeviceError], None] = lambda model, error: None

    async def load(self, model: str) -> None:
        """Load a model in every worker, past the queue. Raises ModelError, WorkerDiedError."""
        await asyncio.gather(*(self._load(worker, model) for worker in self._crew.workers))

    def unload(self, model: str) -> None:
        """Let a model go in every worker, each after what it is doing."""
        self.models.discard(model)
        for worker in self._crew.workers:
            worker.unload(model)

    async def preload(self, worker: WorkerHandle) -> None:
        """Have a new worker load all of them before it is given any work. Raises WorkerDiedError."""
        for model in sorted(self.models):
            try:
                await self._load(worker, model)
            except ModelError as error:
                self.models.discard(model)
                self.failed(model, error)
            else:
                if model not in self.models:  # it was unloaded meanwhile, by those that could be given work
                    worker.unload(model)

    def maintain(self) -> None:
        """Have idle workers load what they lack, if nothing waits."""
        if self._queue:
            return
        for worker in self._crew.idle():
            for model in self.models - worker.loaded:
                self._load(worker, model).add_done_callback(partial(self._maintained, worker, model))
                break

    def _load(self, worker: WorkerHandle, model: str) -> asyncio.Future[Reply]:
        return worker.ask({"op": "load", "model": model}, self.load_ms.get(model, 0.0), loads=True)

    def _maintained(self, worker: WorkerHandle, model: str, reply: asyncio.Future[Reply]) -> None:
        error = reply.exception()
        if error is None:
            self.loaded(model, worker.pid, reply.result()[0].get("load_ms", 0.0))
        elif isinstance(error, OnDeviceError) and not isinstance(error, WorkerDiedError):
            self.models.discard(model)
            self.failed(model, error)
        self.maintain()
