"""The heads of one client's requests are shown to the service, and room is found for their bodies."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from time import perf_counter

import httptools

from ondevice.cloud.app.messages import ArrivingRequest, Head, Response
from ondevice.cloud.http import wire
from ondevice.cloud.http.connections import Connections
from ondevice.cloud.http.declined import Declined
from ondevice.cloud.http.expanding import Expanding
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

    def take_in(self, transaction: Transaction) -> None:
        """Begin a request whose head is here. Raises EarlyReplyError where it is refused, and not read to its end."""
        headers = transaction.headers
        announced = headers.get("content-length")
        # The parser lets in digits alone, of 64 bits; zeros before them may be thousands, more than `int` reads.
        length = int(announced.lstrip("0") or 0) if announced else None
        transaction.length = None if "transfer-encoding" in headers else length or 0
        begun = self._begin(transaction, length)
        if isinstance(begun, Response):
            transaction.request, transaction.declined = Declined(begun, transaction), True
            return
        transaction.request = begun
        if transaction.length != 0:
            if inflater := content_coding.inflater(headers):
                transaction.request = Expanding(begun, inflater, transaction, self._app, self._limits)
            self._expect(transaction, transaction.length or _UNKNOWN_BYTES)

    def _begin(self, transaction: Transaction, length: int | None) -> ArrivingRequest | Response:
        try:
            path, query, authority = wire.target(transaction.url)
        except httptools.HttpParserInvalidURLError:
            return self._app.refusal(400, "the request's target is not a URL")
        if length and length > self._limits.body_bytes:
            return self._app.refusal(413, self._limits.too_large)
        method, headers = transaction.method.decode("latin-1"), transaction.headers
        if authority is not None:
            headers["host"] = authority
        known = None if "content-encoding" in headers else length
        return self._app.begin(Head(method, path, query, headers, known, self._peer, transaction.first_byte))

    def _expect(self, transaction: Transaction, amount: int) -> None:
        """Make room for a body, or let it wait for some."""
        transaction.share = self._bodies.take(amount, lambda: self._soon(transaction))
        if not transaction.share.granted:
            self.waits, transaction.held_from = True, perf_counter()
        elif transaction.waits_to_send:
            self._go_on()

    def _soon(self, transaction: Transaction) -> None:
        """Some room was given back: whoever did that is to finish first."""
        asyncio.get_running_loop().call_soon(self._let_in, transaction)

    def _let_in(self, transaction: Transaction) -> None:
        """There is room for its body now."""
        if transaction.share:  # else its client has left meanwhile
            self.waits, transaction.held_s = False, perf_counter() - transaction.held_from
            if transaction.waits_to_send:
                self._go_on()
            self._read_on()
