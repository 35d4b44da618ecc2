"""What the bytes say, by httptools' parser: requests, one after the other. Here is no socket, and nothing waits."""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter

import httptools

from ondevice.cloud.app.messages import Application
from ondevice.cloud.http.early import EarlyReplyError
from ondevice.cloud.http.exchange import Exchange
from ondevice.cloud.http.limits import HttpLimits

# So much at a time is parsed where it could be 28 requests, each of which takes a hundred times its length in memory.
# Up to the end of a head, and in chunks, which are mostly a body, it may be more.
_PIECE, _MOST_PIECE = 512, 4096


class RequestParser:
    """Begins an exchange at a request's first byte; `take_in` is given it with its head, `whole` when all is here."""

    def __init__(
        self,
        app: Application,
        limits: HttpLimits,
        take_in: Callable[[Exchange, bytes], None],
        whole: Callable[[Exchange], None],
    ) -> None:
        self._app, self._limits, self._take_in, self._whole = app, limits, take_in, whole
        self._parser = httptools.HttpRequestParser(self)
        # Whose request is arriving.
        self.exchange: Exchange | None = None
        # What came since the last head, or piece of a body.
        self._head_bytes = 0

    def advance(self, data: bytes, start: int) -> int:
        """Parse a head, the rest of a body, or little, from there on; where that ended. Raises EarlyReplyError."""
        end = min(self._cut(data, start), len(data))
        self._head_bytes += end - start
        try:
            self._parser.feed_data(data if end - start == len(data) else memoryview(data)[start:end])
        except httptools.HttpParserUpgrade as upgrade:
            return start + int(upgrade.args[0])  # which nobody need follow: the next request may be there
        except httptools.HttpParserError as error:
            if error.__context__ is not None:  # what a callback below raised
                raise error.__context__ from None
            message = f"no valid HTTP/1.1 request: {str(error).lower() or 'malformed'}"
            raise EarlyReplyError(self._app.refusal(400, message)) from None
        if self._head_bytes > self._limits.header_bytes:
            raise EarlyReplyError(self._app.refusal(431, self._limits.too_long))
        return end

    def _cut(self, data: bytes, start: int) -> int:
        """Up to where to parse before looking again whether there is room for more."""
        exchange = self.exchange
        if exchange is None or exchange.request is None:
            end = data.find(b"\r\n\r\n", start, start + _MOST_PIECE)
            return start + _PIECE if end < 0 else end + 4
        if exchange.length is None:
            return start + _MOST_PIECE
        return start + max(exchange.length - exchange.received, _PIECE)

    def on_message_begin(self) -> None:
        """A request begins."""
        self.exchange = Exchange(perf_counter())

    def on_url(self, url: bytes) -> None:
        """A piece of its target."""
        assert self.exchange
        self.exchange.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header; of several with one name the last counts, which no header used here may have."""
        assert self.exchange
        if self.exchange.request is None:  # else a trailer
            self.exchange.headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        """All but the body is here: refuse what can be refused before the body is read."""
        assert self.exchange
        if self._head_bytes > self._limits.header_bytes:
            raise EarlyReplyError(self._app.refusal(431, self._limits.too_long))
        self._head_bytes = 0
        self._take_in(self.exchange, self._parser.get_method())

    def on_body(self, body: bytes) -> None:
        """A piece of the body."""
        assert self.exchange
        self._head_bytes = 0
        self.exchange.receive(body, self._app, self._limits)

    def on_message_complete(self) -> None:
        """The request is whole."""
        exchange, parser = self.exchange, self._parser
        assert exchange
        self.exchange = None
        exchange.last_byte = perf_counter()
        exchange.keep, exchange.chunks = parser.should_keep_alive(), parser.get_http_version() == "1.1"
        self._whole(exchange)

    def abandon(self) -> None:
        """What is arriving will not be whole: it holds nothing more."""
        if self.exchange:
            self.exchange.give_back()
            self.exchange = None
