"""One pool of workers, each able to run every loaded model, and one queue before it: what is due first comes first."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from functools import partial
from time import perf_counter
from typing import Any

from ondevice.cloud.backends.backend import Others
from ondevice.cloud.backends.schedule import Outlook, Schedule
from ondevice.cloud.backends.ticket import TurnTimes
from ondevice.cloud.backends.workers.alarm import Alarm
from ondevice.cloud.backends.workers.comeback import Comeback
from ondevice.cloud.backends.workers.frames import Message
from ondevice.cloud.backends.workers.hands import Hands, Held
from ondevice.cloud.backends.workers.job import WorkerJob
from ondevice.cloud.backends.workers.process import Reply, WorkerProcess
from ondevice.errors import ModelError, OnDeviceError, ServeError, WorkerDiedError

# A worker that keeps dying is started again after 0.1 s, 0.2 s, …, at most so long.
_BACKOFF_S = 5.0
# A job that killed so many workers is to blame for it: once may have been chance.
_DEATHS = 2


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
        self._hands: dict[WorkerProcess, Hands] = {}
        self._queue: Schedule[WorkerJob] = Schedule()
        # What becomes of the queue, and until when that holds, if nothing changes.
        self._outlook: tuple[Outlook, float] | None = None
        self._alarm = Alarm(self._expire)
        self._comeback = Comeback()
        self._tasks: set[asyncio.Task[None]] = set()
        self._closing = False

    async def start(self) -> None:
        """Start the workers, all at once. Raises WorkerDiedError, OnDeviceError."""
        begun = perf_counter()
        started = await asyncio.gather(*(WorkerProcess.start(self.threads, self.runtime) for _ in range(self.count)))
        self._comeback.came(perf_counter() - begun)
        for worker in started:
            self._register(worker)

    def close(self) -> None:
        """End all workers; what still waits fails."""
        self._closing = True
        self._alarm.stop()
        for worker in self.workers:
            worker.kill()
        for task in self._tasks:
            task.cancel()
        for job in self._queue:
            job.fail(ServeError("the server is stopping"))

    @property
    def waiting(self) -> int:
        """Jobs in the queue."""
        return len(self._queue)

    @property
    def busy(self) -> int:
        """Workers that have something to do."""
        return sum(map(bool, self._hands.values()))

    def warm(self) -> set[str]:
        """The models that no worker would have to load first."""
        return set.intersection(*(worker.loaded for worker in self.workers)) if self.workers else set()

    def outlook(self) -> Outlook:
        """What becomes of all that waits, if nothing else comes."""
        now = perf_counter()
        if self._outlook is None or now > self._outlook[1]:
            # While all workers are being started again nothing begins.
            free = [hands.free_at(now) for hands in self._hands.values()] or [self._comeback.at(now)]
            steady = min((hands.steady_until(now) for hands in self._hands.values()), default=now)
            self._outlook = self._queue.outlook(free, now), steady
        return self._outlook[0]

    def wait_ms(self, due: float = math.inf) -> float:
        """How long a job that comes now and is due then would wait for a worker, as those before it are planned."""
        return max(self.outlook().start(due) - perf_counter(), 0.0) * 1e3

    def others(self, due: float) -> Others:
        """What a job that is due then would meet in the queue."""
        outlook = self.outlook()
        return Others(outlook.room_ms(due), outlook.fill)

    def submit(self, job: WorkerJob) -> None:
        """Put a job into the queue, or at once to work."""
        job.foreseen_ms = self.wait_ms(job.due)
        self._enqueue(job)
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
                loading = self._control(worker, {"op": "load", "model": model}, self.load_ms.get(model, 0.0))
                loading.add_done_callback(partial(self._maintained, worker, model))
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
        worker = min(self._hands, key=lambda w: self._hands[w].free_at(now), default=None)
        return None if worker is None else self._control(worker, {"op": "check", "model": model}, expected_ms)

    async def load(self, model: str) -> None:
        """Load a model in every worker, past the queue. Raises ModelError, WorkerDiedError."""
        message, expected_ms = {"op": "load", "model": model}, self.load_ms.get(model, 0.0)
        await asyncio.gather(*(self._control(worker, message, expected_ms) for worker in self.workers))

    def _register(self, worker: WorkerProcess) -> None:
        self.workers.append(worker)
        self._hands[worker] = Hands()
        self._outlook = None
        worker.dead.add_done_callback(lambda dead: self._on_death(worker, dead.result()))

    def _idle(self) -> list[WorkerProcess]:
        return [worker for worker, hands in self._hands.items() if not hands and not worker.dead.done()]

    def _enqueue(self, job: WorkerJob) -> None:
        for other in self._queue.add(job):
            other.overtaken_ms += job.planned.expected_ms / self.count
        self._outlook = None
        self._alarm.by(job.ticket.expires)

    def _dispatch(self) -> None:
        now = perf_counter()
        while self._queue and (free := self._free(now)):
            job = self._queue.pop()
            self._outlook = None
            if job.future.done():  # its client is gone
                continue
            try:
                job.ticket.reconsider(self._turn(job, free, now))
                job.planned = job.plan()
            except OnDeviceError as error:
                job.fail(error)
                continue
            self._begin(job, free, now)

    def _turn(self, job: WorkerJob, free: list[WorkerProcess], now: float) -> TurnTimes:
        still_ms = min(self._hands[worker].free_at(now) - now for worker in free) * 1e3
        longer_ms = (now - job.queued) * 1e3 + still_ms - job.foreseen_ms
        return TurnTimes(still_ms, longer_ms, self.outlook().room_ms(-math.inf))

    def _free(self, now: float) -> list[WorkerProcess]:
        """The workers that the next job may go to: the idle, else the one that takes more and is done first."""
        if idle := self._idle():
            return idle
        more = [worker for worker, hands in self._hands.items() if hands.takes_more(now) and not worker.dead.done()]
        return sorted(more, key=lambda worker: self._hands[worker].free_at(now))[:1]

    def _begin(self, job: WorkerJob, free: list[WorkerProcess], now: float) -> None:
        model = job.planned.model
        # A worker that has the model, if there is a choice.
        worker = next((w for w in free if model in w.loaded), free[0])
        held = Held(now, job.planned.expected_ms, job, loads=model not in worker.loaded)
        self._occupy(worker, held)
        self._alarm.by(held.expires)
        worker.tell({**job.message, "model": model}, job.ticket.work.payload, partial(self._done, worker, job))

    def _done(self, worker: WorkerProcess, job: WorkerJob, reply: Reply | OnDeviceError) -> None:
        if not isinstance(reply, WorkerDiedError):
            job.started = self._release(worker)
            self.maintain()
        elif job.deaths < _DEATHS and not job.future.done() and not self._closing:
            self._enqueue(job)  # where it stood: what is due before it goes first
            self._dispatch()
            return
        if isinstance(reply, OnDeviceError):
            job.fail(reply)
        elif job.future.done():
            job.left(reply)
        else:
            job.future.set_result(reply)

    def _expire(self) -> None:
        """Refuse what is too late: what waits when it is due, what a worker is at some time after."""
        now = perf_counter()
        gone = self._queue.take_expired(lambda job: job.ticket.expires <= now)
        gone += [job for hands in self._hands.values() for job in hands.expired(now)]
        self._outlook = None
        for job in gone:
            job.expire()
        self._alarm.by(min((job.ticket.expires for job in self._queue), default=math.inf))
        self._alarm.by(min((hands.expires() for hands in self._hands.values()), default=math.inf))

    def _control(self, worker: WorkerProcess, message: Message, expected_ms: float) -> asyncio.Future[Reply]:
        self._occupy(worker, Held(perf_counter(), expected_ms, loads=message["op"] == "load"))
        reply = worker.ask(message)
        reply.add_done_callback(partial(self._controlled, worker))
        return reply

    def _controlled(self, worker: WorkerProcess, reply: asyncio.Future[Reply]) -> None:
        if not isinstance(reply.exception(), WorkerDiedError):
            self._release(worker)

    def _maintained(self, worker: WorkerProcess, model: str, reply: asyncio.Future[Reply]) -> None:
        error = reply.exception()
        if error is None:
            self._tell("loaded", model=model, worker=worker.pid, load_ms=reply.result()[0].get("load_ms", 0.0))
        elif isinstance(error, OnDeviceError) and not isinstance(error, WorkerDiedError):
            self.resident.discard(model)
            self.load_failed(model, error)
        self.maintain()

    def _occupy(self, worker: WorkerProcess, held: Held) -> None:
        self._hands[worker].take(held)
        self._outlook = None

    def _release(self, worker: WorkerProcess) -> float:
        """It is done with the first thing that it had; when it had begun that, by perf_counter."""
        began = self._hands[worker].done(perf_counter())
        self._outlook = None
        self._dispatch()
        return began

    def kill_hanging(self) -> None:
        """End workers that take far longer than expected; call it a few times a second."""
        now = perf_counter()
        for worker, hands in self._hands.items():
            if hands.hangs(now):
                worker.kill()

    def _on_death(self, worker: WorkerProcess, reason: str) -> None:
        self.workers.remove(worker)
        if charged := self._hands.pop(worker).at:  # those that were sent ahead have nothing to do with it
            charged.deaths += 1
        self._outlook = None
        self._comeback.awaited(perf_counter())
        if not self._closing:
            self._tell("worker died", worker=worker.pid, reason=reason)
            task = asyncio.get_running_loop().create_task(self._replace())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _replace(self) -> None:
        """Start another worker, and load what it needs before it is given any work."""
        pause_s = 0.1
        while not self._closing:
            begun = perf_counter()
            try:
                worker = await WorkerProcess.start(self.threads, self.runtime, self.checksums)
                await self._preload(worker)
            except (OnDeviceError, OSError) as error:
                self._tell("worker not started", error=str(error))
                self._comeback.awaited(perf_counter(), pause_s)
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, _BACKOFF_S)
                continue
            self._comeback.came(perf_counter() - begun)
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


def _seen(future: asyncio.Future[Any]) -> None:
    future.exception()
