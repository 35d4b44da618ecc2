"""What was received and is not parsed yet: it waits for the requests before it, or for room for its body."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from ondevice.cloud.app.messages import Response
from ondevice.cloud.http.early import EarlyReplyError
from ondevice.cloud.http.exchange import Exchange
from ondevice.cloud.http.parser import RequestParser

# Requests of one connection that may be received before the first is answered: clients that pipeline send two or three,
# and each takes memory.
_PIPELINED = 8


class Inbox:
    """Parses as far as there is room for what is said, and lets the client send on only if that was all.

    waiting: requests that are whole. end: is told a reply that ends the dialogue.
    """

    def __init__(
        self, transport: Any, parser: RequestParser, waiting: deque[Exchange], end: Callable[[Response], None]
    ) -> None:
        self._transport, self._parser, self._waiting, self._end = transport, parser, waiting, end
        self._pending = b""
        self._paused = self._closed = False

    def receive(self, data: bytes) -> None:
        """Some bytes of one request or several."""
        if not self._closed:
            self._parse(self._pending + data if self._pending else data)

    def read_on(self) -> None:
        """There may be room for what waited."""
        if self._paused:
            self._parse(self._pending)

    def close(self) -> None:
        """Nothing more is wanted: what still comes is thrown away."""
        self._closed, self._pending = True, b""
        self._pause(False)

    def _parse(self, data: bytes) -> None:
        at = 0
        try:
            while not (full := self._full) and at < len(data):
                at = self._parser.advance(data, at)
        except EarlyReplyError as early:
            self._end(early.response)
            return
        self._pending = data[at:]
        if full is not self._paused:
            self._pause(full)

    @property
    def _full(self) -> bool:
        """Whether so many requests wait already, or one for room for its body."""
        exchange = self._parser.exchange
        return len(self._waiting) >= _PIPELINED or (exchange is not None and exchange.waits)

    def _pause(self, paused: bool) -> None:
        if paused is not self._paused and not self._transport.is_closing():
            self._paused = paused
            self._transport.pause_reading() if paused else self._transport.resume_reading()
