"""HTTP/1.1 on asyncio with httptools' parser: one connection, its requests in turn, the clock of their upload.

No server framework tells when a request's first byte came, from which its deadline runs.
"""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from collections.abc import AsyncGenerator
from contextlib import aclosing
from time import perf_counter
from typing import Any

import httptools

from ondevice.cloud.app.messages import ArrivingRequest, Head, Piece, Response
from ondevice.cloud.http import handshake, wire
from ondevice.cloud.http.connections import Connections
from ondevice.cloud.http.turn import Turn
from ondevice.resilience.budget import Allotment

# Requests of one connection that may be received before the first is answered: clients that pipeline send two or three,
# and each takes memory.
_PIPELINED = 8
# So much at a time goes to the parser where it could be 28 requests, each of which takes a hundred times its length in
# memory. Up to the end of a head, and in chunks, which are mostly a body, it may be more.
_PIECE, _MOST_PIECE = 512, 4096
# What a body of unknown length holds at first, and each time that it turns out to be longer twice as much.
_UNKNOWN_BYTES = 256 << 10
# How long what a refused client still sends is thrown away, so that it gets to read why; then the connection is closed.
_LINGER_S = 2.0
# While others wait for their turn a body must keep pace; this is for clients that do not send evenly.
_GRACE_S = 2.0
_CROWDED = "too many connections; try again later"
_LAST_CHUNK = b"0\r\n\r\n"


class Connection(asyncio.Protocol):
    """One client. Requests that are pipelined are answered one after the other."""

    def __init__(self, server: Connections) -> None:
        self._server, self._limits = server, server.limits
        self._parser = httptools.HttpRequestParser(self)
        self._queue: deque[Turn] = deque()
        self._task: asyncio.Task[None] | None = None
        self._securing: asyncio.Task[None] | None = None
        self._transport: Any = None
        self._discarding = self._paused = False
        self._receiving = False
        self._unread: asyncio.Future[None] | None = None
        # Received, and not parsed yet: it waits for those before it, or for room for its body.
        self._pending = b""
        self._head_bytes = 0
        self._headers: dict[str, str]
        # Once its head has been accepted, until it is whole or refused.
        self._arriving: ArrivingRequest | None = None
        self._header_bytes: int
        self._length: int | None
        self._share: Allotment | None = None
        # When it began what it is at, by perf_counter: its request's first byte, its reply's end, its refusal.
        self.since = perf_counter()
        self._new_message()

    # asyncio.Protocol

    def connection_made(self, transport: Any) -> None:
        """Take it in, or refuse it if there are too many; first of all its encryption."""
        self._transport = transport
        peer = transport.get_extra_info("peername")
        self._peer = str(peer[0]) if isinstance(peer, tuple) else ""
        welcome = self._server.admit(self)
        if transport.is_closing():
            return
        if tls := self._server.tls:
            transport.pause_reading()
            self._securing = asyncio.get_running_loop().create_task(self._secure(welcome, tls))
        elif not welcome:
            self._refuse(503, _CROWDED)

    async def _secure(self, welcome: bool, tls: ssl.SSLContext) -> None:
        secured = await handshake.secured(self._transport, self, tls)
        if secured is None:
            self._transport.abort()
            self._server.open.discard(self)
            return
        self._transport, self._securing = secured, None
        self._feed() if welcome else self._refuse(503, _CROWDED)

    def connection_lost(self, exc: Exception | None) -> None:
        """The client is gone: what it asked for is no longer wanted."""
        self._server.open.discard(self)
        self._let_go()
        for task in (self._task, self._securing):
            if task:
                task.cancel()

    def data_received(self, data: bytes) -> None:
        """Some bytes of one request or several."""
        if self._discarding:
            return
        if not self._receiving:
            self._receiving, self.since = True, perf_counter()
        self._pending = self._pending + data if self._pending else data
        if not self._securing:  # else the way back is not encrypted yet
            self._feed()

    def pause_writing(self) -> None:
        """The client does not read its replies: it gets no more until it does."""
        self._unread = asyncio.get_running_loop().create_future()

    def resume_writing(self) -> None:
        """It reads again."""
        if self._unread and not self._unread.done():
            self._unread.set_result(None)
        self._unread = None

    # Reading

    def _feed(self) -> None:
        """Parse what was received, as far as there is room for more, and read on only if all of it was."""
        data, start = memoryview(self._pending), 0
        while start < len(data) and not self._full and not self._discarding:
            end = start + self._piece(start)
            self._parse(data[start:end])
            start = end
        self._pending = bytes(data[start:]) if not self._discarding else b""
        paused = self._full and not self._discarding
        if paused != self._paused and not self._transport.is_closing():
            self._paused = paused
            self._transport.pause_reading() if paused else self._transport.resume_reading()

    @property
    def _full(self) -> bool:
        """Whether so many requests wait already, or one for room for its body."""
        return len(self._queue) >= _PIPELINED or (self._share is not None and not self._share.granted)

    def _piece(self, start: int) -> int:
        """How much to parse before looking again whether there is room: a head, the rest of a body, else little."""
        if not self._in_body:
            end = self._pending.find(b"\r\n\r\n", start, start + _MOST_PIECE)
            return _PIECE if end < 0 else end + 4 - start
        return _MOST_PIECE if self._length is None else max(self._length - self._received, _PIECE)

    def _parse(self, data: memoryview) -> None:
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

    # httptools' callbacks

    def on_message_begin(self) -> None:
        """A request begins, perhaps in the middle of what was received for the last."""
        self._new_message()
        if not self._receiving:
            self._receiving, self.since = True, perf_counter()

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
            path, query = wire.target(self._url)
        except httptools.HttpParserInvalidURLError:
            self._refuse(400, "the request's target is not a URL")
            return
        announced = self._headers.get("content-length", "")
        length = int(announced) if announced.isdigit() else None
        if (length or 0) > self._limits.body_bytes:
            self._refuse(413, self._too_large())
            return
        method = self._parser.get_method().decode("latin-1")
        head = Head(method, path, query, self._headers, length, self._peer, self.since)
        begun = self._server.app.begin(head)
        if isinstance(begun, Response):
            self._end(begun)
            return
        self._arriving = begun
        self._expect_body(length)

    def _expect_body(self, length: int | None) -> None:
        """Make room for a body, or wait for it; a body that comes in chunks says no length."""
        chunked = "transfer-encoding" in self._headers
        self._length = None if chunked else length or 0
        if self._length == 0:
            return
        amount = _UNKNOWN_BYTES if self._length is None else self._length
        loop = asyncio.get_running_loop()
        self._share = self._server.bodies.take(amount, lambda: loop.call_soon(self._room))
        if self._share.granted:
            self._go_on()
        else:
            self._held_from = perf_counter()

    def _room(self) -> None:
        """There is room for the body now."""
        if self._share is not None:  # it may have gone meanwhile
            self._held_s = perf_counter() - self._held_from
            self._go_on()
            self._feed()

    def _go_on(self) -> None:
        if self._headers.get("expect", "").lower() == "100-continue":
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, body: bytes) -> None:
        """A piece of the body."""
        self._head_bytes = 0
        if (arriving := self._arriving) is None:
            return
        self._received += len(body)
        if self._received > self._limits.body_bytes:
            self._refuse(413, self._too_large())
        elif self._share and self._received > self._share.amount and not self._share.grow(2 * self._share.amount):
            self._refuse(503, "more is being sent than there is memory for; try again, or send a Content-Length")
        elif (reply := arriving.receive(body)) is not None:
            self._end(reply)

    def on_message_complete(self) -> None:
        """The request is whole: answer it, or let it wait for those before it."""
        self._receiving = self._in_body = False
        if (arriving := self._arriving) is None:
            return
        parser, now = self._parser, perf_counter()
        head_only, chunks = parser.get_method() == b"HEAD", parser.get_http_version() == "1.1"
        turn = Turn(arriving, now, self._held_s, head_only, parser.should_keep_alive(), chunks, self._share)
        self._queue.append(turn)
        self._arriving, self._share, self._held_s = None, None, 0.0
        self.since = now
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._answer())

    # Answering

    async def _answer(self) -> None:
        while (self._queue or self._more()) and not self._transport.is_closing():
            turn = self._queue.popleft()
            try:
                response = await turn.request.answer(turn.last_byte, turn.held_s)
            finally:
                if turn.share:
                    turn.share.give_back()
            keep = turn.keep and not self._server.draining
            if isinstance(response.body, bytes):
                self._write(response, response.body, keep, turn.head_only)
            else:
                keep = keep and turn.chunks
                await self._stream(response, response.body, keep, turn.chunks)
            if not self._receiving:
                self.since = perf_counter()
            if not keep:
                self._transport.close()
                return
            if self._unread:
                await self._unread
            elif self._queue:  # other clients want their turn
                await asyncio.sleep(0)
        self._task = None

    def _more(self) -> bool:
        """Whether there are requests in what was received and waited for those before it."""
        if self._pending or self._paused:
            self._feed()
        return bool(self._queue)

    def _write(self, response: Response, body: bytes, keep: bool, head_only: bool = False) -> None:
        head = wire.head(response, f"content-length: {len(body)}", keep)
        self._transport.write(head + (b"" if head_only else body))

    async def _stream(self, response: Response, pieces: AsyncGenerator[Piece, None], keep: bool, chunks: bool) -> None:
        """Send the pieces as they come; where the client knows no chunks, the connection's end is that of the body."""
        self._transport.write(wire.head(response, "transfer-encoding: chunked" if chunks else "", keep))
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
        self._end(self._server.app.refusal(status, message))

    def _end(self, response: Response) -> None:
        """Reply to a request that is not read to its end, and let the connection run out."""
        if self._discarding:
            return
        self._discarding = True
        self.since = perf_counter()
        self._let_go(unanswered=False)
        if self._task is None:
            assert isinstance(response.body, bytes)
            self._write(response, response.body, keep=False)
            if self._transport.can_write_eof():
                self._transport.write_eof()

    def _let_go(self, unanswered: bool = True) -> None:
        """Keep nothing of a request that will not be whole, nor of those that wait for their turn."""
        self._pending, self._arriving = b"", None
        shares = [turn.share for turn in self._queue] if unanswered else []
        if unanswered:
            self._queue.clear()
        for share in (self._share, *shares):
            if share:
                share.give_back()
        self._share = None

    def _too_large(self) -> str:
        return f"the body is over {self._limits.body_bytes} bytes"

    def _too_long(self) -> str:
        return f"request line and headers are over {self._limits.header_bytes} bytes"

    def _new_message(self) -> None:
        self._url, self._headers = b"", {}
        self._received = self._header_bytes = 0
        self._length = 0
        self._held_from = self._held_s = 0.0
        self._in_body = False

    # The clock

    @property
    def engaged(self) -> bool:
        """Whether a request is arriving or being answered."""
        return not self._discarding and (self._receiving or self._task is not None)

    @property
    def idle(self) -> bool:
        """Whether nothing would be lost with it: no request's head is here that is not answered."""
        return not self.refused and self._task is None and not (self._receiving and self._in_body)

    @property
    def refused(self) -> bool:
        """Whether it was told no, and is given some time to read that."""
        return self._discarding

    def check(self, now: float, crowded: bool) -> None:
        """End the connection if its time is over. crowded: whether others wait for room for their bodies."""
        waited = now - self.since - self._held_s
        if self._discarding:
            if waited > _LINGER_S:
                self.abort()
        elif self._share and not self._share.granted:
            if now - self._held_from > self._limits.send_s:
                self._refuse(503, "too much is being sent at once; try again later")
        elif self._receiving and waited > self._limits.send_s:
            self._refuse(408, f"the request took over {self._limits.send_s:g} s to arrive")
        elif crowded and self._share and self._slow(waited):
            self._refuse(408, "the body came too slowly while others waited to send theirs")
        elif waited > self._limits.idle_s and (self._task is None or self._unread):
            # A client that does not read its reply would keep us from closing properly.
            self._transport.abort() if self._transport.get_write_buffer_size() else self._transport.close()

    def _slow(self, waited_s: float) -> bool:
        """Whether the body, at its pace, would not be whole in time anyway."""
        assert self._share
        return waited_s > _GRACE_S and self._received * self._limits.send_s < self._share.amount * waited_s

    def close_if_idle(self) -> None:
        """Close the connection unless a request is in flight."""
        if not self.engaged:
            self._transport.close()

    def abort(self) -> None:
        """Close the connection at once."""
        if self._securing:
            self._securing.cancel()
        self._transport.abort()
