"""Workers that do nothing, on a given clock: they are ended after a bound, and another is started."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest
from clock import Clock
from events import Events

from ondevice.cloud.backends.workers import handle, supervisor
from ondevice.cloud.backends.workers.comeback import Comeback
from ondevice.cloud.backends.workers.crew import Crew
from ondevice.cloud.backends.workers.frames import Message
from ondevice.cloud.backends.workers.handle import WorkerHandle
from ondevice.cloud.backends.workers.hands import Held
from ondevice.cloud.backends.workers.process import Done, WorkerProcess
from ondevice.cloud.backends.workers.supervisor import Supervisor, Workers
from ondevice.errors import WorkerDiedError


class Fake:
    """A worker process that answers so many messages, and then none any more."""

    loaded: frozenset[str] = frozenset()

    def __init__(self, pid: int, answers: int) -> None:
        self.pid, self.answers = pid, answers
        self.dead: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.told: list[Message] = []
        self._waiting: list[Done] = []

    @property
    def lost(self) -> bool:
        return self.dead.done()

    def tell(self, message: Message, payload: bytes, done: Done) -> None:
        self.told.append(message)
        self.answers -= 1
        done(({}, b"")) if self.answers >= 0 else self._waiting.append(done)

    def answer(self) -> None:
        """What it was told last."""
        self._waiting.pop()(({}, b""))

    def kill(self, reason: str = "") -> None:
        if not self.dead.done():
            self.dead.set_result(reason)
            for done in self._waiting:
                asyncio.get_running_loop().call_soon(done, WorkerDiedError(reason))


class Watched:
    """A supervisor of workers that answer so many messages each, in the order in which they are started."""

    def __init__(self, clock: Clock, count: int, answers: Sequence[int]) -> None:
        self.clock, self.events = clock, Events()
        self.started: list[Fake] = []
        self._answers = iter(answers)
        self.crew = Crew(lambda: None)
        self.supervisor = Supervisor(Workers(count), self.crew, self._prepare, Comeback(), self.events)

    async def start(self) -> WorkerProcess:
        self.started.append(Fake(len(self.started), next(self._answers)))
        return self.started[-1]  # type: ignore[return-value]

    async def after(self, seconds: float) -> list[int]:
        """The workers that can be given work so long later, when they have been looked at."""
        self.clock.now_s += seconds
        self.supervisor.look(self.clock())
        for _ in range(20):
            await asyncio.sleep(0)
        return [worker.pid for worker in self.crew.workers]

    async def _prepare(self, worker: WorkerHandle) -> None:
        await worker.ask({"op": "load", "model": "a"}, loads=True)


Play = Callable[[Watched], Awaitable[None]]


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> Callable[[int, Sequence[int], Play], None]:
    """Plays with a supervisor that is looked at only when the test says so, and does not pause between starts."""
    clock = Clock()
    for module in (supervisor, handle):
        monkeypatch.setattr(module, "perf_counter", clock)
    monkeypatch.setattr(supervisor, "_LOOK_S", 3600.0)
    monkeypatch.setattr(supervisor, "_FIRST_PAUSE_S", 0.0)

    async def whole(count: int, answers: Sequence[int], play: Play) -> None:
        made = Watched(clock, count, answers)
        monkeypatch.setattr(WorkerProcess, "start", made.start)
        await made.supervisor.start()
        await play(made)
        made.supervisor.close()

    return lambda count, answers, play: asyncio.run(whole(count, answers, play))


@pytest.mark.parametrize("answers", [0, 1], ids=["while it starts", "while it loads"])
def test_a_new_worker_that_does_nothing_is_ended_and_another_started(answers: int, watched: Any) -> None:
    async def play(watched: Watched) -> None:
        watched.started[0].kill("gone")
        assert await watched.after(0.0) == []
        assert await watched.after(29.9) == []
        assert not watched.started[1].dead.done()
        assert await watched.after(0.2) == [2]
        assert watched.events == [
            ("worker died", {"worker": 0, "reason": "gone"}),
            ("worker not started", {"error": "it had not answered for 30.1 s"}),
            ("worker started", {"worker": 2}),
        ]

    watched(1, [99, answers, 99], play)


def test_a_first_worker_that_does_nothing_ends_the_start(watched: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    async def play(watched: Watched) -> None:
        raise AssertionError("it started")

    async def look(self: Supervisor) -> None:
        for _ in range(20):
            await asyncio.sleep(0)
        self.look(1030.1)

    monkeypatch.setattr(Supervisor, "_watch", look)
    with pytest.raises(WorkerDiedError, match="it had not answered for 30"):
        watched(2, [99, 0], play)


def test_an_idle_worker_that_stands_still_is_found_without_any_request(watched: Any) -> None:
    async def play(watched: Watched) -> None:
        still, well = watched.started
        assert await watched.after(1.9) == [0, 1]
        assert (len(still.told), len(well.told)) == (2, 2), "they had something to do a moment ago"
        assert await watched.after(0.2) == [0, 1]
        assert still.told[-1] == well.told[-1] == {"op": "ping"}
        assert [worker.pid for worker in watched.crew.idle()] == [1], "the other is given nothing until it answers"
        assert await watched.after(1.9) == [0, 1]
        assert await watched.after(0.2) == [1, 2]
        assert watched.events[0] == ("worker died", {"worker": 0, "reason": "it had not answered for 2.1 s"})
        assert len(well.told) == 4, "it was asked once every two seconds"

    watched(2, [2, 99, 99], play)


def test_a_worker_that_has_something_to_do_is_not_asked_whether_it_lives(watched: Any) -> None:
    async def play(watched: Watched) -> None:
        (worker,) = watched.crew.workers
        worker.give(Held(watched.clock(), 5000.0), {"op": "image"}, b"", lambda reply, began: None)
        assert await watched.after(10.0) == [0]
        assert watched.started[0].told[-1] == {"op": "image"}

    watched(1, [2], play)


def test_workers_do_not_pay_for_what_held_up_the_front(watched: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stopped and continued, it finds their replies unread, which are ten seconds old."""

    async def play(watched: Watched) -> None:
        (worker,), (process,) = watched.crew.workers, watched.started
        worker.give(Held(watched.clock(), 5.0), {"op": "image"}, b"", lambda reply, began: None)
        await asyncio.sleep(0)
        watched.clock.now_s += 10.0
        await asyncio.sleep(0)
        assert not process.dead.done()
        process.answer()
        await asyncio.sleep(0)
        assert not process.dead.done()
        worker.give(Held(watched.clock() - 2.1, 5.0), {"op": "image"}, b"", lambda reply, began: None)
        await asyncio.sleep(0)
        assert process.dead.done(), "one that hangs is found as ever"

    async def start(self: Supervisor) -> None:
        monkeypatch.setattr(supervisor, "_LOOK_S", 0.0)
        await real(self)

    real = Supervisor.start
    monkeypatch.setattr(Supervisor, "start", start)
    watched(1, [2], play)
