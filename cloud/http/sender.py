"""What is sent to a client, and whether it reads it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from time import perf_counter, time
from typing import Any

from ondevice.cloud.app.messages import Piece, Response
from ondevice.cloud.http import wire
from ondevice.cloud.http.transaction import Transaction

_LAST_CHUNK = b"0\r\n\r\n"


class Sender:
    """Writes replies. unread: done when the client has read most of them; None where it has. unread_since: by
    perf_counter, in s.
    """

    def __init__(self, transport: Any) -> None:
        self._transport = transport
        self.unread: asyncio.Future[None] | None = None
        self.unread_since = 0.0

    def go_on(self) -> None:
        """The client, which waits to be told so, is to send its body."""
        self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def send(self, response: Response, body: bytes, keep: bool, to: Transaction | None) -> None:
        """A whole reply. keep: whether the connection stays. to: whose it is, if that was understood."""
        length = f"content-length: {len(body)}\r\n"
        head = wire.head(response, length, keep, to is None or to.http_1_1, time())
        self._transport.write(head if to and to.method == b"HEAD" else head + body)

    async def stream(self, response: Response, pieces: AsyncGenerator[Piece, None], keep: bool, chunks: bool) -> None:
        """Send the pieces as they come; where the client knows no chunks, the connection's end is that of the body."""
        coding = "transfer-encoding: chunked\r\n" if chunks else ""
        self._transport.write(wire.head(response, coding, keep, chunks, time()))
        end, last = _LAST_CHUNK if chunks else b"", False
        async with aclosing(pieces):
            async for data, last in pieces:
                chunk = b"%x\r\n%b\r\n" % (len(data), data) if chunks else data
                self._transport.write(chunk + end if last else chunk)
                if self.unread:
                    await self.unread
        if not last:
            self._transport.write(end)

    def pause(self) -> None:
        """The client does not read its replies: it gets no more until it does."""
        self.unread, self.unread_since = asyncio.get_running_loop().create_future(), perf_counter()

    def resume(self) -> None:
        """It reads again."""
        if self.unread and not self.unread.done():
            self.unread.set_result(None)
        self.unread = None

    def end(self) -> None:
        """Nothing more will be sent."""
        if self._transport.can_write_eof():
            self._transport.write_eof()

    def close(self) -> None:
        """Close the connection once all has gone out."""
        self._transport.close()
