"""HTTP/1.1 to one server on one connection, whose other end may say anything at any time, or nothing."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable
from time import perf_counter

from ondevice.client.connection import failures
from ondevice.client.connection.address import ServerAddress
from ondevice.client.connection.bytestream import ByteStream
from ondevice.client.connection.connecting import connect, secure
from ondevice.client.connection.failures import OpeningStage
from ondevice.client.connection.messages import HttpReply, HttpRequest
from ondevice.client.connection.parser import ReplyParser
from ondevice.client.connection.resolver import resolve
from ondevice.protocol import replies

# So much of a body goes with its head, in as few packets as it can; copying more costs a millisecond every few
# megabytes, and their memory.
_WITH_HEAD_BYTES = 256 << 10


def _ignore(reply: HttpReply) -> None:
    """What is done with a reply besides returning it: nothing."""


def _nothing() -> None:
    """What is done once a request is sent: nothing."""


class HttpStream:
    """An open connection, for one request at a time, in the event loop in which it was opened.

    connect_ms: its TCP round trip; opening_ms: all that opening it took, with looking up the name and TLS. local: this
    device's own address on it, family: the family of both. asked: whether it was ever. heard: whether anything has come
    back for the request at hand.
    """

    opening_ms = 0.0

    def __init__(self, opened: socket.socket, address: ServerAddress, token: str | None, connect_ms: float) -> None:
        self.asked = self.heard = False
        self.connect_ms = connect_ms
        self.local, self.family = str(opened.getsockname()[0]), int(opened.family)
        self._address = address
        authorization = f"Authorization: Bearer {token}\r\n" if token else ""
        self._common = f"Host: {address.host_header}\r\n{authorization}Accept-Encoding: identity\r\n"
        self._bytes = ByteStream(opened)

    @classmethod
    async def open(
        cls,
        address: ServerAddress,
        token: str | None,
        tls: ssl.SSLContext | None,
        until: float,
        stage: OpeningStage | None = None,
    ) -> HttpStream:
        """Connect by `until`, on perf_counter's clock. tls: how its certificate is judged, for https. stage: is told
        how far it is.

        Raises UpstreamError.
        """
        stage, begun = stage or OpeningStage(), perf_counter()
        if (within_s := until - begun) <= 0:
            raise failures.late(address.where, stage.waited_for, within_s)
        with failures.translated(address.where, stage, within_s):
            stage.waited_for = "no answer from the name server"
            rows = await resolve(address, until)
            stage.waited_for = "no connection"
            connected = await connect(rows, until)
        opened = connected.socket
        try:
            if tls:
                stage.waited_for = "connected, but no TLS"
                with failures.translated(address.where, stage, within_s):
                    async with asyncio.timeout(until - perf_counter()):
                        opened = await secure(opened, tls, address.tls_name)
            stream = cls(opened, address, token, connected.took_ms)
        except BaseException:  # given up, too
            opened.close()
            raise
        stream.opening_ms = (perf_counter() - begun) * 1e3
        return stream

    async def ask(
        self,
        request: HttpRequest,
        until: float,
        each: Callable[[HttpReply], object] = _ignore,
        sent: Callable[[], object] = _nothing,
    ) -> HttpReply:
        """The reply, if its status is 200 and it is whole by `until`, on perf_counter's clock.

        It is given to `each` as well; where it is several, a line each, every one is, when it is there. It is read
        while the request is being sent, and no more of that is sent once it is a refusal. sent: is called when the
        kernel has all of the request.

        Another status raises UpstreamError, and leaves the connection open if all was sent. Whatever else goes wrong
        raises UpstreamError and closes it; being cancelled does, and so does what `each` raises.
        """
        parser = ReplyParser(self._address.where)
        try:
            reply = await self._exchange(request, until - perf_counter(), parser, each, sent)
        except BaseException:
            self._bytes.abort()
            raise
        self._bytes.busy = False
        if not self._bytes.whole:
            self._bytes.abort()
        elif not (parser.keep_alive and self._bytes.quiet):
            self._bytes.close()
        if parser.status != 200:
            raise replies.refusal(self._address.where, parser.status, reply.body, parser.headers)
        return reply

    @property
    def usable(self) -> bool:
        """Whether it is open and nothing has come on it unasked."""
        if self._bytes.open and not self._bytes.busy:
            self._bytes.look()  # the loop may not have done so yet
        return self._bytes.open

    def when_lost(self, call: Callable[[HttpStream], object]) -> None:
        """Have it called if the other end closes it, or spoils it, while nothing is asked."""
        self._bytes.lost = lambda: call(self)

    def close(self) -> None:
        """Close it at once, whoever waits on it."""
        self._bytes.close()

    def abandon(self) -> None:
        """In the child of a fork: close what the child has of it, and leave it to the parent."""
        self._bytes.abandon()

    async def _exchange(
        self,
        request: HttpRequest,
        within_s: float,
        parser: ReplyParser,
        each: Callable[[HttpReply], object],
        sent: Callable[[], object],
    ) -> HttpReply:
        self.asked, self.heard, self._bytes.busy = True, False, True
        timer = asyncio.get_running_loop().call_later(within_s, self._bytes.give_up, TimeoutError())
        try:
            if within_s > 0 and self._bytes.open:
                self._send(request, sent)
            reply = HttpReply(parser.headers, b"")
            while not parser.done:
                reply = _read(parser, await self._next(within_s), each) or reply
                if parser.status > 200:
                    self._bytes.stop_sending()
        finally:
            timer.cancel()
        return reply

    def _send(self, request: HttpRequest, sent: Callable[[], object]) -> None:
        lines = "".join(f"{name}: {value}\r\n" for name, value in request.headers.items())
        length = f"Content-Length: {len(request.body)}\r\n" if request.method == "POST" else ""
        start = f"{request.method} {self._address.path}{request.path} HTTP/1.1\r\n"
        head, body = f"{start}{self._common}{lines}{length}\r\n".encode(), memoryview(request.body)
        self._bytes.send(head + body[:_WITH_HEAD_BYTES], body[_WITH_HEAD_BYTES:], sent=sent)

    async def _next(self, within_s: float) -> bytes:
        """The next bytes; none at the end. Raises UpstreamError."""
        try:
            piece = await self._bytes.next()
        except TimeoutError as error:
            said = "the request was not sent" if not self._bytes.whole else "no answer"
            raise failures.late(self._address.where, "no whole answer" if self.heard else said, within_s) from error
        except OSError as error:
            raise failures.failure(self._address.where, error) from error
        self.heard = self.heard or bool(piece)
        return piece


def _read(parser: ReplyParser, piece: bytes, each: Callable[[HttpReply], object]) -> HttpReply | None:
    """The last of what is whole in a piece of it, if anything is."""
    reply = None
    try:
        if piece:
            parser.feed(piece)
        else:
            parser.eof()
    finally:  # what came before a fault counts
        for body in parser.bodies():
            reply = HttpReply(parser.headers, body)
            if parser.status == 200:
                each(reply)
    return reply
