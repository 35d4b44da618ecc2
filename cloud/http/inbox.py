"""What was received and is not parsed yet: it waits for the requests before it, or for room for its body."""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter
from typing import Any

from ondevice.cloud.app.messages import Response
from ondevice.cloud.http.early import EarlyReplyError
from ondevice.cloud.http.parser import RequestParser
from ondevice.cloud.http.reception import Reception
from ondevice.cloud.http.replies import ReplyQueue

# Requests of one connection that may be received before the first is answered: clients that pipeline send two or three,
# and each takes memory.
_PIPELINED = 8


class Inbox:
    """Parses as far as there is room for what is said, and lets the client send on only if that was all.

    end: is told a reply that ends the dialogue.
    """

    def __init__(
        self,
        transport: Any,
        parser: RequestParser,
        reception: Reception,
        replies: ReplyQueue,
        end: Callable[[Response], None],
    ) -> None:
        self._transport, self._parser, self._end = transport, parser, end
        self._reception, self._replies = reception, replies
        self._pending = b""
        self._paused = self._closed = False

    def receive(self, data: bytes) -> None:
        """Some bytes of one request or several."""
        if self._closed:
            return
        if self._pending:
            data = self._pending + data
        at, full, now = 0, self._paused and self._full, perf_counter()
        try:
            while at < len(data) and not full:
                at = self._parser.advance(data, at, now)
                full = self._full
        except EarlyReplyError as early:
            self._end(early.response)
            return
        self._pending = data[at:]
        if full is not self._paused:
            self._pause(full)

    def read_on(self) -> None:
        """There may be room for what waited."""
        if self._paused:
            self.receive(b"")

    def close(self) -> None:
        """Nothing more is wanted: what still comes is thrown away."""
        self._closed, self._pending = True, b""
        self._pause(False)

    @property
    def _full(self) -> bool:
        """Whether so many requests wait already, or one for room for its body."""
        return self._reception.waits or len(self._replies.waiting) >= _PIPELINED

    def _pause(self, paused: bool) -> None:
        if paused is not self._paused and not self._transport.is_closing():
            self._paused, self._replies.then = paused, self.read_on if paused else None
            self._transport.pause_reading() if paused else self._transport.resume_reading()
