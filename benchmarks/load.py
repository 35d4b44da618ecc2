"""A light load for an HTTP server from one process: requests at given times, each on the first free connection.

Latency counts from the time at which a request was due, so that a slow server cannot slow down its own examination.
"""

from __future__ import annotations

import asyncio
import gc
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any
from urllib.parse import urlsplit


@dataclass
class Sent:
    """One request: due and done, by perf_counter; status 0 where the connection broke; body: the reply."""

    picture: int
    due: float
    done: float = 0.0
    status: int = 0
    body: bytes = field(default=b"", repr=False)

    @property
    def latency_ms(self) -> float:
        """From when it was due."""
        return (self.done - self.due) * 1e3

    @property
    def parameters(self) -> dict[str, Any]:
        """The reply's parameters."""
        found: dict[str, Any] = json.loads(self.body)["parameters"]
        return found

    @property
    def index(self) -> int:
        """The best class."""
        outputs = json.loads(self.body)["outputs"]
        return int(next(o for o in outputs if o["name"] == "index")["data"][0])


class _Connection(asyncio.Protocol):
    def __init__(self) -> None:
        self.buffer = b""
        self.sent: Sent | None = None
        self.waiter: asyncio.Future[None] | None = None
        self.lost = False

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    async def ask(self, request: bytes, sent: Sent) -> None:
        self.sent, self.buffer = sent, b""
        self.waiter = asyncio.get_running_loop().create_future()
        self.transport.write(request)
        await self.waiter

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        head, separator, body = self.buffer.partition(b"\r\n\r\n")
        if not separator or self.sent is None:
            return
        lower = head.lower()
        if _whole(lower, body):
            self.sent.status, self.sent.body, self.sent.done = int(head.split(b" ", 2)[1]), body, perf_counter()
            self.lost = self.lost or b"connection: close" in lower
            self._wake()

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = True
        if self.sent is not None and not self.sent.done:
            self.sent.done = perf_counter()
        self._wake()

    def _wake(self) -> None:
        if self.waiter is not None and not self.waiter.done():
            self.waiter.set_result(None)


def _whole(head: bytes, body: bytes) -> bool:
    """Whether all of a reply is there; head: in small letters. Without a length it comes in chunks, and stays so."""
    _, told, rest = head.partition(b"content-length:")
    return len(body) >= int(rest.split(b"\r\n")[0]) if told else body.endswith(b"0\r\n\r\n")


class Load:
    """Sends pictures to `url` with these parameters in the query, over at most `connections` connections."""

    def __init__(self, url: str, pictures: Sequence[bytes], query: str, connections: int = 64) -> None:
        parts = urlsplit(url)
        self._address = parts.hostname or "", parts.port or 80
        head = f"POST {parts.path}?{query} HTTP/1.1\r\nHost: {parts.netloc}\r\nContent-Type: image/jpeg\r\n"
        self._requests = [f"{head}Content-Length: {len(p)}\r\n\r\n".encode() + p for p in pictures]
        self._idle: list[_Connection] = []
        self._limit = asyncio.Semaphore(connections)

    async def at(self, seconds: Sequence[float]) -> list[Sent]:
        """One request at each of these times from now, in s; the pictures in turn."""
        gc.disable()  # with tens of thousands of tasks alive a collection takes longer than most replies
        try:
            begun = perf_counter()
            tasks = []
            for number, second in enumerate(seconds):
                due = begun + second
                if (wait := due - perf_counter()) > 0:
                    await asyncio.sleep(wait)
                tasks.append(asyncio.ensure_future(self._one(Sent(number % len(self._requests), due))))
            return list(await asyncio.gather(*tasks))
        finally:
            gc.enable()

    async def one_by_one(self, count: int) -> list[Sent]:
        """Each as soon as the one before it is answered."""
        return [await self._one(Sent(number % len(self._requests), perf_counter())) for number in range(count)]

    async def _one(self, sent: Sent) -> Sent:
        async with self._limit:
            while self._idle and self._idle[-1].lost:
                self._idle.pop()
            try:
                connection = self._idle.pop() if self._idle else await self._connect()
                await asyncio.wait_for(connection.ask(self._requests[sent.picture], sent), 30)
                self._idle.append(connection)
            except (OSError, TimeoutError):
                sent.done = perf_counter()
            return sent

    async def _connect(self) -> _Connection:
        _, connection = await asyncio.get_running_loop().create_connection(_Connection, *self._address)
        return connection
