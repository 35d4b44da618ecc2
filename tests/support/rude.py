"""A real server on this machine that behaves as it is told to, on each connection: well, badly, or not at all.

>>> with Rude(stalling(endpoint, at=10)) as server:
...     OffloadClient(server.url, "digits_xs_int8").classify(picture)

A behaviour is a function of one `Visit`, which has the connection. `MANNERS` are the bad ones by name, `NONSENSE` good
HTTP with bodies that answer nothing.
"""

from __future__ import annotations

import contextlib
import gzip
import json
import shutil
import socket
import ssl
import struct
import subprocess
import threading
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from ondevice.protocol.metadata import ModelMetadata
from ondevice.protocol.response import encode_response
from ondevice.protocol.tensor import Tensor
from ondevice.timing.profile import Profile

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

    host, port: where; 0: any port. tls: the context of an HTTPS server. asked: the requests read so far. visits: the
    connections so far. To be used in a `with`, which ends it, with all of its connections.
    """

    def __init__(
        self, behaviour: Behaviour, host: str = HOST, port: int = 0, tls: ssl.SSLContext | None = None
    ) -> None:
        self.behaviour, self.tls = behaviour, tls
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
        self._listening.close()
        self.hang_up()
        for thread in self._threads:
            thread.join(_PATIENCE_S)
            assert not thread.is_alive(), "a connection's thread does not end"

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
                self._stream = self.server.tls.wrap_socket(self._stream, server_side=True)
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


# A good endpoint

INFER_MS, TOP1 = 5.0, 0.9


def profile(model: str, mean_ms: float, spread_ms: float = 1.0) -> dict[str, Any]:
    """A model's times, uniform around the mean, as they stand in JSON."""
    samples_ms = np.linspace(mean_ms - spread_ms, mean_ms + spread_ms, 21).tolist()
    return asdict(Profile.of(model, samples_ms, "host", "litert", 1))


def metadata(models: Mapping[str, tuple[float, float]] = {"one": (TOP1, INFER_MS)}, **more: Any) -> dict[str, Any]:
    """What `cnnselect` says of these models: accuracy and mean time, ms. more: further parameters."""
    profiles = [profile(name, mean_ms) for name, (_, mean_ms) in models.items()]
    top1 = {name: accuracy for name, (accuracy, _) in models.items()}
    return {"name": "cnnselect", "parameters": {"policy": "effective", "top1": top1, "profiles": profiles, **more}}


def described(models: Mapping[str, tuple[float, float]] = {"one": (TOP1, INFER_MS)}, **more: Any) -> ModelMetadata:
    """The metadata of `cnnselect` for these models, as they are read."""
    return ModelMetadata.parse(metadata(models, **more))


def answer(index: int = 7, **parameters: Any) -> dict[str, Any]:
    """What an endpoint answers to a picture."""
    told = {"selected_model": "one", "expected_top1": TOP1, "queue_ms": 0.5, "decode_ms": 0.5, "infer_ms": INFER_MS}
    outputs = [
        Tensor.of("label", [b"that", b"other"]),
        Tensor.of("score", np.array([0.75, 0.25], np.float32)),
        Tensor.of("index", np.array([index, 1], np.int32)),
    ]
    body, _ = encode_response("cnnselect", "1", outputs, parameters=told | parameters)
    found: dict[str, Any] = json.loads(body)
    return found


def endpoint(asked: Asked) -> bytes:
    """The reply of an endpoint that is well; its inference takes no time, whatever it says."""
    if asked.path.startswith("/v2/health"):
        return http()
    said = answer() if asked.path.partition("?")[0].endswith("/infer") else metadata()
    return http(json.dumps(said).encode())


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


# What there is of rudeness: the behaviour, and the failure that a client must see in it.

_GOOD = http(json.dumps(answer()).encode())
_HEAD = _GOOD.index(b"\r\n\r\n") + 4
_CHUNKED = http(headers={"Transfer-Encoding": "chunked"}, length=-1)

MANNERS: dict[str, tuple[Behaviour, str]] = {
    "garbage": (leaving(bytes(range(256)) * 20), "wrong"),
    "garbage without end": (endless(b"", b"\xff\x00"), "wrong"),
    "another protocol": (leaving(b"SSH-2.0-OpenSSH_9.6\r\n"), "wrong"),
    "a later HTTP": (leaving(b"HTTP/2.0 200 OK\r\n\r\n"), "wrong"),
    "no status": (leaving(b"HTTP/1.1\r\n\r\n"), "wrong"),
    "a status of letters": (leaving(b"HTTP/1.1 good OK\r\n\r\n"), "wrong"),
    "500": (answering(refusal(500, "oh\nno")), "wrong"),
    "500 in HTML": (answering(http(b"<h1>Internal Server Error</h1>", 500)), "wrong"),
    "404": (answering(refusal(404, "no such model")), "missing"),
    "204": (answering(http(status=204, length=-1)), "wrong"),
    "a redirect": (answering(http(status=302, headers={"Location": "http://127.0.0.1:9/"})), "wrong"),
    "a redirect to itself": (answering(http(status=307, headers={"Location": "/"})), "wrong"),
    "401": (answering(refusal(401, "give a valid token")), "denied"),
    "403": (answering(refusal(403, "not you")), "denied"),
    "401 before the body": (early(refusal(401, "give a valid token")), "denied"),
    "400": (answering(refusal(400, "no picture")), "rejected"),
    "413 before the body": (early(refusal(413, "too large")), "rejected"),
    "503": (answering(refusal(503, "too late", {"Retry-After": "1"})), "busy"),
    "429": (answering(refusal(429, "too often", {"Retry-After": "soon"})), "busy"),
    "closes at once": (lambda visit: None, "cut"),
    "closes after the request": (cutting(_GOOD, 0), "cut"),
    "closes in the status": (cutting(_GOOD, 5), "cut"),
    "closes in the header": (cutting(_GOOD, 30), "cut"),
    "closes in the body": (cutting(_GOOD, _HEAD + 9), "cut"),
    "closes before the last byte": (cutting(_GOOD, len(_GOOD) - 1), "cut"),
    "closes in a chunk": (leaving(_CHUNKED + b"ff\r\nhalf"), "cut"),
    "closes between chunks": (leaving(_CHUNKED + b"4\r\nhalf\r\n"), "cut"),
    "chunks of no size": (leaving(_CHUNKED + b"zz\r\nhalf\r\n0\r\n\r\n"), "cut"),
    "resets": (resetting, "cut"),
    "resets in the body": (cutting(_GOOD, _HEAD + 9, reset=True), "cut"),
    "stalls": (stalling(_GOOD, 0), "late"),
    "stalls in the status": (stalling(_GOOD, 5), "late"),
    "stalls in the header": (stalling(_GOOD, 40), "late"),
    "stalls before the body": (stalling(_GOOD, _HEAD), "late"),
    "stalls in the body": (stalling(_GOOD, _HEAD + 9), "late"),
    "stalls before the last byte": (stalling(_GOOD, -1), "late"),
    "stalls in a chunk": (stalling(_CHUNKED + b"ff\r\nhalf", 1 << 20), "late"),
    "reads nothing": (deaf, "late"),
    "drips": (dripping(_GOOD), "late"),
    "more to come, always": (endless(b"", b"HTTP/1.1 100 Continue\r\nX: " + b"y" * 1000 + b"\r\n\r\n"), "wrong"),
    "a header without end": (endless(b"HTTP/1.1 200 OK\r\n", b"X: yes\r\n"), "wrong"),
    "a line without end": (endless(b"HTTP/1.1 200 OK\r\nX: ", b"yes"), "wrong"),
    "a body without end": (endless(http(length=-1), b"more"), "wrong"),
    "a body without end of a chunk": (endless(_CHUNKED + b"ffffffffffff\r\n", b"more"), "wrong"),
    "a body without end of chunks": (endless(_CHUNKED, b"190\r\n" + b"more" * 100 + b"\r\n"), "wrong"),
    "a body without end of a chunk of less than nothing": (endless(_CHUNKED + b"-1\r\n", b"more"), "wrong"),
    "a trailer without end": (endless(_CHUNKED + b"0\r\n", b"X: yes\r\n"), "wrong"),
    "too large a body": (endless(http(length=1 << 40), b"more"), "wrong"),
}


def _but(**changes: Any) -> bytes:
    return json.dumps(answer() | changes).encode()


def _outputs(change: Callable[[list[dict[str, Any]]], Any]) -> bytes:
    """The answer, its outputs [label, score, index] changed."""
    made = answer()
    change(made["outputs"])
    return json.dumps(made).encode()


# By name: bodies of a reply to a picture that are none.
NONSENSE: dict[str, bytes] = {
    "nothing": b"",
    "HTML": b"<!doctype html><title>Log in to the Wi-Fi</title>",
    "not UTF-8": b"\xff\xfe\x00",
    "half": _but()[:-20],
    "compressed": gzip.compress(_but()),
    "null": b"null",
    "a number": b"5",
    "a list": b"[]",
    "an object": b"{}",
    "nested": b"[" * 100_000,
    "no outputs": _but(outputs=[]),
    "outputs that are none": _but(outputs=5),
    "null outputs": _but(outputs=None),
    "no label": _outputs(lambda outputs: outputs.pop(0)),
    "no score": _outputs(lambda outputs: outputs.pop(1)),
    "no index": _outputs(lambda outputs: outputs.pop(2)),
    "one twice": _outputs(lambda outputs: outputs.append(outputs[0])),
    "scores for labels": _outputs(lambda outputs: outputs[0].update(datatype="FP32", data=[0.5, 0.5])),
    "scores of whole numbers": _outputs(lambda outputs: outputs[1].update(datatype="INT32", data=[1, 0])),
    "scores of NaN": _outputs(lambda outputs: outputs[1].update(data=[float("nan"), 0.5])),
    "scores of null": _outputs(lambda outputs: outputs[1].update(data=[None, 0.5])),
    "scores without end": _outputs(lambda outputs: outputs[1].update(data=[float("inf"), 0.5])),
    "an index below 0": _outputs(lambda outputs: outputs[2].update(data=[-1, 0])),
    "an index of halves": _outputs(lambda outputs: outputs[2].update(datatype="FP32", data=[0.5, 1])),
    "too few scores": _outputs(lambda outputs: outputs[1].update(shape=[1], data=[0.5])),
    "no classes": _outputs(lambda outputs: [output.update(shape=[0], data=[]) for output in outputs]),
    "another shape": _outputs(lambda outputs: outputs[1].update(shape=[3])),
    "a huge shape": _outputs(lambda outputs: outputs[1].update(shape=[2**31, 2**31])),
    "a shape of letters": _outputs(lambda outputs: outputs[1].update(shape="two")),
    "parameters that are none": _but(parameters=[1]),
}


# TLS


def certificate(folder: Path, host: str = HOST) -> tuple[Path, Path]:
    """A certificate of a host, by its IP address, that it has signed itself, and its key; skips without openssl."""
    if not shutil.which("openssl"):
        pytest.skip("no openssl to make a certificate with")
    cert, key = folder / "cert.pem", folder / "key.pem"
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost"
    more = ("-addext", f"subjectAltName=IP:{host}", "-out", cert, "-keyout", key)
    subprocess.run([*command.split(), *more], check=True, capture_output=True)
    return cert, key


def serving(cert: Path, key: Path) -> ssl.SSLContext:
    """The context of a server that shows this certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    return context
