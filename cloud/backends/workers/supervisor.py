"""A crew kept at work: workers are started, those that hang are ended, and those that end are replaced."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass
from time import perf_counter
from typing import Any

from ondevice.cloud.backends.workers.comeback import Comeback
from ondevice.cloud.backends.workers.crew import Crew
from ondevice.cloud.backends.workers.handle import WorkerHandle
from ondevice.cloud.backends.workers.hands import Held
from ondevice.cloud.backends.workers.process import WorkerProcess
from ondevice.errors import OnDeviceError

# A worker that keeps dying is started again after 0.1 s, 0.2 s, …, at most so long.
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.1, 5.0
# Between two looks at whether any hangs: a quarter of a second is little beside the two that it is given at least.
_LOOK_S = 0.25
# A look that comes so much too late comes after this process was stopped, or held up by the machine.
_HELD_UP_S = 1.0


@dataclass(frozen=True)
class Workers:
    """How many processes, and the runtime's threads in each; runtime: one of `ondevice.runtime.RUNTIMES`, or None."""

    count: int
    threads: int = 1
    runtime: str | None = None


class Supervisor:
    """Keeps the `crew` whole. prepare: what a worker has to do before it is given work. comeback: is told of starts.

    tell: called with an event's name and its fields, for the log. checksums: of the models' files, by model: a worker
    that is started with them loads no other file.
    """

    def __init__(
        self,
        workers: Workers,
        crew: Crew,
        prepare: Callable[[WorkerHandle], Awaitable[None]],
        comeback: Comeback,
        tell: Callable[..., None],
    ) -> None:
        self._workers, self._crew, self._prepare, self._comeback, self._tell = workers, crew, prepare, comeback, tell
        self.checksums: Mapping[str, str] = {}
        self._starting: set[WorkerHandle] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self.closing = False

    async def start(self) -> None:
        """Start all, at once. Raises WorkerDiedError, OnDeviceError."""
        begun = perf_counter()
        self._spawn(self._watch())
        started = await asyncio.gather(*(self._started() for _ in range(self._workers.count)))
        self._comeback.came(perf_counter() - begun)
        for worker in started:
            self._join(worker)

    def close(self) -> None:
        """End all, those too that are being started."""
        self.closing = True
        for worker in (*self._crew.workers, *self._starting):
            worker.process.kill()
        for task in self._tasks:
            task.cancel()

    def look(self, now: float) -> None:
        """End those that hang, and ask those of which nothing was heard lately whether they live."""
        for worker in (*self._crew.workers, *self._starting):
            if hung_s := worker.hands.hung_s(now):
                worker.process.kill(f"it had not answered for {hung_s:.1f} s")
            elif worker.hands.silent(now):
                worker.give(Held(now, 0.0), {"op": "ping"}, b"", lambda reply, began: None)

    async def _watch(self) -> None:
        while True:
            due = perf_counter() + _LOOK_S
            await asyncio.sleep(_LOOK_S)
            if perf_counter() > due + _HELD_UP_S:
                # What they have answered meanwhile has to be read first, and they may have been stopped, too.
                await asyncio.sleep(_LOOK_S)
            self.look(perf_counter())

    async def _started(self) -> WorkerHandle:
        """A new one that is ready for work."""
        worker = WorkerHandle(await WorkerProcess.start(), self._crew.changed, self._crew.freed)
        self._starting.add(worker)
        settings = {"threads": self._workers.threads, "runtime": self._workers.runtime, "checksums": self.checksums}
        try:
            await worker.ask(settings, self._comeback.takes_s * 1e3, loads=True)
            await self._prepare(worker)
        except BaseException:
            self._starting.discard(worker)
            worker.process.kill()
            raise
        return worker

    def _join(self, worker: WorkerHandle) -> None:
        self._starting.discard(worker)
        worker.process.dead.add_done_callback(lambda dead: self._on_death(worker, dead.result()))
        self._crew.join(worker)

    def _on_death(self, worker: WorkerHandle, reason: str) -> None:
        if charged := self._crew.leave(worker):  # those that were sent ahead have nothing to do with it
            charged.deaths += 1
        self._comeback.awaited(perf_counter())
        if not self.closing:
            self._tell("worker died", worker=worker.pid, reason=reason)
            self._spawn(self._replace())

    async def _replace(self) -> None:
        """Start another, and try that again until one is there."""
        pause_s = _FIRST_PAUSE_S
        while not self.closing:
            begun = perf_counter()
            try:
                worker = await self._started()
            except (OnDeviceError, OSError) as error:
                self._tell("worker not started", error=str(error))
                self._comeback.awaited(perf_counter(), pause_s)
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
                continue
            self._comeback.came(perf_counter() - begun)
            self._tell("worker started", worker=worker.pid)
            self._join(worker)
            return

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
