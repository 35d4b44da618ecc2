"""HTTP to one server under a deadline that holds at every byte: connections, requests, replies. Trusts no reply."""

from __future__ import annotations

import contextlib
import http.client
import io
import socket
import ssl
from collections.abc import Callable, Iterator
from time import perf_counter
from typing import Any, NoReturn, cast

from ondevice import words
from ondevice.client.connection.address import ServerAddress
from ondevice.client.connection.messages import HttpReply, HttpRequest, ReplyHeaders
from ondevice.errors import FailureKind, UpstreamError
from ondevice.protocol import headers, replies

# A thousand classes take some 60 kB of JSON; what is larger by far is not an answer to a picture.
MAX_REPLY_BYTES = 4 << 20


class HttpConnection:
    """One connection, for one request at a time. `cancel`, from any thread, ends it and what waits on it.

    connect_ms: what opening it took, which is one round trip, name resolution and TLS aside. local: the own address.
    Whatever fails raises UpstreamError, and closes it, unless that is only another status than 200.
    """

    def __init__(self, address: ServerAddress, token: str | None, tls: ssl.SSLContext | None, until: float) -> None:
        self.heard = False  # whether anything has come back for the request at hand
        self.cancelled = False
        self._received, self._ended = 0, False  # in the reply at hand
        self._address = address
        authorization = f"Authorization: Bearer {token}\r\n" if token else ""
        self._common = f"Host: {address.host_header}\r\n{authorization}Accept-Encoding: identity\r\n"
        with _translated(address, until):
            self._socket = self._open(tls, until)
            self.local = self._socket.getsockname()[0]

    def _open(self, tls: ssl.SSLContext | None, until: float) -> socket.socket:
        found = socket.getaddrinfo(self._address.host, self._address.port, type=socket.SOCK_STREAM)
        start = perf_counter()
        opened = _first(found, until)
        self.connect_ms = (perf_counter() - start) * 1e3
        try:
            opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if tls is None:
                return opened
            opened.settimeout(_left_s(until))
            return tls.wrap_socket(opened, server_hostname=self._address.tls_name)
        except OSError:
            opened.close()
            raise

    def ask(
        self, request: HttpRequest, until: float, each: Callable[[HttpReply], object] = lambda reply: None
    ) -> HttpReply:
        """The reply, if its status is 200 and it is there by `until`, on perf_counter's clock.

        It is given to `each` as well; where it is several, a line each, every one is, when it is there.
        Another status leaves the connection open.
        """
        self.heard = False
        try:
            with _translated(self._address, until):
                with contextlib.suppress(ConnectionError):  # it may have refused before it had read all
                    self._send(request, until)
                status, reply = self._receive(request, until, each)
        except UpstreamError:
            self.close()
            raise
        if status != 200:
            raise replies.refusal(self._address.where, status, reply.body, reply.headers)
        return reply

    @property
    def usable(self) -> bool:
        """Whether it is open and nothing has come on it unasked; its server may have closed it meanwhile."""
        try:
            self._socket.settimeout(0)
            self._socket.recv(1)  # TLS may have received what is for itself alone
        except (BlockingIOError, ssl.SSLWantReadError):
            return True
        except (OSError, ValueError):
            return False
        return False

    def cancel(self) -> None:
        """End it, with what waits on it."""
        self.cancelled = True
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Close it."""
        with contextlib.suppress(OSError):
            self._socket.close()

    # What http.client's response wants of a socket

    def makefile(self, mode: str) -> io.BufferedReader:
        """The stream of the reply, as http.client reads it."""
        return io.BufferedReader(_ReplyStream(self))

    def receive_into(self, buffer: Any) -> int:
        """The next bytes, by the deadline."""
        self._socket.settimeout(_left_s(self._until))
        count = self._socket.recv_into(buffer)
        self.heard = self.heard or count > 0
        self._received, self._ended = self._received + count, count == 0
        if self._received > MAX_REPLY_BYTES:
            raise UpstreamError(f"its answer is over {MAX_REPLY_BYTES >> 20} MiB", FailureKind.WRONG)
        return count

    def _send(self, request: HttpRequest, until: float) -> None:
        lines = "".join(f"{name}: {value}\r\n" for name, value in request.headers.items())
        length = f"Content-Length: {len(request.body)}\r\n" if request.method == "POST" else ""
        start = f"{request.method} {self._address.path}{request.path} HTTP/1.1\r\n"
        self._socket.settimeout(_left_s(until))
        self._socket.sendall(f"{start}{self._common}{lines}{length}\r\n".encode() + request.body)

    def _receive(
        self, request: HttpRequest, until: float, each: Callable[[HttpReply], object]
    ) -> tuple[int, HttpReply]:
        self._until, self._received, self._ended = until, 0, False
        response = http.client.HTTPResponse(cast(socket.socket, self), method=request.method)
        try:
            self._begin(response)
            reply = HttpReply(ReplyHeaders(), b"")
            for reply in self._replies(response):
                if response.status == 200:
                    each(reply)
        finally:
            response.close()
        if response.will_close:
            self.close()
        return response.status, reply

    def _replies(self, response: http.client.HTTPResponse) -> Iterator[HttpReply]:
        """The one that it is, once it is whole, or each of its lines as it comes."""
        if response.headers.get_content_type() == headers.LINES:
            for line in iter(lambda: response.readline(MAX_REPLY_BYTES), b""):
                yield HttpReply(ReplyHeaders(response.headers.items()), line)
            self._check_whole(response)
        else:
            body = response.read(MAX_REPLY_BYTES)
            self._check_whole(response)
            yield HttpReply(ReplyHeaders(response.headers.items()), body)

    def _check_whole(self, response: http.client.HTTPResponse) -> None:
        """To http.client the lines of chunks are whole where the stream ends."""
        if response.length or (response.chunked and self._ended):
            raise http.client.IncompleteRead(b"", response.length)

    def _begin(self, response: http.client.HTTPResponse) -> None:
        """Read status and headers. To http.client they are whole where the stream ends."""
        try:
            response.begin()
        except http.client.HTTPException:
            if not self._ended:
                raise
        if self._ended:
            raise http.client.IncompleteRead(b"")


class _ReplyStream(io.RawIOBase):
    """What a connection receives."""

    def __init__(self, connection: HttpConnection) -> None:
        self._connection = connection

    def readable(self) -> bool:
        """Whether it can be read: always."""
        return True

    def readinto(self, buffer: Any) -> int:
        """The next bytes."""
        return self._connection.receive_into(buffer)


def _first(found: list[Any], until: float) -> socket.socket:
    """A connection to the first of the addresses that takes one."""
    for number, (family, kind, protocol, _, where) in enumerate(found, 1):
        opened = None
        try:
            opened = socket.socket(family, kind, protocol)
            opened.settimeout(_left_s(until) / (len(found) - number + 1))
            opened.connect(where)
        except OSError:
            if opened:
                opened.close()
            if number == len(found):
                raise
        else:
            return opened
    raise OSError("it has no address")


def _left_s(until: float) -> float:
    left = until - perf_counter()
    if left <= 0:
        raise TimeoutError
    return left


@contextlib.contextmanager
def _translated(address: ServerAddress, until: float) -> Any:
    """Turn what goes wrong within into UpstreamErrors that say what to do, where one can."""
    try:
        yield
    except UpstreamError:
        raise
    except (OSError, http.client.HTTPException, ValueError) as error:
        _raise(error, address)


def _raise(error: Exception, address: ServerAddress) -> NoReturn:
    where = address.where
    if isinstance(error, TimeoutError):
        raise UpstreamError(f"{where}: no answer in time", FailureKind.LATE) from error
    if isinstance(error, ssl.SSLCertVerificationError):
        said = error.verify_message or "not valid"
        message = f"{where}: its certificate is refused: {said}; give the file of its authority"
        raise UpstreamError(message, FailureKind.UNTRUSTED) from error
    if isinstance(error, ConnectionRefusedError):
        said = f"{where} refuses connections; is `ondevice serve` running there?"
        raise UpstreamError(said, FailureKind.REFUSED) from error
    if isinstance(error, ConnectionError | http.client.IncompleteRead | ssl.SSLEOFError | ssl.SSLZeroReturnError):
        said = f"{where}: the connection was lost before the answer was whole"
        raise UpstreamError(said, FailureKind.CUT) from error
    if isinstance(error, ssl.SSLError):
        said = f"{where} does not speak TLS as it should; is it http:// there?"
        raise UpstreamError(said, FailureKind.WRONG) from error
    if isinstance(error, socket.gaierror):
        raise UpstreamError(f"{where}: no such host", FailureKind.REFUSED) from error
    if isinstance(error, OSError):
        raise UpstreamError(f"{where}: {words.reason(error)}", FailureKind.REFUSED) from error
    raise UpstreamError(f"{where}: its answer is not HTTP", FailureKind.WRONG) from error
