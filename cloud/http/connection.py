"""HTTP/1.1 on asyncio with httptools' parser: the limits, the clock of the upload, keep-alive and the drain.

No server framework tells when a request's first byte came, from which its deadline runs; and with this parser under an
ASGI server, in front of the same workers, a request of 100 kB took a millisecond more: a small model's inference.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass
from functools import lru_cache
from http import HTTPStatus
from time import perf_counter
from typing import Any, NamedTuple
from urllib.parse import unquote

import httptools

from ondevice.cloud.http.messages import Head, Piece, Request, Response

# Requests of one connection that may be received before the first is answered: clients that pipeline send two or three,
# and each takes memory.
_PIPELINED = 8
# How long what a refused client still sends is thrown away, so that it gets to read why; then the connection is closed.
_LINGER_S = 2.0
_LAST_CHUNK = b"0\r\n\r\n"


@dataclass(frozen=True)
class HttpLimits:
    """Of one connection. header_bytes: request line and headers. send_s: from a request's first byte to its last.

    idle_s: between requests. connections: of the whole server.
    """

    body_bytes: int = 16 << 20
    header_bytes: int = 16 << 10
    connections: int = 512
    send_s: float = 30.0
    idle_s: float = 75.0


class _Turn(NamedTuple):
    """A request that is whole. keep: whether the connection is to stay; chunks: whether its client knows them."""

    request: Request
    keep: bool
    chunks: bool


Handler = Callable[[Request], Awaitable[Response]]
# What is wrong with a request already before its body, or None.
Gate = Callable[[Head], Response | None]
# The body of an error: what the protocol in use makes of a sentence.
Refusal = Callable[[int, str], Response]


class Connections:
    """All connections of a server; makes their protocols, ends the slow ones, and drains."""

    def __init__(self, handler: Handler, gate: Gate, refusal: Refusal, limits: HttpLimits) -> None:
        self.handler, self.gate, self.refusal, self.limits = handler, gate, refusal, limits
        self.open: set[Connection] = set()
        self.draining = False

    def __call__(self) -> Connection:
        """A protocol for one more connection."""
        return Connection(self)

    @property
    def in_flight(self) -> int:
        """Connections with a request that has begun to arrive, or is being answered."""
        return sum(connection.engaged for connection in self.open)

    def sweep(self) -> None:
        """End what has taken too long; call it about twice a second."""
        now = perf_counter()
        for connection in list(self.open):
            connection.check(now)

    async def drain(self, seconds: float) -> None:
        """Close what is idle, and let what is in flight finish, but no longer than that."""
        self.draining = True
        end = perf_counter() + seconds
        while perf_counter() < end:
            for connection in list(self.open):
                connection.close_if_idle()
            if not self.in_flight:
                break
            await asyncio.sleep(0.02)
        for connection in list(self.open):
            connection.abort()


class Connection(asyncio.Protocol):
    """One client. Requests that are pipelined are answered one after the other."""

    def __init__(self, server: Connections) -> None:
        self._server, self._limits = server, server.limits
        self._parser = httptools.HttpRequestParser(self)
        self._queue: deque[_Turn] = deque()
        self._task: asyncio.Task[None] | None = None
        self._transport: Any = None
        self._discarding = self._paused = False
        self._receiving = False
        self._unread: asyncio.Future[None] | None = None
        self._head_bytes = 0
        self._headers: dict[str, str]
        self._body: list[bytes]
        self._header_bytes: int
        self._since = perf_counter()

    # asyncio.Protocol

    def connection_made(self, transport: Any) -> None:
        """Accept, or refuse if there are too many."""
        self._transport = transport
        peer = transport.get_extra_info("peername")
        self._peer = str(peer[0]) if isinstance(peer, tuple) else ""
        self._server.open.add(self)
        if len(self._server.open) > self._limits.connections:
            self._refuse(503, "too many connections; try again later")
        self._new_message()

    def connection_lost(self, exc: Exception | None) -> None:
        """The client is gone: what it asked for is no longer wanted."""
        self._server.open.discard(self)
        self._queue.clear()
        if self._task:
            self._task.cancel()

    def data_received(self, data: bytes) -> None:
        """Some bytes of one request or several."""
        if self._discarding:
            return
        if not self._receiving:
            self._receiving, self._since = True, perf_counter()
        self._head_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._refuse(400, "no protocol to upgrade to is offered here")
        except httptools.HttpParserError as error:
            if not self._discarding:
                self._refuse(400, f"no valid HTTP/1.1 request: {str(error).lower() or 'malformed'}")
        if self._head_bytes > self._limits.header_bytes:
            self._refuse(431, self._too_long())

    def pause_writing(self) -> None:
        """The client does not read its replies: it gets no more until it does."""
        self._unread = asyncio.get_running_loop().create_future()

    def resume_writing(self) -> None:
        """It reads again."""
        if self._unread and not self._unread.done():
            self._unread.set_result(None)
        self._unread = None

    # httptools' callbacks

    def on_message_begin(self) -> None:
        """A request begins, perhaps in the middle of what was received for the last."""
        self._new_message()
        if not self._receiving:
            self._receiving, self._since = True, perf_counter()

    def on_url(self, url: bytes) -> None:
        """A piece of the request's target."""
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header; of several with one name the last counts, which no header used here may have."""
        if self._in_body:  # a trailer
            return
        self._header_bytes += len(name) + len(value) + 4
        self._headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        """All but the body is here: refuse what can be refused before the body is read."""
        self._in_body, self._head_bytes = True, 0
        if self._discarding:
            return
        if len(self._url) + self._header_bytes > self._limits.header_bytes:
            self._refuse(431, self._too_long())
            return
        try:
            self._path, self._query = _target(self._url)
        except httptools.HttpParserInvalidURLError:
            self._refuse(400, "the request's target is not a URL")
            return
        announced = self._headers.get("content-length", "")
        length = int(announced) if announced.isdigit() else None
        if (length or 0) > self._limits.body_bytes:
            self._refuse(413, self._too_large())
            return
        method = self._parser.get_method().decode("latin-1")
        if (refused := self._server.gate(Head(method, self._path, self._headers, length, self._peer))) is not None:
            self._end(refused)
        elif self._headers.get("expect", "").lower() == "100-continue":
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, body: bytes) -> None:
        """A piece of the body."""
        self._head_bytes = 0
        if self._discarding:
            return
        self._received += len(body)
        if self._received > self._limits.body_bytes:
            self._refuse(413, self._too_large())
        else:
            self._body.append(body)

    def on_message_complete(self) -> None:
        """The request is whole: answer it, or let it wait for those before it."""
        self._receiving = False
        if self._discarding:
            return
        body = self._body[0] if len(self._body) == 1 else b"".join(self._body)
        method, now = self._parser.get_method().decode("latin-1"), perf_counter()
        request = Request(method, self._path, self._query, self._headers, body, self._since, now, self._peer)
        chunks = self._parser.get_http_version() == "1.1"
        self._queue.append(_Turn(request, self._parser.should_keep_alive(), chunks))
        self._body = []
        self._since = now
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._answer())
        elif len(self._queue) >= _PIPELINED and not self._paused:
            self._paused = True
            self._transport.pause_reading()

    # Answering

    async def _answer(self) -> None:
        while self._queue and not self._transport.is_closing():
            request, keep, chunks = self._queue.popleft()
            response = await self._server.handler(request)
            keep = keep and not self._server.draining
            if isinstance(response.body, bytes):
                self._write(response, response.body, keep, head_only=request.method == "HEAD")
            else:
                keep = keep and chunks
                await self._stream(response, response.body, keep, chunks)
            if not self._receiving:
                self._since = perf_counter()
            if not keep:
                self._transport.close()
                return
            if self._unread:
                await self._unread
            elif self._queue:  # other clients want their turn
                await asyncio.sleep(0)
        if self._paused:
            self._paused = False
            self._transport.resume_reading()
        self._task = None

    def _write(self, response: Response, body: bytes, keep: bool, head_only: bool = False) -> None:
        head = _head(response, f"content-length: {len(body)}", keep)
        self._transport.write(head + (b"" if head_only else body))

    async def _stream(self, response: Response, pieces: AsyncGenerator[Piece, None], keep: bool, chunks: bool) -> None:
        """Send the pieces as they come; where the client knows no chunks, the connection's end is that of the body."""
        self._transport.write(_head(response, "transfer-encoding: chunked" if chunks else "", keep))
        end, last = _LAST_CHUNK if chunks else b"", False
        async with aclosing(pieces):
            async for data, last in pieces:
                chunk = b"%x\r\n%b\r\n" % (len(data), data) if chunks else data
                self._transport.write(chunk + end if last else chunk)
                if self._unread:
                    await self._unread
        if not last:
            self._transport.write(end)

    def _refuse(self, status: int, message: str) -> None:
        self._end(self._server.refusal(status, message))

    def _end(self, response: Response) -> None:
        """Reply to a request that is not read to its end, and let the connection run out."""
        if self._discarding:
            return
        self._discarding = True
        self._since = perf_counter()
        if self._task is None:
            assert isinstance(response.body, bytes)
            self._write(response, response.body, keep=False)
            if self._transport.can_write_eof():
                self._transport.write_eof()

    def _too_large(self) -> str:
        return f"the body is over {self._limits.body_bytes} bytes"

    def _too_long(self) -> str:
        return f"request line and headers are over {self._limits.header_bytes} bytes"

    def _new_message(self) -> None:
        self._url, self._headers, self._path, self._query = b"", {}, "/", ""
        self._body = []
        self._received = self._header_bytes = 0
        self._in_body = False

    # The clock

    @property
    def engaged(self) -> bool:
        """Whether a request is arriving or being answered."""
        return not self._discarding and (self._receiving or self._task is not None)

    def check(self, now: float) -> None:
        """End the connection if its time is over."""
        waited = now - self._since
        if self._discarding:
            if waited > _LINGER_S:
                self.abort()
        elif self._receiving and waited > self._limits.send_s:
            self._refuse(408, f"the request took over {self._limits.send_s:g} s to arrive")
        elif waited > self._limits.idle_s and (self._task is None or self._unread):
            # A client that does not read its reply would keep us from closing properly.
            self._transport.abort() if self._transport.get_write_buffer_size() else self._transport.close()

    def close_if_idle(self) -> None:
        """Close the connection unless a request is in flight."""
        if not self.engaged:
            self._transport.close()

    def abort(self) -> None:
        """Close the connection at once."""
        self._transport.abort()


@lru_cache(256)  # a client's requests often go to the same
def _target(url: bytes) -> tuple[str, str]:
    """Path and query. Raises HttpParserInvalidURLError."""
    parts = httptools.parse_url(url)
    return unquote((parts.path or b"/").decode("latin-1")), (parts.query or b"").decode("latin-1")


def _head(response: Response, length: str, keep: bool) -> bytes:
    """Status and headers. length: the header that tells where the body ends; empty: there is none."""
    lines = [f"HTTP/1.1 {response.status} {HTTPStatus(response.status).phrase}"]
    lines += [f"{name}: {value}" for name, value in response.headers]
    lines += [length] if length else []
    lines += [] if keep else ["connection: close"]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")
