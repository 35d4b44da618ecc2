"""The heads of one client's requests are shown to the service, and room is found for their bodies."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from time import perf_counter

import httptools

from ondevice.cloud.app.messages import Head, Response
from ondevice.cloud.http import wire
from ondevice.cloud.http.connections import Connections
from ondevice.cloud.http.early import EarlyReplyError
from ondevice.cloud.http.exchange import Exchange

# What a body of unknown length holds at first, and each time that it turns out to be longer twice as much.
_UNKNOWN_BYTES = 256 << 10


class Reception:
    """Takes requests in. go_on: tells a client to send its body, if it waits for that; read_on: parse what waited."""

    def __init__(self, server: Connections, peer: str, go_on: Callable[[], None], read_on: Callable[[], None]) -> None:
        self._app, self._limits, self._bodies = server.app, server.limits, server.bodies
        self._peer, self._go_on, self._read_on = peer, go_on, read_on

    def take_in(self, exchange: Exchange, method: bytes) -> None:
        """Begin a request whose head is here. Raises EarlyReplyError where its body is not wanted."""
        headers = exchange.headers
        try:
            path, query = wire.target(exchange.url)
        except httptools.HttpParserInvalidURLError:
            raise EarlyReplyError(self._app.refusal(400, "the request's target is not a URL")) from None
        announced = headers.get("content-length", "")
        length = int(announced) if announced.isdigit() else None
        if length and length > self._limits.body_bytes:
            raise EarlyReplyError(self._app.refusal(413, self._limits.too_large))
        head = Head(method.decode("latin-1"), path, query, headers, length, self._peer, exchange.first_byte)
        begun = self._app.begin(head)
        if isinstance(begun, Response):
            raise EarlyReplyError(begun)
        exchange.request, exchange.head_only = begun, method == b"HEAD"
        if length:
            self._expect(exchange, length, length)
        elif "transfer-encoding" in headers:
            self._expect(exchange, None, _UNKNOWN_BYTES)

    def _expect(self, exchange: Exchange, length: int | None, amount: int) -> None:
        """Make room for a body, or let it wait for some."""
        loop = asyncio.get_running_loop()
        exchange.length = length
        exchange.share = self._bodies.take(amount, lambda: loop.call_soon(self._let_in, exchange))
        if exchange.share.granted:
            self._invite(exchange)
        else:
            exchange.waits, exchange.held_from = True, perf_counter()

    def _let_in(self, exchange: Exchange) -> None:
        """There is room for its body now."""
        if exchange.waits:  # its client may have left meanwhile
            exchange.waits, exchange.held_s = False, perf_counter() - exchange.held_from
            self._invite(exchange)
            self._read_on()

    def _invite(self, exchange: Exchange) -> None:
        if exchange.headers.get("expect", "").lower() == "100-continue":
            self._go_on()
