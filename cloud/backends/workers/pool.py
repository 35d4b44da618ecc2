"""One pool of workers, each able to run every loaded model, and one queue before it: first come, first served."""

from __future__ import annotations

import asyncio
import heapq
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from time import perf_counter
from typing import Any, NamedTuple

from ondevice.cloud.backends.workers.frames import Message
from ondevice.cloud.backends.workers.process import Reply, WorkerProcess
from ondevice.errors import ModelError, OnDeviceError, ServeError, WorkerDiedError

# A job that takes so much longer than expected hangs: its worker is killed.
_HANGS_MS, _HANGS_TIMES = 30_000.0, 20.0
# While a worker does what takes no longer, its next job is sent already.
_SHORT_MS = 20.0
# A worker that keeps dying is started again after 0.1 s, 0.2 s, …, at most so long.
_BACKOFF_S = 5.0


class PlannedRun(NamedTuple):
    """What a job will do when its turn comes: the model that it runs, and how long that is expected to take, ms."""

    model: str
    expected_ms: float


@dataclass(eq=False)
class WorkerJob:
    """One inference.

    plan: asked when its turn comes, with the wait that is still before it and by how much the whole is longer than
    foreseen, ms; it may raise. left: called with the reply where nobody waits for it any more. foreseen_ms: the wait to
    expect when it was queued.
    """

    message: Message
    payload: bytes
    planned: PlannedRun
    plan: Callable[[float, float], PlannedRun]
    future: asyncio.Future[Reply]
    left: Callable[[Reply], object] = lambda reply: None
    queued: float = field(default_factory=perf_counter)
    foreseen_ms: float = 0.0
    started: float = 0.0
    died: bool = False

    @property
    def queue_ms(self) -> float:
        """How long it has waited for a worker."""
        return (self.started - self.queued) * 1e3


class _Held(NamedTuple):
    """What a worker was told to do: when, by perf_counter, and how long it is expected to take, ms."""

    sent: float
    expected_ms: float


class Pool:
    """`count` workers and their queue. `tell` is called with an event's name and its fields, for the log.

    resident: the models that every worker is to hold; what a worker lacks it loads when nothing waits. checksums: of
    the models' files, by model: a worker that takes another's place loads no other file. load_failed: called with a
    model that was to be resident and the error; it is not any more.
    """

    def __init__(self, count: int, threads: int, runtime: str | None, tell: Callable[..., None]) -> None:
        self.count, self.threads, self.runtime = count, threads, runtime
        self.workers: list[WorkerProcess] = []
        self.resident: set[str] = set()
        self.load_ms: dict[str, float] = {}
        self.checksums: dict[str, str] = {}
        self.load_failed: Callable[[str, OnDeviceError], None] = lambda model, error: None
        self._tell = tell
        # For each worker what it has to do, the first at work.
        self._held: dict[WorkerProcess, deque[_Held]] = {}
        self._queue: deque[WorkerJob] = deque()
        self._tasks: set[asyncio.Task[None]] = set()
        self._closing = False

    async def start(self) -> None:
        """Start the workers, all at once. Raises WorkerDiedError, OnDeviceError."""
        started = await asyncio.gather(*(WorkerProcess.start(self.threads, self.runtime) for _ in range(self.count)))
        for worker in started:
            self._register(worker)

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
        return sum(map(bool, self._held.values()))

    def warm(self) -> set[str]:
        """The models that no worker would have to load first."""
        return set.intersection(*(worker.loaded for worker in self.workers)) if self.workers else set()

    def wait_ms(self) -> float:
        """How long a job that comes now would wait for a worker: all before it served first, as they are planned."""
        if not self.workers:  # all are being started again
            return _BACKOFF_S * 1e3
        now = perf_counter()
        free = [_left_ms(held, now) for held in self._held.values()]
        if not self._queue:
            return min(free)
        heapq.heapify(free)
        for job in self._queue:
            heapq.heapreplace(free, free[0] + job.planned.expected_ms)
        return free[0]

    def submit(self, job: WorkerJob) -> None:
        """Put a job into the queue, or at once to work."""
        job.foreseen_ms = self.wait_ms()
        self._queue.append(job)
        self._dispatch()

    def unload(self, model: str) -> None:
        """Let a model go in every worker, each after what it is doing."""
        self.resident.discard(model)
        for worker in self.workers:
            if model in worker.loaded:
                worker.ask({"op": "unload", "model": model}).add_done_callback(_seen)

    def maintain(self) -> None:
        """Have idle workers load what they lack, if nothing waits."""
        for worker in self._idle() if not self._queue else ():
            for model in self.resident - worker.loaded:
                self._control(worker, {"op": "load", "model": model}, self.load_ms.get(model, 0.0))
                break

    def measure(self, model: str, runs: int, expected_ms: float) -> asyncio.Future[Reply] | None:
        """Time a loaded model on an idle worker, if there is one that nobody needs."""
        if self._queue:
            return None
        worker = next((w for w in self._idle() if model in w.loaded), None)
        if worker is None:
            return None
        return self._control(worker, {"op": "measure", "model": model, "runs": runs}, expected_ms)

    def check(self, model: str, expected_ms: float) -> asyncio.Future[Reply] | None:
        """Have the worker that is soonest done see whether the model can be loaded and run; None if there is none."""
        now = perf_counter()
        worker = min(self._held, key=lambda w: _left_ms(self._held[w], now), default=None)
        return None if worker is None else self._control(worker, {"op": "check", "model": model}, expected_ms)

    async def load(self, model: str) -> None:
        """Load a model in every worker, past the queue. Raises ModelError, WorkerDiedError."""
        await asyncio.gather(*(worker.ask({"op": "load", "model": model}) for worker in self.workers))

    def _register(self, worker: WorkerProcess) -> None:
        self.workers.append(worker)
        self._held[worker] = deque()
        worker.dead.add_done_callback(lambda dead: self._on_death(worker, dead.result()))

    def _idle(self) -> list[WorkerProcess]:
        return [worker for worker, held in self._held.items() if not held]

    def _dispatch(self) -> None:
        now = perf_counter()
        while self._queue and (free := self._free(now)):
            job = self._queue.popleft()
            if job.future.done():  # its client is gone
                continue
            still_ms = min(_left_ms(self._held[worker], now) for worker in free)
            longer_ms = (now - job.queued) * 1e3 + still_ms - job.foreseen_ms
            try:
                job.planned = job.plan(still_ms, longer_ms)
            except OnDeviceError as error:
                job.future.set_exception(error)
                continue
            self._begin(job, free, now)

    def _free(self, now: float) -> list[WorkerProcess]:
        """The workers that the next job may go to: the idle, else one that is soon done with the only thing it has.

        Else it would wait for the news that it is wanted, which takes as long as a fifth of a small model's inference.
        """
        if idle := self._idle():
            return idle
        soon = [w for w, held in self._held.items() if len(held) == 1 and held[0].expected_ms < _SHORT_MS]
        return sorted(soon, key=lambda w: _left_ms(self._held[w], now))[:1]

    def _begin(self, job: WorkerJob, free: list[WorkerProcess], now: float) -> None:
        model = job.planned.model
        # A worker that has the model, if there is a choice.
        worker = next((w for w in free if model in w.loaded), free[0])
        self._occupy(worker, now, job.planned.expected_ms)
        worker.tell({**job.message, "model": model}, job.payload, partial(self._done, worker, job))

    def _done(self, worker: WorkerProcess, job: WorkerJob, reply: Reply | OnDeviceError) -> None:
        if not isinstance(reply, WorkerDiedError):
            job.started = self._release(worker)
        elif not job.died and not job.future.done() and not self._closing:
            # It may have been chance: once more, and first. Twice, and the picture is to blame.
            job.died = True
            self._queue.appendleft(job)
            self._dispatch()
            return
        if isinstance(reply, OnDeviceError):
            if not job.future.done():
                job.future.set_exception(reply)
        elif job.future.cancelled():
            job.left(reply)
        else:
            job.future.set_result(reply)

    def _control(self, worker: WorkerProcess, message: Message, expected_ms: float) -> asyncio.Future[Reply]:
        self._occupy(worker, perf_counter(), expected_ms)
        reply = worker.ask(message)
        reply.add_done_callback(partial(self._controlled, worker, message))
        return reply

    def _controlled(self, worker: WorkerProcess, message: Message, reply: asyncio.Future[Reply]) -> None:
        error = reply.exception()
        if isinstance(error, WorkerDiedError):
            return
        assert error is None or isinstance(error, OnDeviceError)
        if message["op"] == "load":
            model = message["model"]
            if error:
                self.resident.discard(model)
                self.load_failed(model, error)
            else:
                self._tell("loaded", model=model, worker=worker.pid, load_ms=reply.result()[0].get("load_ms", 0.0))
        self._release(worker)

    def _occupy(self, worker: WorkerProcess, now: float, expected_ms: float) -> None:
        self._held[worker].append(_Held(now, expected_ms))

    def _release(self, worker: WorkerProcess) -> float:
        """It is done with the first thing that it had; when it had begun that, by perf_counter."""
        held, now = self._held[worker], perf_counter()
        began = held.popleft().sent
        if held:  # which it begins now, whenever it was told
            held[0] = held[0]._replace(sent=now)
        self._dispatch()
        self.maintain()
        return began

    def kill_hanging(self) -> None:
        """End workers that take far longer than expected; call it a few times a second."""
        now = perf_counter()
        for worker, held in self._held.items():
            limit_ms = max(_HANGS_MS, _HANGS_TIMES * held[0].expected_ms) if held else 0.0
            if held and (now - held[0].sent) * 1e3 > limit_ms:
                worker.kill()

    def _on_death(self, worker: WorkerProcess, reason: str) -> None:
        self.workers.remove(worker)
        del self._held[worker]
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
                worker = await WorkerProcess.start(self.threads, self.runtime, self.checksums)
                await self._preload(worker)
            except (OnDeviceError, OSError) as error:
                self._tell("worker not started", error=str(error))
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, _BACKOFF_S)
                continue
            self._register(worker)
            self._tell("worker started", worker=worker.pid)
            self._dispatch()
            return

    async def _preload(self, worker: WorkerProcess) -> None:
        for model in sorted(self.resident):
            try:
                await worker.ask({"op": "load", "model": model})
            except ModelError as error:
                self.resident.discard(model)
                self.load_failed(model, error)
            else:
                if model not in self.resident:  # it was unloaded meanwhile, by those that were registered
                    worker.ask({"op": "unload", "model": model}).add_done_callback(_seen)


def _left_ms(held: Iterable[_Held], now: float) -> float:
    """How long until all of this is done."""
    total_ms = 0.0
    for sent, expected_ms in held:
        left_ms = (sent - now) * 1e3 + expected_ms
        if left_ms > 0:
            total_ms += left_ms
    return total_ms


def _seen(future: asyncio.Future[Any]) -> None:
    future.exception()
