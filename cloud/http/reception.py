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
from ondevice.cloud.http.transaction import Transaction
from ondevice.protocol import content_coding

# What a body of unknown length holds at first, and each time that it turns out to be longer twice as much.
_UNKNOWN_BYTES = 256 << 10


class Reception:
    """Takes requests in. go_on: tells a client to send its body, if it waits for that; read_on: parse what waited.

    waits: whether the one that is arriving has to wait for room for its body.
    """

    def __init__(
        self, connections: Connections, peer: str, go_on: Callable[[], None], read_on: Callable[[], None]
    ) -> None:
        self._app, self._limits, self._bodies = connections.app, connections.limits, connections.bodies
        self._peer, self._go_on, self._read_on = peer, go_on, read_on
        self.waits = False

    def take_in(self, transaction: Transaction, method: bytes) -> None:
        """Begin a request whose head is here. Raises EarlyReplyError where its body is not wanted."""
        headers = transaction.headers
        try:
            path, query = wire.target(transaction.url)
        except httptools.HttpParserInvalidURLError:
            raise EarlyReplyError(self._app.refusal(400, "the request's target is not a URL")) from None
        announced = headers.get("content-length")
        # The parser lets in digits alone, of 64 bits; zeros before them may be thousands, more than `int` reads.
        length = int(announced.lstrip("0") or 0) if announced else None
        if length and length > self._limits.body_bytes:
            raise EarlyReplyError(self._app.refusal(413, self._limits.too_large))
        known = None if "content-encoding" in headers else length
        head = Head(method.decode("latin-1"), path, query, headers, known, self._peer, transaction.first_byte)
        begun = self._app.begin(head)
        if isinstance(begun, Response):
            raise EarlyReplyError(begun)
        transaction.request, transaction.head_only = begun, method == b"HEAD"
        if length:
            self._expect(transaction, length, length)
        elif "transfer-encoding" in headers:
            self._expect(transaction, None, _UNKNOWN_BYTES)

    def _expect(self, transaction: Transaction, length: int | None, amount: int) -> None:
        """Make room for a body, or let it wait for some."""
        transaction.length, transaction.inflater = length, content_coding.inflater(transaction.headers)
        transaction.share = self._bodies.take(amount, lambda: self._soon(transaction))
        if not transaction.share.granted:
            self.waits, transaction.held_from = True, perf_counter()
        elif "expect" in transaction.headers:
            self._invite(transaction)

    def _soon(self, transaction: Transaction) -> None:
        """Some room was given back: whoever did that is to finish first."""
        asyncio.get_running_loop().call_soon(self._let_in, transaction)

    def _let_in(self, transaction: Transaction) -> None:
        """There is room for its body now."""
        if transaction.share:  # else its client has left meanwhile
            self.waits, transaction.held_s = False, perf_counter() - transaction.held_from
            self._invite(transaction)
            self._read_on()

    def _invite(self, transaction: Transaction) -> None:
        if transaction.headers.get("expect", "").lower() == "100-continue":
            self._go_on()
