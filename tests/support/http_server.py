"""A server of the HTTP layer alone, on a loop of its own, and what a client says to it and reads."""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import pytest

pytest.importorskip("httptools", reason="needs the extra: pip install 'ondevice-cnn[serve]'")

from accepting import Accepting, spinning
from serving import read_all

from ondevice.cloud.app.messages import Head, Piece, Request, Response
from ondevice.cloud.http.address import Certificate
from ondevice.cloud.http.connections import Connections
from ondevice.cloud.http.handshake import accepted
from ondevice.cloud.http.limits import HttpLimits
from ondevice.cloud.server import event_loop

# As much time as there is: what runs on the real clock must not depend on how fast this machine is.
SMALL = HttpLimits(body_bytes=1000, header_bytes=2000, connections=4)
PATIENCE_S = 30.0
CLOSE = "Connection: close\r\n"
HASTY = replace(SMALL, send_s=0.4, idle_s=0.6)


@dataclass
class Running:
    """A server on a loop of its own; `seen` are the requests that were handled.

    What is slow waits for the test to let it go.
    """

    port: int
    loop: asyncio.AbstractEventLoop
    connections: Connections
    gone_on: asyncio.Event = field(default_factory=asyncio.Event)
    seen: list[Request] = field(default_factory=list)
    cancelled: list[str] = field(default_factory=list)
    ended: list[str] = field(default_factory=list)

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE_S)

    def let_go(self) -> None:
        self.loop.call_soon_threadsafe(self.gone_on.set)

    def say(self, text: str) -> bytes:
        """All that the server answers to this, until it closes: so the last request had better ask for that."""
        with self.connect() as client:
            client.sendall(text.encode("latin-1"))
            return read_all(client)


async def pieces(server: Running, path: str) -> AsyncGenerator[Piece, None]:
    try:
        for piece in (b"one\n", b"two\n", b"x" * 20 + b"\n"):
            yield Piece(piece, last="known" in path and len(piece) == 21)
            await (server.gone_on.wait() if "slow" in path else asyncio.sleep(0))
        while "ever" in path:
            yield Piece(b"more" * 10_000, last=False)
    finally:
        server.ended.append(path)


async def answer(server: Running, request: Request) -> Response:
    server.seen.append(request)
    if request.head.path == "/slow":
        try:
            await server.gone_on.wait()
        except asyncio.CancelledError:
            server.cancelled.append(request.head.path)
            raise
    if request.head.path == "/fault":
        raise ZeroDivisionError
    if request.head.path == "/unsendable":
        return Response(200, (("x-price", "\u20ac"),), b"")
    if request.head.path.startswith("/pieces"):
        return Response(200, (), pieces(server, request.head.path))
    return Response(200, (("x-path", request.head.path),), request.body)


@dataclass
class Gathered:
    """A request that is put together; once it says STOP, no more of it is wanted."""

    head: Head
    handle: Callable[[Request], Awaitable[Response]]
    body: bytes = b""

    def receive(self, data: bytes | memoryview) -> Response | None:
        self.body += data
        return Response(422, (), b"stopped") if b"STOP" in self.body else None

    def answer(self, last_byte: float, held_s: float) -> Awaitable[Response]:
        return self.handle(Request(self.head, self.body, last_byte, held_s))


@dataclass
class Asked:
    """What answers requests: all but those for `/nowhere`."""

    handle: Callable[[Request], Awaitable[Response]]

    def begin(self, head: Head) -> Gathered | Response:
        return Response(404, (), b"gone") if head.path == "/nowhere" else Gathered(head, self.handle)

    def refusal(self, status: int, message: str) -> Response:
        return Response(status, (), message.encode())


@contextmanager
def running(limits: HttpLimits = SMALL, tls: Certificate | None = None) -> Iterator[Running]:
    async def handle(request: Request) -> Response:
        return await answer(server, request)

    async def sweep() -> None:
        while True:
            await asyncio.sleep(0.05)
            open_now.sweep()

    async def listen() -> Accepting:
        return Accepting(lambda: accepted(open_now))

    loop = event_loop(encrypted=tls is not None)
    open_now = Connections(Asked(handle), limits, tls)
    listening = loop.run_until_complete(listen())
    sweeping = loop.create_task(sweep())
    server = Running(listening.port, loop, open_now)
    with spinning(loop):
        try:
            yield server
        finally:
            asyncio.run_coroutine_threadsafe(end(listening, sweeping, open_now), loop).result()


async def end(listening: Accepting, sweeping: asyncio.Task[None], open_now: Connections) -> None:
    sweeping.cancel()
    listening.close()
    await open_now.drain(0)
    await listening.end()
    await asyncio.sleep(0.02)


def undated(reply: bytes) -> bytes:
    """One or several, without the lines that say when they were made."""
    return re.sub(rb"\ndate: \w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT\r(?=\n)", b"", reply)


def get(path: str, extra: str = "") -> str:
    return f"GET {path} HTTP/1.1\r\nHost: x\r\n{extra}\r\n"


def post(path: str, body: str, extra: str = "") -> str:
    return f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n{extra}\r\n{body}"
