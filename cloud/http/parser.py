"""What the bytes say, by httptools: requests, one after the other. It has no socket and no clock, and never waits."""

from __future__ import annotations

from collections.abc import Callable

import httptools

from ondevice.cloud.app.messages import Application
from ondevice.cloud.http import framing
from ondevice.cloud.http.early import EarlyReplyError
from ondevice.cloud.http.limits import HttpLimits
from ondevice.cloud.http.transaction import Transaction

# So much at a time is parsed where it could be 28 requests, each of which takes a hundred times its length in memory.
# Up to the end of a head, and in chunks, which are mostly a body, it may be more.
_PIECE, _MOST_PIECE = 512, 4096
# For a parser that is to read chunks alone.
_CHUNKED = b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"


class RequestParser:
    """Begins a transaction at a request's first byte; `take_in` is given it with its head, `whole` when all is here, or
    its head declined.
    """

    def __init__(
        self,
        app: Application,
        limits: HttpLimits,
        take_in: Callable[[Transaction], None],
        whole: Callable[[Transaction], None],
    ) -> None:
        self._app, self._limits, self._take_in, self._whole = app, limits, take_in, whole
        self._parser = httptools.HttpRequestParser(self)
        # Whose request is arriving, and its headers as they come.
        self.transaction: Transaction | None = None
        self._fields: list[tuple[bytes, bytes]] = []
        # What came since the last head, or piece of a body.
        self._head_bytes = 0
        self._now = 0.0
        # Whether the last request was to be the last.
        self._over = False

    def advance(self, data: bytes, start: int, now: float) -> int:
        """Parse a head, the rest of a body, or little, from there on; where that ended. now: by perf_counter, in s.

        Raises EarlyReplyError.
        """
        self._now, transaction = now, self.transaction
        if transaction is None and self._over:
            return len(data)
        if transaction and transaction.request and transaction.length:
            return self._count(transaction, transaction.length, data, start)
        piece = _piece(data, start, transaction is not None and transaction.request is not None)
        self._head_bytes += len(piece)
        try:
            self._parser.feed_data(piece)
        except httptools.HttpParserUpgrade as upgrade:
            self._go_on()
            return start + int(upgrade.args[0])
        except httptools.HttpParserError as error:
            if error.__context__ is not None:  # what a callback below raised
                raise error.__context__ from None
            if self._over:
                return len(data)
            raise self._refused(400, self._malformed(error)) from None
        if self._head_bytes > self._limits.header_bytes:
            raise self._refused(431, self._limits.too_long)
        return start + len(piece)

    def _count(self, transaction: Transaction, length: int, data: bytes, start: int) -> int:
        """Of a body whose length is known the parser need not see anything, which would be another copy."""
        end = start + length - transaction.received
        if not transaction.received and end <= len(data):
            body: bytes | memoryview = memoryview(data)[start:end]
        else:
            body = data if not start and end >= len(data) else data[start:end]
        self.on_body(body)
        if transaction.received == length:
            self._parser = httptools.HttpRequestParser(self)  # the last one waits for this body
            self._complete(transaction)
        return start + len(body)

    def _go_on(self) -> None:
        """Nobody need follow to another protocol, which curl and Java's client offer with each first request. What the
        parser takes for the beginning of that is a body, or the next request.
        """
        if self.transaction and self.transaction.length is None:
            self._parser = httptools.HttpRequestParser(self)
            self._parser.feed_data(_CHUNKED)

    def _malformed(self, error: httptools.HttpParserError) -> str:
        """What the client and the log are told of bytes that are not a request."""
        if self._parser.get_method() == b"PRI":  # with which HTTP/2 begins, and so gRPC
            return "HTTP/2 and gRPC are not spoken here: ask in HTTP/1.1"
        return f"no valid HTTP/1.1 request: {str(error).lower() or 'malformed'}"

    def _refused(self, status: int, message: str) -> EarlyReplyError:
        return EarlyReplyError(self._app.refusal(status, message))

    def on_message_begin(self) -> None:
        """A request begins."""
        if self.transaction is None:  # else its chunks do
            self.transaction = Transaction(self._now)

    def on_url(self, url: bytes) -> None:
        """A piece of its target."""
        transaction = self.transaction
        assert transaction
        if not transaction.request:
            transaction.url += url
            transaction.method = self._parser.get_method()

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header, or a trailer, which nobody looks at."""
        self._fields.append((name, value))

    def on_headers_complete(self) -> None:
        """All but the body is here: refuse what can be refused before the body is read."""
        transaction, fields = self.transaction, self._fields
        # A head that begins in the piece with which chunks end is not counted there.
        most_bytes, self._head_bytes, self._fields = self._head_bytes + _MOST_PIECE, 0, []
        assert transaction
        if transaction.request:  # whose chunks begin here
            return
        limits = self._limits
        if most_bytes > limits.header_bytes and framing.head_bytes(transaction.url, fields) > limits.header_bytes:
            raise self._refused(431, limits.too_long)
        parser = self._parser
        transaction.keep, transaction.http_1_1 = parser.should_keep_alive(), parser.get_http_version() == "1.1"
        transaction.headers = framing.headers(fields)
        if fault := framing.fault(fields, transaction.headers, transaction.http_1_1):
            raise self._refused(*fault)
        self._take_in(transaction)
        if transaction.declined:
            self._whole(transaction)

    def on_body(self, body: bytes | memoryview) -> None:
        """A piece of the body."""
        transaction = self.transaction
        assert transaction
        self._head_bytes = 0
        transaction.receive(body, self._app, self._limits)

    def on_message_complete(self) -> None:
        """The request is whole, but for a body that the parser leaves out where another protocol is offered."""
        transaction = self.transaction
        assert transaction
        self._fields.clear()  # trailers
        if not self._parser.should_upgrade() or transaction.received == transaction.length:
            self._complete(transaction)

    def _complete(self, transaction: Transaction) -> None:
        self.transaction, self._over = None, not transaction.keep
        transaction.last_byte = self._now
        if not transaction.declined:
            self._whole(transaction)

    def abandon(self) -> None:
        """What is arriving will not be whole: it holds nothing more."""
        if self.transaction:
            self.transaction.give_back()
            self.transaction = None


def _piece(data: bytes, start: int, chunks: bool) -> bytes:
    """What to parse before looking again whether there is room for more."""
    if chunks:
        return data[start : start + _MOST_PIECE]
    end = data.find(b"\r\n\r\n", start, start + _MOST_PIECE)
    return data[start : start + _PIECE if end < 0 else end + 4]
