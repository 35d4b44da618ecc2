"""A real server on this machine that behaves as it is told to, on each connection: well, badly, or not at all.

>>> with Rude(stalling(endpoint, at=10)) as server:
...     OffloadClient(server.url, "digits_xs_int8").classify(picture)

A behaviour is a function of one `Visit`, which has the connection.
"""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Mapping
from typing import NamedTuple

HOST = "127.0.0.1"
_PATIENCE_S = 30.0
# At once; a client that reads slowly, or not at all, holds up no more.
_PIECE = 1 << 16
# Of an endless piece: so often it is repeated, that a client who took it all in would be seen to.
_ENDLESS = 4096


class Asked(NamedTuple):
    """A request. path: with its query. headers: their names in lower case."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


Answers = bytes | Callable[[Asked], bytes]
Behaviour = Callable[["Visit"], None]


class OverError(Exception):
    """The server ends."""


class Rude:
    """Listens from the start, and behaves as `behaviour` says; set that anew, and it holds from the next connection on.

    host, port: where; 0: any port. tls: the context of an HTTPS server. told: what every GET is answered with, before
    the behaviour sees it; None: it sees them too. asked: the requests read so far, but for those. visits: the
    connections so far. To be used in a `with`, which ends it, with all of its connections.
    """

    def __init__(
        self,
        behaviour: Behaviour,
        host: str = HOST,
        port: int = 0,
        tls: ssl.SSLContext | None = None,
        told: Answers | None = None,
    ) -> None:
        self.behaviour, self.tls, self.told = behaviour, tls, told
        self.asked: list[Asked] = []
        self.visits: list[Visit] = []
        self.over = threading.Event()
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._listening = socket.create_server((host, port), family=family, backlog=128)
        self.port: int = self._listening.getsockname()[1]
        shown = f"[{host}]" if ":" in host else host
        self.url = f"{'https' if tls else 'http'}://{shown}:{self.port}"
        self._threads = [threading.Thread(target=self._accept, name="rude")]
        self._threads[0].start()

    def __enter__(self) -> Rude:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """End, as a server that is killed: its port is closed, and so are all connections."""
        self.over.set()
        with contextlib.suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)  # wakes what accepts; closing it would not
        self._join(self._threads[0])  # first, for whom it has just let in is to be hung up on, too
        self._listening.close()
        self.hang_up()
        for thread in self._threads:
            self._join(thread)

    def _join(self, thread: threading.Thread) -> None:
        thread.join(_PATIENCE_S)
        assert not thread.is_alive(), "a connection's thread does not end"

    def visit(self, number: int) -> Visit:
        """That connection: it is accepted here after its client has it, which may go on meanwhile."""
        end = time.monotonic() + _PATIENCE_S
        while len(self.visits) <= number:
            assert time.monotonic() < end, "nobody has come"
            time.sleep(0.001)
        return self.visits[number]

    def hang_up(self) -> None:
        """Close all connections; new ones are taken."""
        for visit in list(self.visits):
            visit.hang_up()

    def _accept(self) -> None:
        while not self.over.is_set():
            try:
                stream, _ = self._listening.accept()
            except OSError:
                return
            visit = Visit(self, len(self.visits), stream)
            self.visits.append(visit)
            self._threads.append(threading.Thread(target=visit.run, args=(self.behaviour,), name="rude"))
            self._threads[-1].start()


class Visit:
    """One connection. number: the how many-th of its server, from 0. open: whether the client has not closed it."""

    def __init__(self, server: Rude, number: int, stream: socket.socket) -> None:
        self.server, self.number = server, number
        self.gone = threading.Event()
        self._stream, self._unread = stream, b""

    def run(self, behaviour: Behaviour) -> None:
        """Behave so; the client may go at any time."""
        with contextlib.suppress(OSError, ValueError, OverError):
            self._stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self.server.tls:
                self._stream.settimeout(_PATIENCE_S)
                wrapped = self.server.tls.wrap_socket(self._stream, server_side=True, do_handshake_on_connect=False)
                self._stream = wrapped  # before the handshake, so that it can be hung up on
                wrapped.do_handshake()
            self._stream.settimeout(None)
            behaviour(self)
        self._stream.close()
        self.gone.set()

    def hang_up(self) -> None:
        """End it from another thread."""
        with contextlib.suppress(OSError):
            self._stream.shutdown(socket.SHUT_RDWR)

    # What behaviours are made of

    def head(self) -> tuple[str, str, dict[str, str]] | None:
        """The method, path and headers of the next request, its body unread; None: the client has gone."""
        while head := self._head():
            if self.server.told is None or head[0] != "GET":
                return head
            self.send(_made(self.server.told, Asked(*head, b"")))
        return None

    def _head(self) -> tuple[str, str, dict[str, str]] | None:
        while b"\r\n\r\n" not in self._unread:
            if not self._read():
                return None
        head, _, self._unread = self._unread.partition(b"\r\n\r\n")
        start, *lines = head.decode().split("\r\n")
        method, path, _ = start.split(" ")
        pairs = (line.split(": ", 1) for line in lines)
        return method, path, {name.lower(): value for name, value in pairs}

    def next(self) -> Asked | None:
        """The next request, whole; None: the client has gone."""
        if not (head := self.head()):
            return None
        length = int(head[2].get("content-length", 0))
        while len(self._unread) < length:
            if not self._read():
                return None
        body, self._unread = self._unread[:length], self._unread[length:]
        asked = Asked(*head, body)
        self.server.asked.append(asked)
        return asked

    def piece(self) -> bytes:
        """What came next, whatever it is; none: the client has gone."""
        self._unread = b""
        self._read()
        return self._unread

    def send(self, data: bytes) -> None:
        """Send it all."""
        self._stream.sendall(data)

    def pause(self, seconds: float | None = None) -> None:
        """So long; None: until the client goes. Raises OverError if the server ends meanwhile."""
        if seconds is not None:
            if self.server.over.wait(seconds):
                raise OverError
        else:
            while self._read():
                pass

    def wait(self) -> None:
        """Until the server ends, and read nothing."""
        self.server.over.wait()
        raise OverError

    def reset(self) -> None:
        """End it so that the other end sees a reset."""
        self._stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._stream.close()

    def _read(self) -> bool:
        piece = self._stream.recv(_PIECE)
        self._unread += piece
        return bool(piece)


# Replies


def http(
    body: bytes = b"",
    status: int = 200,
    headers: Mapping[str, str] = {},
    length: int | None = None,
) -> bytes:
    """A reply as it stands on the wire. length: the Content-Length, if it is to be a lie; below 0: none is given."""
    length = len(body) if length is None else length
    lines = {"Content-Type": "application/json", **headers, **({} if length < 0 else {"Content-Length": str(length)})}
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return f"HTTP/1.1 {status} Said\r\n{head}\r\n".encode() + body


def chunked(body: bytes, size: int = 7) -> bytes:
    """The reply in chunks of this size, the last one with a trailer."""
    pieces = [body[at : at + size] for at in range(0, len(body), size)]
    chunks = b"".join(b"%x;note=1\r\n%b\r\n" % (len(piece), piece) for piece in pieces)
    return http(headers={"Transfer-Encoding": "chunked"}, length=-1) + chunks + b"0\r\nTrailer: yes\r\n\r\n"


def refusal(status: int, said: str, headers: Mapping[str, str] = {}) -> bytes:
    """An error as the protocol has it."""
    return http(json.dumps({"error": said}).encode(), status, headers)


# Behaviours


def answering(answers: Answers) -> Behaviour:
    """Answer each request, and keep the connection."""

    def behave(visit: Visit) -> None:
        while asked := visit.next():
            visit.send(_made(answers, asked))

    return behave


def leaving(answers: Answers, after: int = 1) -> Behaviour:
    """Answer so many requests, and close the connection without a word."""

    def behave(visit: Visit) -> None:
        for _ in range(after):
            if asked := visit.next():
                visit.send(_made(answers, asked))

    return behave


def cutting(answers: Answers, at: int, reset: bool = False) -> Behaviour:
    """Send so many bytes of the answer, and close the connection. reset: roughly."""

    def behave(visit: Visit) -> None:
        if asked := visit.next():
            visit.send(_made(answers, asked)[:at])
            if reset:
                visit.reset()

    return behave


def stalling(answers: Answers, at: int) -> Behaviour:
    """Send so many bytes of the answer, below 0 all but so many, and then nothing more."""

    def behave(visit: Visit) -> None:
        if asked := visit.next():
            visit.send(_made(answers, asked)[:at])
            visit.pause()

    return behave


def dripping(answers: Answers, every_s: float = 0.05) -> Behaviour:
    """Send the answers one byte at a time."""

    def behave(visit: Visit) -> None:
        while asked := visit.next():
            for byte in _made(answers, asked):
                visit.send(bytes([byte]))
                visit.pause(every_s)

    return behave


def slow(answers: Answers, after_s: float) -> Behaviour:
    """Answer each request after so long."""

    def behave(visit: Visit) -> None:
        while asked := visit.next():
            visit.pause(after_s)
            visit.send(_made(answers, asked))

    return behave


def endless(start: bytes, piece: bytes) -> Behaviour:
    """Begin so, and send the piece again and again, until the client has had enough."""

    def behave(visit: Visit) -> None:
        if visit.next():
            visit.send(start)
            while not visit.server.over.is_set():
                visit.send(piece * _ENDLESS)

    return behave


def early(answers: bytes) -> Behaviour:
    """Answer before the body is read, and close the connection."""

    def behave(visit: Visit) -> None:
        if visit.head():
            visit.send(answers)

    return behave


def deaf(visit: Visit) -> None:
    """Take the connection, and read nothing."""
    visit.wait()


def resetting(visit: Visit) -> None:
    """Reset the connection at the first request."""
    if visit.next():
        visit.reset()


def in_turn(*behaviours: Behaviour) -> Behaviour:
    """On the first connection the first, and so on; on all later ones the last."""

    def behave(visit: Visit) -> None:
        behaviours[min(visit.number, len(behaviours) - 1)](visit)

    return behave


def _made(answers: Answers, asked: Asked) -> bytes:
    return answers if isinstance(answers, bytes) else answers(asked)
