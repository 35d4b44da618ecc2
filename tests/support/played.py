"""A client in front of a recorded exchange, on a clock that goes on only while a request is under way.

What is real: the client, its thread, HTTP's parser, the local model's answers. What is given: the clock, the bytes on
the wire and when they come, how long the device takes, and chance. So what two clients decide can be compared exactly.
"""

from __future__ import annotations

import asyncio
import dataclasses
import selectors
import socket
import sys
from collections import deque
from collections.abc import Awaitable, Callable
from random import Random
from typing import Any

import pytest
from exchange import Exchange, Played

from ondevice import Answer, Runner
from ondevice.client import base, engine, flight
from ondevice.client.connection import http
from ondevice.client.connection.connecting import Connected
from ondevice.client.dispatcher import Dispatcher
from ondevice.client.executors import device, health
from ondevice.client.executors.attempt import Task
from ondevice.client.executors.discovery import EndpointDiscovery
from ondevice.image import ImageSource

# Nothing is done in no time at all: what is due by less than a float can tell would be waited for for ever.
_STEP_S = 1e-7


class World:
    """now_s: its time. under_way: how many requests, without which it stands still. ahead_s: what the device has taken
    of the time that is to come.
    """

    def __init__(self, server: Server) -> None:
        self.now_s, self.under_way, self.ahead_s, self.server = 1000.0, 0, 0.0, server

    def __call__(self) -> float:
        return self.now_s + self.ahead_s

    async def counted(self, work: Awaitable[Any]) -> Any:
        """What comes of it; meanwhile time goes on."""
        self.under_way += 1
        try:
            return await work
        finally:
            self.under_way -= 1


class Loop(asyncio.SelectorEventLoop):
    """A client's loop: where it waits, its world's time jumps to whatever is due next."""

    def __init__(self, world: World) -> None:
        self._world = world
        super().__init__(_Jumping(world))

    def time(self) -> float:
        return self._world.now_s


class _Jumping(selectors.SelectSelector):
    def __init__(self, world: World) -> None:
        super().__init__()
        self._world = world

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if not self._world.under_way:
            return super().select(None if timeout != 0 else 0)
        assert timeout is not None, "it waits for ever"
        events = super().select(0)
        if timeout <= 0 or not events:  # a wake-up from another thread, whenever it comes, changes no time
            self._world.now_s += max(timeout, _STEP_S)
        return events


class Server:
    """Answers each question for its models with the recorded ones, and the nth picture with the nth answer, the last
    for ever. asked: all that it was sent, each request whole.
    """

    def __init__(self, exchange: Exchange) -> None:
        self.exchange, self.asked = exchange, list[bytes]()
        self._answers = deque(exchange.answers)

    def answer(self, request: bytes) -> Played:
        self.asked.append(request)
        if request.startswith(b"GET"):
            return self.exchange.described
        return self._answers.popleft() if len(self._answers) > 1 else self._answers[0]


class PlayedBytes:
    """In the place of a `ByteStream`. A reply that is shorter than it says ends with its connection."""

    world: World

    def __init__(self, connected: socket.socket) -> None:
        self.open, self.busy, self.whole = True, False, True
        self.lost: Callable[[], object] = lambda: None
        self._pieces = asyncio.Queue[bytes | OSError]()
        connected.close()

    @property
    def quiet(self) -> bool:
        return self._pieces.empty()

    def send(self, *pieces: bytes | memoryview, sent: Callable[[], object]) -> None:
        played = self.world.server.answer(b"".join(pieces))
        asyncio.get_running_loop().call_later(played.after_ms / 1e3, self._come, played.reply)
        sent()

    async def next(self) -> bytes:
        piece = await self._pieces.get()
        if isinstance(piece, OSError):
            raise piece
        return piece

    def give_up(self, why: OSError) -> None:
        self._pieces.put_nowait(why)

    def _come(self, reply: bytes) -> None:
        head, _, body = reply.partition(b"\r\n\r\n")
        self._pieces.put_nowait(reply)
        if b"content-length: %d\r\n" % len(body) not in head:
            self._pieces.put_nowait(b"")

    def look(self) -> None: ...

    def stop_sending(self) -> None: ...

    def close(self) -> None:
        self.open = False

    abort = abandon = close


class Steady(Runner):
    """Says that it takes so long, and takes it of its world's time."""

    world: World
    ms = 24.0

    def classify(self, image: ImageSource, top: int = 5) -> Answer:
        answer = super().classify(image, top)
        if self.world.under_way:
            self.world.ahead_s += self.ms / 1e3
        return dataclasses.replace(answer, decode_ms=0.0, invoke_ms=self.ms, total_ms=self.ms)


class Thread:
    """In the place of the device's thread: each run ends as much later, in the world's time, as it took."""

    world: World

    def __init__(self, *_: object, **__: object) -> None:
        self._waiting, self._busy = deque[tuple[Callable[..., None], Any, Any]](), False
        self._loop: asyncio.AbstractEventLoop | None = None

    def begin(self, run: Callable[..., None], attempt: Any, model: Any, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._waiting.append((run, attempt, model))
        if not self._busy:
            self._next()

    def call_soon_threadsafe(self, ended: Callable[..., None], *arguments: Any) -> None:
        """What it has to tell its loop."""
        assert self._loop
        took_s, self.world.ahead_s = self.world.ahead_s, 0.0
        self._loop.call_later(took_s, self._ended, ended, arguments)

    def close(self, wait: bool) -> None: ...

    def _next(self) -> None:
        run, attempt, model = self._waiting.popleft()
        self._busy = True
        run(attempt, model, self)

    def _ended(self, ended: Callable[..., None], arguments: Any) -> None:
        ended(*arguments)
        self._busy = False
        if self._waiting:
            self._next()


def world(exchange: Exchange, patch: pytest.MonkeyPatch) -> World:
    """One whose clients find that exchange, whatever their endpoint is called."""
    made = World(Server(exchange))
    for name, module in list(sys.modules.items()):
        if name.startswith("ondevice.client") and hasattr(module, "perf_counter"):
            patch.setattr(module, "perf_counter", made)
    for kind in (PlayedBytes, Steady, Thread):
        patch.setattr(kind, "world", made, raising=False)
    patch.setattr(asyncio, "SelectorEventLoop", lambda *_: Loop(made))
    patch.setattr(http, "connect", _connected)
    patch.setattr(http, "ByteStream", PlayedBytes)
    patch.setattr(device, "DaemonThreads", Thread)
    patch.setattr(health, "SystemRandom", lambda: Random(0))
    patch.setattr(base, "Task", lambda *arguments: Task(*arguments, started=made()))
    for kind, name in ((Dispatcher, "fly"), (EndpointDiscovery, "ready")):
        patch.setattr(kind, name, _counting(made, getattr(kind, name)))
    patch.setattr(engine.Engine, "aside", _at_once)
    # Whoever asks waits by the machine's clock; by the given one the flight itself ends at the last moment.
    patch.setattr(base.BaseClient, "_hold_s", lambda *_: None)
    patch.setattr(flight, "_LAST_WORD_MS", 0.0)
    return made


async def _connected(*_: object) -> Connected:
    connect_ms = PlayedBytes.world.server.exchange.connect_ms
    await asyncio.sleep(connect_ms / 1e3)
    return Connected(socket.socket(), connect_ms)


async def _at_once(_: engine.Engine, work: Callable[..., Any], *arguments: object) -> Any:
    return work(*arguments)


def _counting(made: World, work: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    async def counted(*arguments: Any) -> Any:
        return await made.counted(work(*arguments))

    return counted
