"""The HTTP layer over real sockets: keep-alive, pipelining, limits, slow and rude clients, the drain."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time

import pytest

pytest.importorskip("httptools", reason="needs the extra: pip install 'ondevice-cnn[serve]'")

from http_server import CLOSE, HASTY, PATIENCE_S, get, post, running
from serving import read_all, status, until

from ondevice.cloud.http import connections, dialogue, inbox, parser
from ondevice.cloud.http.dialogue import Dialogue
from ondevice.cloud.http.limits import HttpLimits


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """The server lets refused clients read why for a shorter time."""
    monkeypatch.setattr(dialogue, "_LINGER_S", 0.3)


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
    head = server.seen[0].head
    assert (head.method, head.path, head.query) == ("GET", "/a b/c", "x=1&y=%20")
    assert head.headers["x-thing"] == "Value"
    assert head.peer == "127.0.0.1"


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


@pytest.mark.parametrize("length", ["1000000000", "1000000000 \t", "00001000000000"])
def test_a_body_over_the_limit_is_refused_before_it_is_read(length: str) -> None:
    with running() as server, server.connect() as client:
        client.sendall(f"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n".encode())
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


def test_what_is_refused_by_its_head_is_answered_though_the_client_goes_on_sending() -> None:
    with running(HttpLimits(body_bytes=1 << 24)) as server, server.connect() as client:
        client.sendall(b"POST /nowhere HTTP/1.1\r\nHost: x\r\nContent-Length: 4000000\r\n\r\n")
        client.sendall(b"x" * 100_000)
        assert status(read_all(client)) == 404
    assert server.seen == []


@pytest.mark.parametrize("header", ["Content-Length: 500", "Transfer-Encoding: chunked"])
def test_a_request_may_be_answered_before_its_body_ends(header: str) -> None:
    with running() as server, server.connect() as client:
        client.sendall(f"POST /echo HTTP/1.1\r\nHost: x\r\n{header}\r\n\r\n5\r\n".encode())
        client.sendall(b"STOP!\r\n")
        reply = read_all(client)
    assert (status(reply), reply[-7:]) == (422, b"stopped")
    assert server.seen == []


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("rubbish\r\n\r\n", 400),
        ("GET / HTTP/9.9\r\n\r\n", 400),
        (post("/a", "", "X: y\r\n" * 600), 431),
        ("GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef", 400),
        ("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400),
        (get("/", "X: " + "a" * 5000 + "\r\n"), 431),
        (get("/" + "a" * 5000), 431),
    ],
)
def test_what_is_no_request_is_refused(impatient: None, text: str, wanted: int) -> None:
    with running() as server:
        assert status(server.say(text)) == wanted


def test_what_is_wrong_after_a_good_request_is_told_after_its_reply(impatient: None) -> None:
    with running() as server, server.connect() as client:
        client.sendall((get("/slow") + "rubbish\r\n\r\n").encode())
        until(lambda: server.seen)
        time.sleep(0.5)  # longer than a refused client is given
        server.let_go()
        first, second = read_all(client).split(b"\r\n\r\n")[:2]
    assert (status(first), b"HTTP/1.1 400 " in second) == (200, True)


def test_a_protocol_that_a_client_would_upgrade_to_is_ignored() -> None:
    with running() as server:
        reply = server.say(get("/a", "Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\n") + get("/b", CLOSE))
    assert reply.count(b"HTTP/1.1 200 OK") == 2


def test_a_header_without_end_is_refused_at_the_limit() -> None:
    with running() as server, server.connect() as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nX: ")
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
        assert isinstance(one, Dialogue)
        assert len(one._replies.waiting) <= inbox._PIPELINED + parser._PIECE // len(get("/echo"))
        server.let_go()
        client.sendall(get("/last", CLOSE).encode())
        assert read_all(client).count(b"HTTP/1.1 200 OK") == 3002
    assert server.seen[-1].head.path == "/last"


def test_work_for_a_client_that_has_gone_is_cancelled() -> None:
    with running() as server:
        with server.connect() as client:
            client.sendall(get("/slow").encode())
            until(lambda: server.seen)
        until(lambda: server.cancelled)
        assert server.cancelled == ["/slow"]


@pytest.mark.parametrize(("path", "fault"), [("/fault", ZeroDivisionError), ("/unsendable", UnicodeEncodeError)])
def test_a_fault_of_ours_is_told_and_ends_its_connection(path: str, fault: type[Exception]) -> None:
    told: list[object] = []
    with running() as server, server.connect() as client:
        server.loop.set_exception_handler(lambda _, context: told.append(type(context["exception"])))
        client.sendall((get(path) + get("/next")).encode())
        assert read_all(client) == b""
        until(lambda: not server.connections.open)
        assert told == [fault]
        assert status(server.say(get("/a", CLOSE))) == 200


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
        until(lambda: server.cancelled)
        assert server.cancelled == ["/slow"]
