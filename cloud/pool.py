"""One pool of workers, each able to run every loaded model, and one queue before it: first come, first served."""

from __future__ import annotations

import asyncio
import heapq
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from time import perf_counter
from typing import Any, NamedTuple

from ondevice.cloud.frames import Message
from ondevice.cloud.process import Reply, WorkerProcess
from ondevice.errors import ModelError, OnDeviceError, ServeError, WorkerDiedError

# A job that takes so much longer than expected hangs: its worker is killed.
_HANGS_MS, _HANGS_TIMES = 30_000.0, 20.0
# A worker that keeps dying is started again after 0.1 s, 0.2 s, …, at most so long.
_BACKOFF_S = 5.0


class Plan(NamedTuple):
    """What a job will do when its turn comes: the model that it runs, and how long that is expected to take, ms."""

    model: str
    expected_ms: float


@dataclass(eq=False)
class Job:
    """One inference. `plan` is asked when its turn comes, for the wait is known then; it may raise."""

    message: Message
    payload: bytes
    planned: Plan
    plan: Callable[[float], Plan]
    future: asyncio.Future[Reply]
    queued: float = field(default_factory=perf_counter)
    started: float = 0.0
    died: bool = False

    @property
    def queue_ms(self) -> float:
        """How long it has waited for a worker."""
        return (self.started - self.queued) * 1e3


class Pool:
    """`count` workers and their queue. `tell` is called with an event's name and its fields, for the log.

    resident: the models that every worker is to hold; what a worker lacks it loads when nothing waits.
    """

    def __init__(self, count: int, threads: int, runtime: str | None, tell: Callable[..., None]) -> None:
        self.count, self.threads, self.runtime = count, threads, runtime
        self.workers: list[WorkerProcess] = []
        self.resident: set[str] = set()
        self.load_ms: dict[str, float] = {}
        self._tell = tell
        self._idle: list[WorkerProcess] = []
        self._busy: dict[WorkerProcess, tuple[float, float]] = {}
        self._queue: deque[Job] = deque()
        self._tasks: set[asyncio.Task[None]] = set()
        self._closing = False

    async def start(self) -> None:
        """Start the workers, all at once. Raises WorkerDiedError."""
        started = await asyncio.gather(*(WorkerProcess.start(self.threads, self.runtime) for _ in range(self.count)))
        for worker in started:
            self._employ(worker)

    def close(self) -> None:
        """End all workers; what still waits fails."""
        self._closing = True
        for worker in self.workers:
            worker.kill()
        for task in self._tasks:
            task.cancel()
        for job in self._queue:
            if not job.future.done():
                job.future.set_exception(ServeError("the server is stopping"))

    @property
    def waiting(self) -> int:
        """Jobs in the queue."""
        return len(self._queue)

    @property
    def busy(self) -> int:
        """Workers that have something to do."""
        return len(self._busy)

    def warm(self) -> set[str]:
        """The models that no worker would have to load first."""
        return set.intersection(*(worker.loaded for worker in self.workers)) if self.workers else set()

    def wait_ms(self) -> float:
        """How long a job that comes now would wait for a worker: all before it served first, as they are planned."""
        if self._idle and not self._queue:
            return 0.0
        now = perf_counter()
        free = [max((began - now) * 1e3 + expected, 0.0) for began, expected in self._busy.values()]
        free += [0.0] * len(self._idle)
        if not free:  # all are being started again
            return _BACKOFF_S * 1e3
        heapq.heapify(free)
        for job in self._queue:
            heapq.heapreplace(free, free[0] + job.planned.expected_ms)
        return free[0]

    def submit(self, job: Job) -> None:
        """Put a job into the queue, or at once to work."""
        self._queue.append(job)
        self._dispatch()

    def unload(self, model: str) -> None:
        """Let a model go in every worker, each after what it is doing."""
        self.resident.discard(model)
        for worker in self.workers:
            if model in worker.loaded:
                worker.loaded.discard(model)
                worker.ask({"op": "unload", "model": model}).add_done_callback(_seen)

    def tend(self) -> None:
        """Have idle workers load what they lack, if nothing waits."""
        for worker in list(self._idle) if not self._queue else ():
            for model in self.resident - worker.loaded:
                worker.loaded.add(model)
                self._control(worker, {"op": "load", "model": model}, self.load_ms.get(model, 0.0))
                break

    def measure(self, model: str, runs: int, expected_ms: float) -> asyncio.Future[Reply] | None:
        """Time a loaded model on an idle worker, if there is one that nobody needs."""
        if self._queue:
            return None
        worker = next((w for w in self._idle if model in w.loaded), None)
        if worker is None:
            return None
        return self._control(worker, {"op": "measure", "model": model, "runs": runs}, expected_ms)

    async def load(self, model: str) -> None:
        """Load a model in every worker, past the queue. Raises ModelError, WorkerDiedError."""
        for worker in self.workers:
            worker.loaded.add(model)
        await asyncio.gather(*(worker.ask({"op": "load", "model": model}) for worker in self.workers))

    def _employ(self, worker: WorkerProcess) -> None:
        self.workers.append(worker)
        self._idle.append(worker)
        worker.dead.add_done_callback(lambda dead: self._mourn(worker, dead.result()))

    def _dispatch(self) -> None:
        while self._queue and self._idle:
            job = self._queue.popleft()
            if job.future.done():  # its client is gone
                continue
            try:
                job.planned = job.plan((perf_counter() - job.queued) * 1e3)
            except OnDeviceError as error:
                job.future.set_exception(error)
                continue
            self._begin(job)

    def _begin(self, job: Job) -> None:
        model = job.planned.model
        # A worker that has the model, if there is a choice.
        worker = next((w for w in reversed(self._idle) if model in w.loaded), self._idle[-1])
        self._idle.remove(worker)
        job.started = perf_counter()
        self._occupy(worker, job.started, job.planned.expected_ms)
        worker.loaded.add(model)  # when it is told, as in `unload`: it does what it is told in that order
        reply = worker.ask({**job.message, "model": model}, job.payload)
        reply.add_done_callback(partial(self._done, worker, job))

    def _done(self, worker: WorkerProcess, job: Job, reply: asyncio.Future[Reply]) -> None:
        error = reply.exception()
        if not isinstance(error, WorkerDiedError):
            self._release(worker)
        elif not job.died and not job.future.done() and not self._closing:
            # It may have been chance: once more, and first. Twice, and the picture is to blame.
            job.died = True
            self._queue.appendleft(job)
            self._dispatch()
            return
        if not job.future.done():
            job.future.set_exception(error) if error else job.future.set_result(reply.result())

    def _control(self, worker: WorkerProcess, message: Message, expected_ms: float) -> asyncio.Future[Reply]:
        self._idle.remove(worker)
        self._occupy(worker, perf_counter(), expected_ms)
        reply = worker.ask(message)
        reply.add_done_callback(partial(self._controlled, worker, message))
        return reply

    def _controlled(self, worker: WorkerProcess, message: Message, reply: asyncio.Future[Reply]) -> None:
        error = reply.exception()
        if isinstance(error, WorkerDiedError):
            return
        if message["op"] == "load":
            model = message["model"]
            if error:
                worker.loaded.discard(model)
                self.resident.discard(model)
                self._tell("load failed", model=model, error=str(error))
            else:
                self._tell("loaded", model=model, worker=worker.pid, load_ms=reply.result()[0].get("load_ms", 0.0))
        self._release(worker)

    def _occupy(self, worker: WorkerProcess, now: float, expected_ms: float) -> None:
        self._busy[worker] = now, expected_ms
        limit_s = max(_HANGS_MS, _HANGS_TIMES * expected_ms) / 1e3
        worker.timer = asyncio.get_running_loop().call_later(limit_s, worker.kill)

    def _release(self, worker: WorkerProcess) -> None:
        worker.timer.cancel()
        self._busy.pop(worker, None)
        self._idle.append(worker)
        self._dispatch()
        self.tend()

    def _mourn(self, worker: WorkerProcess, reason: str) -> None:
        self.workers.remove(worker)
        if self._busy.pop(worker, None):
            worker.timer.cancel()
        if worker in self._idle:
            self._idle.remove(worker)
        if not self._closing:
            self._tell("worker died", worker=worker.pid, reason=reason)
            task = asyncio.get_running_loop().create_task(self._replace())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _replace(self) -> None:
        """Start another worker, and load what it needs before it is given any work."""
        pause_s = 0.1
        while not self._closing:
            try:
                worker = await WorkerProcess.start(self.threads, self.runtime)
                await self._equip(worker)
            except (ServeError, OSError) as error:
                self._tell("worker not started", error=str(error))
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, _BACKOFF_S)
                continue
            self._employ(worker)
            self._tell("worker started", worker=worker.pid)
            self._dispatch()
            return

    async def _equip(self, worker: WorkerProcess) -> None:
        for model in sorted(self.resident):
            try:
                await worker.ask({"op": "load", "model": model})
            except ModelError as error:
                self.resident.discard(model)
                self._tell("load failed", model=model, error=str(error))
            else:
                worker.loaded.add(model)


def _seen(future: asyncio.Future[Any]) -> None:
    future.exception()
