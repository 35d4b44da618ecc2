"""What the bytes say, by httptools' parser: requests, one after the other. It has no socket, and never waits."""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter

import httptools

from ondevice.cloud.app.messages import Application, ArrivingRequest
from ondevice.cloud.http.early import EarlyReplyError
from ondevice.cloud.http.limits import HttpLimits
from ondevice.cloud.http.transaction import Transaction
from ondevice.errors import ProtocolError
from ondevice.protocol.content_coding import Inflater

# So much at a time is parsed where it could be 28 requests, each of which takes a hundred times its length in memory.
# Up to the end of a head, and in chunks, which are mostly a body, it may be more.
_PIECE, _MOST_PIECE = 512, 4096


class RequestParser:
    """Begins a transaction at a request's first byte; `take_in` is given it with its head, `whole` when all is here."""

    def __init__(
        self,
        app: Application,
        limits: HttpLimits,
        take_in: Callable[[Transaction, bytes], None],
        whole: Callable[[Transaction], None],
    ) -> None:
        self._app, self._limits, self._take_in, self._whole = app, limits, take_in, whole
        self._parser = httptools.HttpRequestParser(self)
        # Whose request is arriving.
        self.transaction: Transaction | None = None
        # What came since the last head, or piece of a body.
        self._head_bytes = 0
        # Whether the body that is arriving is one that httptools leaves out: that of whoever offers another protocol,
        # as curl and Java's client do with HTTP/2.
        self._unparsed = False

    def advance(self, data: bytes, start: int) -> int:
        """Parse a head, the rest of a body, or little, from there on; where that ended. Raises EarlyReplyError."""
        if self._unparsed:
            return self._take_unparsed(data, start)
        piece = self._piece(data, start)
        self._head_bytes += len(piece)
        try:
            self._parser.feed_data(piece)
        except httptools.HttpParserUpgrade as upgrade:
            return start + int(upgrade.args[0])  # which nobody need follow: a body or the next request may be there
        except httptools.HttpParserError as error:
            if error.__context__ is not None:  # what a callback below raised
                raise error.__context__ from None
            message = f"no valid HTTP/1.1 request: {str(error).lower() or 'malformed'}"
            raise EarlyReplyError(self._app.refusal(400, message)) from None
        if self._head_bytes > self._limits.header_bytes:
            raise EarlyReplyError(self._app.refusal(431, self._limits.too_long))
        return start + len(piece)

    def _take_unparsed(self, data: bytes, start: int) -> int:
        transaction = self.transaction
        assert transaction
        assert transaction.length
        body = data[start : start + transaction.length - transaction.received]
        self.on_body(body)
        if transaction.received == transaction.length:
            self.on_message_complete()
        return start + len(body)

    def _piece(self, data: bytes, start: int) -> bytes | memoryview:
        """What to parse before looking again whether there is room for more."""
        transaction = self.transaction
        if transaction is None or transaction.request is None:
            end = data.find(b"\r\n\r\n", start, start + _MOST_PIECE)
            return data[start : start + _PIECE if end < 0 else end + 4]
        if transaction.length is None:
            return data[start : start + _MOST_PIECE]
        end = start + max(transaction.length - transaction.received, _PIECE)
        return memoryview(data)[start:end] if start or end < len(data) else data

    def on_message_begin(self) -> None:
        """A request begins."""
        self.transaction = Transaction(perf_counter())

    def on_url(self, url: bytes) -> None:
        """A piece of its target."""
        assert self.transaction
        self.transaction.url += url
        self.transaction.head_bytes += len(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header; of several with one name the last counts, which no header used here may have."""
        transaction = self.transaction
        assert transaction
        if transaction.request is None:  # else a trailer
            transaction.head_bytes += len(name) + len(value) + 4
            # Blanks behind a value do not belong to it (RFC 9110, 5.5); the parser leaves them there.
            transaction.headers[name.decode("latin-1").lower()] = value.rstrip(b" \t").decode("latin-1")

    def on_headers_complete(self) -> None:
        """All but the body is here: refuse what can be refused before the body is read."""
        assert self.transaction
        if self.transaction.head_bytes > self._limits.header_bytes:
            raise EarlyReplyError(self._app.refusal(431, self._limits.too_long))
        self._head_bytes = 0
        transaction, parser = self.transaction, self._parser
        if parser.should_upgrade() and "transfer-encoding" in transaction.headers:
            raise EarlyReplyError(self._app.refusal(411, "send a Content-Length, or offer no other protocol"))
        transaction.keep, transaction.chunks = parser.should_keep_alive(), parser.get_http_version() == "1.1"
        self._take_in(transaction, parser.get_method())

    def on_body(self, body: bytes) -> None:
        """A piece of the body."""
        transaction = self.transaction
        assert transaction
        assert transaction.request
        self._head_bytes = 0
        transaction.received += len(body)
        if transaction.length is None:
            transaction.hold(transaction.received, self._app, self._limits)
        if transaction.inflater:
            self._expand(transaction, transaction.inflater, body)
        else:
            self._hand_on(transaction.request, body)

    def _expand(self, transaction: Transaction, inflater: Inflater, body: bytes) -> None:
        assert transaction.request
        try:
            for piece in inflater.expand(body):
                transaction.expanded += len(piece)
                transaction.hold(transaction.expanded, self._app, self._limits)
                self._hand_on(transaction.request, piece)
        except ProtocolError as error:
            raise EarlyReplyError(self._app.refusal(400, str(error))) from None

    def _hand_on(self, request: ArrivingRequest, body: bytes) -> None:
        if (reply := request.receive(body)) is not None:
            raise EarlyReplyError(reply)

    def on_message_complete(self) -> None:
        """The request is whole, but for a body that is left out."""
        transaction = self.transaction
        assert transaction
        self._unparsed = self._parser.should_upgrade() and transaction.received != transaction.length
        if not self._unparsed:
            if transaction.inflater and not transaction.inflater.finished:
                raise EarlyReplyError(self._app.refusal(400, "the body ends before what it is compressed from does"))
            self.transaction = None
            transaction.last_byte = perf_counter()
            self._whole(transaction)

    def abandon(self) -> None:
        """What is arriving will not be whole: it holds nothing more."""
        if self.transaction:
            self.transaction.give_back()
            self.transaction = None
