"""The HTTP layer over real sockets: keep-alive, pipelining, limits, slow and rude clients, the drain."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import threading
import time
from collections.abc import AsyncGenerator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

pytest.importorskip("httptools", reason="needs the extra: pip install 'ondevice-cnn[serve]'")

from clock import Clock
from rude import certificate, serving
from serving import until

from ondevice.cloud.http import connection, connections
from ondevice.cloud.http.budget import Allotment
from ondevice.cloud.http.connection import Connection
from ondevice.cloud.http.connections import Connections
from ondevice.cloud.http.limits import HttpLimits
from ondevice.cloud.http.messages import Head, Piece, Request, Response
from ondevice.cloud.server import event_loop

# As much time as there is: what runs on the real clock must not depend on how fast this machine is.
SMALL = HttpLimits(body_bytes=1000, header_bytes=2000, connections=4)
PATIENCE_S = 30.0
CLOSE = "Connection: close\r\n"
HASTY = replace(SMALL, send_s=0.4, idle_s=0.6)


@dataclass
class Running:
    """A server on a loop of its own; `seen` are the requests that were handled.

    What is slow waits for the test to let it go.
    """

    port: int
    loop: asyncio.AbstractEventLoop
    connections: Connections
    gone_on: asyncio.Event = field(default_factory=asyncio.Event)
    seen: list[Request] = field(default_factory=list)
    cancelled: list[str] = field(default_factory=list)
    ended: list[str] = field(default_factory=list)

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE_S)

    def let_go(self) -> None:
        self.loop.call_soon_threadsafe(self.gone_on.set)

    def say(self, text: str) -> bytes:
        """All that the server answers to this, until it closes: so the last request had better ask for that."""
        with self.connect() as client:
            client.sendall(text.encode("latin-1"))
            return read_all(client)


def read_all(client: socket.socket) -> bytes:
    pieces = []
    while piece := client.recv(65536):
        pieces.append(piece)
    return b"".join(pieces)


async def pieces(server: Running, path: str) -> AsyncGenerator[Piece, None]:
    try:
        for piece in (b"one\n", b"two\n", b"x" * 20 + b"\n"):
            yield Piece(piece, last="known" in path and len(piece) == 21)
            await (server.gone_on.wait() if "slow" in path else asyncio.sleep(0))
        while "ever" in path:
            yield Piece(b"more" * 10_000, last=False)
    finally:
        server.ended.append(path)


async def answer(server: Running, request: Request) -> Response:
    server.seen.append(request)
    if request.path == "/slow":
        try:
            await server.gone_on.wait()
        except asyncio.CancelledError:
            server.cancelled.append(request.path)
            raise
    if request.path.startswith("/pieces"):
        return Response(200, (), pieces(server, request.path))
    return Response(200, (("x-path", request.path),), request.body)


@contextmanager
def running(limits: HttpLimits = SMALL, tls: ssl.SSLContext | None = None) -> Iterator[Running]:
    async def handler(request: Request) -> Response:
        return await answer(server, request)

    def gate(head: Head) -> Response | None:
        return Response(404, (), b"gone") if head.path == "/nowhere" else None

    def refusal(status: int, message: str) -> Response:
        return Response(status, (), message.encode())

    async def sweep() -> None:
        while True:
            await asyncio.sleep(0.05)
            open_now.sweep()

    loop = event_loop(encrypted=tls is not None)
    open_now = Connections(handler, gate, refusal, limits, tls)
    listening = loop.run_until_complete(loop.create_server(lambda: Connection(open_now), "127.0.0.1", 0))
    sweeping = loop.create_task(sweep())
    thread = threading.Thread(target=loop.run_forever)
    server = Running(listening.sockets[0].getsockname()[1], loop, open_now)
    thread.start()
    try:
        yield server
    finally:
        asyncio.run_coroutine_threadsafe(end(listening, sweeping, open_now), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def end(listening: asyncio.Server, sweeping: asyncio.Task[None], open_now: Connections) -> None:
    sweeping.cancel()
    listening.close()
    await open_now.drain(0)
    await asyncio.sleep(0.02)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """The server lets refused clients read why for a shorter time."""
    monkeypatch.setattr(connection, "_LINGER_S", 0.3)


def get(path: str, extra: str = "") -> str:
    return f"GET {path} HTTP/1.1\r\nHost: x\r\n{extra}\r\n"


def post(path: str, body: str, extra: str = "") -> str:
    return f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n{extra}\r\n{body}"


def status(reply: bytes) -> int:
    return int(reply.split(b" ", 2)[1])


def test_a_request_is_answered_and_the_connection_kept() -> None:
    with running() as server, server.connect() as client:
        for body in ("one", "two"):
            client.sendall(post("/echo", body).encode())
            reply = client.recv(65536)
            assert status(reply) == 200
            assert reply.endswith(body.encode())
            assert b"x-path: /echo" in reply
            assert b"connection: close" not in reply
    assert [request.body for request in server.seen] == [b"one", b"two"]


def test_pipelined_requests_are_answered_in_order() -> None:
    with running() as server:
        reply = server.say("".join(post("/echo", f"body{i}") for i in range(19)) + post("/echo", "body19", CLOSE))
    assert [request.body for request in server.seen] == [f"body{i}".encode() for i in range(20)]
    positions = [reply.index(f"body{i}".encode()) for i in range(10, 20)]
    assert positions == sorted(positions)
    assert reply.count(b"HTTP/1.1 200 OK") == 20


def test_path_query_and_headers_are_decoded() -> None:
    with running() as server:
        server.say(get("/a%20b/c?x=1&y=%20", "X-Thing: Value\r\n" + CLOSE))
    request = server.seen[0]
    assert (request.method, request.path, request.query) == ("GET", "/a b/c", "x=1&y=%20")
    assert request.headers["x-thing"] == "Value"
    assert request.peer == "127.0.0.1"


def test_a_chunked_body_is_put_together() -> None:
    chunks = "4\r\nabcd\r\n3\r\nefg\r\n0\r\n\r\n"
    with running() as server:
        reply = server.say(f"POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n{CLOSE}\r\n{chunks}")
    assert status(reply) == 200
    assert server.seen[0].body == b"abcdefg"


def test_head_has_no_body() -> None:
    with running() as server:
        reply = server.say(f"HEAD /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n{CLOSE}\r\nabc")
    assert b"content-length: 3" in reply
    assert reply.endswith(b"\r\n\r\n")


@pytest.mark.parametrize("version_and_header", ["HTTP/1.0\r\n", "HTTP/1.1\r\nConnection: close\r\n"])
def test_a_client_that_wants_it_is_disconnected(version_and_header: str) -> None:
    with running() as server, server.connect() as client:
        client.sendall(f"GET /a {version_and_header}Host: x\r\n\r\n".encode())
        assert b"connection: close" in read_all(client)


def test_a_body_over_the_limit_is_refused_before_it_is_read() -> None:
    with running() as server, server.connect() as client:
        client.sendall(b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000000\r\n\r\n")
        reply = read_all(client)
    assert status(reply) == 413
    assert b"over 1000 bytes" in reply
    assert server.seen == []


def test_a_chunked_body_over_the_limit_is_refused_on_the_way() -> None:
    with running() as server, server.connect() as client:
        client.sendall(b"POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        client.sendall(b"258\r\n" + b"a" * 600 + b"\r\n" + b"258\r\n" + b"a" * 600 + b"\r\n")
        assert status(read_all(client)) == 413
    assert server.seen == []


def test_expect_continue_is_answered_before_the_body_comes() -> None:
    with running() as server, server.connect() as client:
        client.sendall(b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n")
        assert client.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.sendall(b"abcd")
        assert client.recv(1000).endswith(b"abcd")
    assert len(server.seen) == 1


def test_expect_continue_is_refused_where_the_request_is() -> None:
    with running() as server, server.connect() as client:
        client.sendall(b"POST /nowhere HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n")
        assert status(read_all(client)) == 404
    assert server.seen == []


def test_what_the_gate_refuses_is_answered_though_the_client_goes_on_sending() -> None:
    with running(HttpLimits(body_bytes=1 << 24)) as server, server.connect() as client:
        client.sendall(b"POST /nowhere HTTP/1.1\r\nHost: x\r\nContent-Length: 4000000\r\n\r\n")
        client.sendall(b"x" * 100_000)
        assert status(read_all(client)) == 404
    assert server.seen == []


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("rubbish\r\n\r\n", 400),
        ("GET / HTTP/9.9\r\n\r\n", 400),
        (post("/a", "", "X: y\r\n" * 600), 431),
        ("GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef", 400),
        ("POST / HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\nContent-Length: -5\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400),
        (get("/", "X: " + "a" * 5000 + "\r\n"), 431),
        (get("/" + "a" * 5000), 431),
        (get("/", "Upgrade: websocket\r\nConnection: Upgrade\r\n"), 200),
    ],
)
def test_what_is_no_request_is_refused(impatient: None, text: str, wanted: int) -> None:
    with running() as server:
        assert status(server.say(text)) == wanted


def test_a_header_without_end_is_refused_at_the_limit() -> None:
    with running() as server, server.connect() as client:
        client.sendall(b"GET / HTTP/1.1\r\nX: ")
        client.sendall(b"a" * 3000)
        assert status(read_all(client)) == 431


def drip(client: socket.socket) -> None:
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        client.sendall(b"a")
        time.sleep(0.05)


def test_a_slow_sender_is_refused(impatient: None) -> None:
    with running(HASTY) as server, server.connect() as client:
        client.sendall(b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\na")
        with pytest.raises(ConnectionError):  # after the reply
            drip(client)
    assert server.seen == []


def test_a_slow_sender_is_told_why() -> None:
    with running(HASTY) as server, server.connect() as client:
        client.sendall(b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 400\r\n\r\na")
        assert status(read_all(client)) == 408
    assert server.seen == []


def test_an_idle_connection_is_closed() -> None:
    with running(HASTY) as server, server.connect() as client:
        client.sendall(post("/echo", "x").encode())
        assert status(read_all(client)) == 200
    assert len(server.seen) == 1


def test_where_all_are_busy_one_more_is_refused_and_told_so() -> None:
    with running() as server:
        held = [server.connect() for _ in range(4)]
        for client in held:
            client.sendall(get("/slow").encode())
        until(lambda: len(server.seen) == 4)
        with server.connect() as one_more:
            assert status(read_all(one_more)) == 503
        for client in held:
            client.close()
        until(lambda: not server.connections.open)
        assert status(server.say(get("/a", CLOSE))) == 200


def test_the_oldest_idle_connection_gives_way_to_a_new_one() -> None:
    with running() as server, contextlib.ExitStack() as stack:
        oldest, busy, *others = (stack.enter_context(server.connect()) for _ in range(4))
        for client in (oldest, *others):
            client.sendall(post("/echo", "x").encode())
            assert status(client.recv(65536)) == 200
        busy.sendall(get("/slow").encode())
        until(lambda: len(server.seen) == 4)
        assert status(server.say(get("/a", CLOSE))) == 200
        assert read_all(oldest) == b""
        server.let_go()
        assert status(busy.recv(65536)) == 200
        assert server.connections.gave_way == 1


def test_whoever_says_nothing_locks_nobody_out() -> None:
    with running() as server, contextlib.ExitStack() as stack:
        for n in range(50):
            silent = stack.enter_context(server.connect())
            silent.sendall(b"GET /a HTT"[: n % 10])
        for _ in range(5):
            assert status(server.say(get("/a", CLOSE))) == 200
        until(lambda: len(server.connections.open) <= 4)


def test_no_more_than_some_are_told_that_there_are_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "_TOLD", 2)
    with running() as server, contextlib.ExitStack() as stack:
        for _ in range(4):
            stack.enter_context(server.connect()).sendall(get("/slow").encode())
        until(lambda: len(server.seen) == 4)
        refused = [stack.enter_context(server.connect()) for _ in range(20)]
        said = [read_all(client) for client in refused]
        assert sum(b" 503 " in reply for reply in said) >= 2
        assert len(server.connections.open) <= 6


def test_more_pipelined_requests_than_are_parsed_wait_as_they_came() -> None:
    many = get("/slow") + get("/echo") * 3000
    with running() as server, server.connect() as client:
        client.sendall(many.encode())
        until(lambda: server.seen)
        (one,) = server.connections.open
        assert isinstance(one, Connection)
        assert len(one._queue) <= connection._PIPELINED + connection._PIECE // len(get("/echo"))
        server.let_go()
        client.sendall(get("/last", CLOSE).encode())
        assert read_all(client).count(b"HTTP/1.1 200 OK") == 3002
    assert server.seen[-1].path == "/last"


def test_work_for_a_client_that_has_gone_is_cancelled() -> None:
    with running() as server:
        with server.connect() as client:
            client.sendall(get("/slow").encode())
            until(lambda: server.seen)
        until(lambda: server.cancelled == ["/slow"])


def test_draining_lets_what_is_in_flight_finish_and_closes_the_idle() -> None:
    with running() as server, server.connect() as idle, server.connect() as busy:
        busy.sendall(get("/slow").encode())
        until(lambda: server.seen)
        drained = asyncio.run_coroutine_threadsafe(server.connections.drain(PATIENCE_S), server.loop)
        assert idle.recv(100) == b""
        assert not drained.done()
        server.let_go()
        reply = read_all(busy)
        assert status(reply) == 200
        assert b"connection: close" in reply
        drained.result(PATIENCE_S)


def test_a_drain_ends_though_what_is_in_flight_does_not() -> None:
    with running() as server, server.connect() as busy:
        busy.sendall(get("/slow").encode())
        until(lambda: server.seen)
        asyncio.run_coroutine_threadsafe(server.connections.drain(0.1), server.loop).result(PATIENCE_S)
        until(lambda: server.cancelled == ["/slow"])


# Encryption


def trusting(cert: Path) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=cert)
    context.check_hostname = False
    return context


def test_connections_that_only_shake_hands_count_and_lock_nobody_out(tmp_path: Path) -> None:
    cert, key = certificate(tmp_path)
    with running(tls=serving(cert, key)) as server, contextlib.ExitStack() as stack:
        silent = [stack.enter_context(server.connect()) for _ in range(12)]
        until(lambda: len(server.connections.open) == 4)
        for _ in range(3):
            with trusting(cert).wrap_socket(server.connect()) as client:
                client.sendall(get("/a", CLOSE).encode())
                assert status(read_all(client)) == 200
        assert read_all(silent[0]) == b"", "the oldest gave way"
        assert server.connections.gave_way >= 8


def test_what_is_not_tls_ends_and_counts_no_more(tmp_path: Path) -> None:
    cert, key = certificate(tmp_path)
    with running(tls=serving(cert, key)) as server:
        for junk in (get("/a").encode(), b"\x16\x03\x01\x02\x00\x01\x00", b""):
            with server.connect() as client, contextlib.suppress(ConnectionError):
                client.sendall(junk)
                client.shutdown(socket.SHUT_WR)
                assert b"HTTP" not in read_all(client)
        until(lambda: not server.connections.open)


def test_where_all_are_busy_one_more_is_told_so_through_tls(tmp_path: Path) -> None:
    cert, key = certificate(tmp_path)
    with running(tls=serving(cert, key)) as server, contextlib.ExitStack() as stack:
        for _ in range(4):
            client = stack.enter_context(trusting(cert).wrap_socket(server.connect()))
            client.sendall(get("/slow").encode())
        until(lambda: len(server.seen) == 4)
        with trusting(cert).wrap_socket(server.connect()) as one_more:
            assert status(one_more.recv(65536)) == 503


# On a given clock, and without a socket


class Line(asyncio.Transport):
    """A connection's other end, which keeps what it is sent."""

    def __init__(self) -> None:
        super().__init__()
        self.written, self.closed, self.reading = b"", False, True

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += bytes(data)

    def can_write_eof(self) -> bool:
        return False

    def get_write_buffer_size(self) -> int:
        return 0

    def is_closing(self) -> bool:
        return self.closed

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True

    def close(self) -> None:
        self.closed = True

    def abort(self) -> None:
        self.closed = True


class Timed:
    """A server with one connection, whose time passes as the test says."""

    def __init__(self, limits: HttpLimits = SMALL) -> None:
        self.seen: list[Request] = []
        self.answering = asyncio.Event()
        self.answering.set()
        self.line = Line()
        self.connections = Connections(
            self._answer, lambda head: None, lambda status, text: Response(status, (), text.encode()), limits
        )
        self.connection = Connection(self.connections)
        self.connection.connection_made(self.line)

    async def _answer(self, request: Request) -> Response:
        self.seen.append(request)
        await self.answering.wait()
        return Response(200, (), request.body)

    async def take(self, data: str) -> None:
        """Receive this, and answer what is whole by it."""
        self.connection.data_received(data.encode())
        await rest()


async def rest() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The server's."""
    given = Clock()
    for module in (connection, connections):
        monkeypatch.setattr(module, "perf_counter", given)
    return given


def test_the_upload_is_timed_from_its_first_byte_to_its_last(clock: Clock) -> None:
    async def play() -> list[Request]:
        server = Timed()
        for piece in ("POST /echo HTTP/1.1\r\nHost: x\r\nCont", "ent-Length: 4\r\n\r\nab", "cd"):
            await server.take(piece)
            clock.pass_ms(100)
        return server.seen

    (request,) = asyncio.run(play())
    assert request.body == b"abcd"
    assert request.upload_ms == pytest.approx(200)


def test_each_request_of_a_connection_has_its_own_clock(clock: Clock) -> None:
    async def play() -> list[Request]:
        server = Timed()
        for _ in range(2):
            await server.take(post("/echo", "x"))
            clock.pass_ms(200)
        await server.take(post("/echo", "x") + "POST /echo HTTP/1.1\r\nContent-Le")
        clock.pass_ms(70)
        await server.take("ngth: 0\r\n\r\n")
        return server.seen

    assert [request.upload_ms for request in asyncio.run(play())] == pytest.approx([0, 0, 0, 70])


@pytest.mark.parametrize(
    ("sent", "wait_ms", "said"),
    [
        ("POST /a HTTP/1.1\r\nContent-Length: 2\r\n\r\na", 400, b"408 Request Timeout"),
        ("POST /a HTT", 400, b"408 Request Timeout"),
        (post("/a", "x"), 600, b"200 OK"),
        ("", 600, b""),
    ],
    ids=["in the body", "in the head", "after a reply", "before anything"],
)
def test_a_connection_ends_when_its_time_is_over_and_not_before(
    clock: Clock, sent: str, wait_ms: float, said: bytes
) -> None:
    async def play() -> None:
        server = Timed(HASTY)
        if sent:
            await server.take(sent)
        clock.pass_ms(wait_ms - 1)
        server.connections.sweep()
        assert (server.line.closed, b"408" in server.line.written) == (False, False)
        clock.pass_ms(2)
        server.connections.sweep()
        assert said in server.line.written
        clock.pass_ms(connection._LINGER_S * 1e3 + 1 if b"408" in said else 0)  # it gets to read why
        server.connections.sweep()
        assert server.line.closed

    asyncio.run(play())


def test_what_comes_with_the_end_of_the_handshake_is_answered_encrypted(monkeypatch: pytest.MonkeyPatch) -> None:
    async def play() -> None:
        encrypted, server = Line(), Timed()
        server.connections.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)

        async def start_tls(plain: Line, protocol: Connection, *_: object, **__: object) -> Line:
            assert not plain.reading
            protocol.data_received(get("/a").encode())
            return encrypted

        monkeypatch.setattr(asyncio.get_running_loop(), "start_tls", start_tls)
        plain, one = Line(), Connection(server.connections)
        one.connection_made(plain)
        await rest()
        await rest()
        assert (plain.written, encrypted.written[:15]) == (b"", b"HTTP/1.1 200 OK")

    asyncio.run(play())


# What all bodies hold together

WIDE = replace(SMALL, body_bytes=1 << 20)


def hold(server: Timed, left: int) -> Allotment:
    """Others hold all the room for bodies but so much."""
    return server.connections.bodies.take(server.connections.bodies.total - left, lambda: None)


def test_a_body_for_which_there_is_no_room_is_not_read_until_there_is(clock: Clock) -> None:
    async def play() -> None:
        server = Timed(WIDE)
        others = hold(server, left=1000)
        clock.pass_ms(100)
        await server.take("POST /a HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 600\r\n\r\n" + "a" * 300)
        assert (server.line.reading, server.line.written) == (False, b"")
        clock.pass_ms(5000)
        server.connections.sweep()
        others.give_back()
        await rest()
        assert (server.line.reading, server.line.written) == (True, b"HTTP/1.1 100 Continue\r\n\r\n")
        clock.pass_ms(200)
        server.answering.clear()
        await server.take("b" * 300)
        (request,) = server.seen
        assert request.body == b"a" * 300 + b"b" * 300
        assert (request.held_s, request.upload_ms) == pytest.approx((5, 200)), "waiting for room is not the upload"
        assert server.connections.bodies.held == 600, "while it is being answered too"
        server.answering.set()
        await rest()
        assert server.connections.bodies.held == 0

    asyncio.run(play())


def test_a_small_body_goes_before_a_large_one_that_waits(clock: Clock) -> None:
    async def play() -> None:
        server = Timed(WIDE)
        hold(server, left=1000)
        large = server.connections.bodies.take(900, lambda: None)
        await server.take(post("/a", "a" * 100))
        assert not large.granted
        assert b"200 OK" in server.line.written

    asyncio.run(play())


def test_a_body_that_waits_too_long_for_room_is_refused(clock: Clock) -> None:
    async def play() -> None:
        server = Timed(replace(WIDE, send_s=3.0))
        hold(server, left=1000)
        await server.take(post("/a", "a" * 600))
        for ms in (2999, 2):
            assert server.line.written == b""
            clock.pass_ms(ms)
            server.connections.sweep()
        assert b"503 Service Unavailable" in server.line.written
        assert b"too much is being sent at once" in server.line.written
        assert server.connections.bodies.waiting == 0

    asyncio.run(play())


@pytest.mark.parametrize(
    ("sent", "waiting", "refused"),
    [(10, True, True), (60, True, False), (10, False, False)],
    ids=["slow while others wait", "in time while others wait", "slow while nobody waits"],
)
def test_a_body_that_would_not_be_whole_in_time_gives_way(
    clock: Clock, sent: int, waiting: bool, refused: bool
) -> None:
    async def play() -> None:
        server = Timed(replace(WIDE, send_s=6.0))
        await server.take("POST /a HTTP/1.1\r\nContent-Length: 100\r\n\r\n" + "a" * sent)
        if waiting:
            hold(server, left=0)
        clock.pass_ms(connection._GRACE_S * 1e3 - 1)
        server.connections.sweep()
        assert server.line.written == b"", "it need not send evenly"
        clock.pass_ms(1001)
        server.connections.sweep()
        assert (b"the body came too slowly while others waited" in server.line.written) is refused
        assert server.connections.bodies.waiting == (waiting and not refused)

    asyncio.run(play())


def chunk(size: int) -> str:
    return f"{size:x}\r\n{'a' * size}\r\n"


def test_a_body_of_unknown_length_holds_more_as_it_comes_and_is_refused_where_there_is_no_more(clock: Clock) -> None:
    async def play() -> None:
        server, step = Timed(replace(WIDE, body_bytes=10 << 20)), connection._UNKNOWN_BYTES
        bodies = server.connections.bodies
        await server.take("POST /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk(1000))
        assert bodies.held == step
        await server.take(chunk(step))
        assert bodies.held == 2 * step
        bodies.held = bodies.total - step
        await server.take(chunk(step))
        assert b"503 Service Unavailable" in server.line.written
        assert b"send a Content-Length" in server.line.written

    asyncio.run(play())


@pytest.mark.parametrize("end", ["lost", "refused", "answered", "malformed"])
def test_whatever_becomes_of_a_request_its_room_is_given_back(clock: Clock, end: str) -> None:
    async def play() -> None:
        server = Timed(WIDE)
        server.answering.clear()
        await server.take(post("/a", "a" * 50) * 3 + "POST /a HTTP/1.1\r\nContent-Length: 50\r\n\r\na")
        assert server.connections.bodies.held == 200
        if end == "lost":
            server.connection.connection_lost(None)
        if end == "malformed":
            await server.take("a" * 49 + "rubbish\r\n\r\n")
        if end == "refused":
            clock.pass_ms(SMALL.send_s * 1e3 + 1)
            server.connections.sweep()
        if end == "answered":
            await server.take("a" * 49)
        server.answering.set()
        await rest()
        await rest()
        assert (server.connections.bodies.held, server.connections.bodies.waiting) == (0, 0)

    asyncio.run(play())


def test_memory_is_to_be_given_back_once_when_much_was_held() -> None:
    many = Connections(lambda request: asyncio.sleep(0), lambda head: None, lambda *_: None, SMALL)  # type: ignore
    held = many.bodies.take(50_000_000, lambda: None)
    assert not many.shrunk()
    held.give_back()
    assert [many.shrunk(), many.shrunk()] == [True, False]


# Bodies in pieces


CHUNKED = b"4\r\none\n\r\n4\r\ntwo\n\r\n15\r\n" + b"x" * 20 + b"\n\r\n0\r\n\r\n"


@pytest.mark.parametrize("path", ["/pieces", "/pieces/known"])
def test_a_body_in_pieces_and_the_connection_stays(path: str) -> None:
    with running() as server:
        said = server.say(f"GET {path} HTTP/1.1\r\n\r\nGET /next HTTP/1.1\r\nConnection: close\r\n\r\n")
        first, body, second = said.partition(CHUNKED)
        assert first == b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
        assert body
        assert b"x-path: /next" in second
        assert server.ended == [path]


def test_each_piece_comes_when_it_is_there() -> None:
    with running() as server, server.connect() as client:
        client.sendall(b"GET /pieces/slow HTTP/1.1\r\n\r\n")
        got = b""
        while b"one" not in got:
            got += client.recv(1000)
        assert b"two" not in got
        server.let_go()
        while not got.endswith(b"0\r\n\r\n"):
            got += client.recv(1000)
        assert got.endswith(CHUNKED)


def test_a_client_that_knows_no_chunks_reads_to_the_end() -> None:
    with running() as server:
        said = server.say("GET /pieces HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
        assert said == b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\none\ntwo\n" + b"x" * 20 + b"\n"


def test_pieces_end_when_their_client_leaves() -> None:
    with running() as server:
        with server.connect() as client:
            client.sendall(b"GET /pieces/slow HTTP/1.1\r\n\r\n")
            assert client.recv(1000)
        until(lambda: server.ended == ["/pieces/slow"])


def test_pieces_wait_for_a_client_that_does_not_read_and_end_when_that_takes_too_long() -> None:
    with running(HASTY) as server, server.connect() as client:
        client.sendall(b"GET /pieces/for/ever HTTP/1.1\r\n\r\n")
        until(lambda: server.ended == ["/pieces/for/ever"])
        assert not server.connections.open
