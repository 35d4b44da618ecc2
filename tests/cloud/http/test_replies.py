"""How replies are framed and what becomes of their connections, without a socket."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

pytest.importorskip("httptools", reason="needs the extra: pip install 'ondevice-cnn[serve]'")

from clock import Clock
from http_line import Timed, rest
from http_server import CLOSE, HASTY, SMALL, get, post, undated

from ondevice.cloud.http import dialogue, sender

KEPT = "Connection: Keep-Alive\r\n"
EXPECT = "Expect: 100-continue\r\n"
GO_ON = b"HTTP/1.1 100 Continue\r\n\r\n"
WIDE = replace(SMALL, body_bytes=1 << 20)
GONE = b"HTTP/1.1 404 Not Found\r\ncontent-length: 4\r\n\r\ngone"
CHUNKED = "POST /nowhere HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"


def told(*sent: str) -> tuple[bytes, bool]:
    """What one connection is answered to these pieces, but for the dates, and whether it is closed then."""

    async def play() -> tuple[bytes, bool]:
        server = Timed(WIDE)
        for piece in sent:
            await server.take(piece)
        return undated(server.line.written), server.line.closed or server.line.ended

    return asyncio.run(play())


def ok(body: bytes = b"", connection: bytes = b"", length: int | None = None) -> bytes:
    size = len(body) if length is None else length
    return b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n%b\r\n%b" % (size, connection, body)


def test_a_reply_says_when_it_was_made(monkeypatch: pytest.MonkeyPatch) -> None:
    async def play() -> bytes:
        server = Timed()
        await server.take(get("/a") + get("/nowhere"))
        return server.line.written

    monkeypatch.setattr(sender, "time", lambda: 784111777.9)  # the example of RFC 9110, 5.6.7
    assert asyncio.run(play()).count(b"\r\ndate: Sun, 06 Nov 1994 08:49:37 GMT\r\n") == 2


def test_a_client_of_1_0_that_wants_it_is_told_that_its_connection_stays() -> None:
    sent = "POST /a HTTP/1.0\r\nContent-Length: 1\r\n{}\r\nb"
    kept = ok(b"b", b"connection: keep-alive\r\n")
    assert told(*[sent.format(KEPT)] * 2) == (kept * 2, False)
    assert told(sent.format("")) == (ok(b"b", b"connection: close\r\n"), True)
    assert told(f"GET /nowhere HTTP/1.0\r\n{KEPT}\r\n" + sent.format("")) == (
        GONE.replace(b"\r\n\r\n", b"\r\nconnection: keep-alive\r\n\r\n") + ok(b"b", b"connection: close\r\n"), True
    )  # fmt: skip


def test_a_client_of_1_1_is_told_only_that_it_does_not() -> None:
    assert told(get("/a", KEPT), get("/a")) == (ok() * 2, False)
    assert told(get("/a", CLOSE)) == (ok(connection=b"connection: close\r\n"), True)


def test_what_comes_after_the_last_request_is_not_answered() -> None:
    last = ok(b"x", b"connection: close\r\n")
    assert told(post("/a", "x", CLOSE) + "\r\n" + get("/b") + "rubbish") == (last, True)


def test_who_waits_to_be_told_so_sends_its_body_then_but_nobody_of_1_0_is_told() -> None:
    assert told(f"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n{EXPECT}\r\n", "b") == (GO_ON + ok(b"b"), False)
    assert told(get("/a", EXPECT)) == (ok(), False)
    closed = ok(b"b", b"connection: close\r\n")
    assert told(f"POST /a HTTP/1.0\r\nContent-Length: 1\r\n{EXPECT}\r\n", "b") == (closed, True)


@pytest.mark.parametrize("patient", [True, False])
def test_who_waits_to_be_told_so_is_told_after_the_replies_before(patient: bool) -> None:
    async def play() -> None:
        server = Timed(WIDE)
        server.answering.clear()
        await server.take(post("/slow", "good") + f"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n{EXPECT}\r\n")
        if not patient:
            await server.take("b")
        assert server.line.written == b""
        server.answering.set()
        await rest()
        if patient:
            assert undated(server.line.written) == ok(b"good") + GO_ON
            await server.take("b")
        between = GO_ON if patient else b""
        assert undated(server.line.written) == ok(b"good") + between + ok(b"b")

    asyncio.run(play())


@pytest.mark.parametrize(
    ("request_", "status", "closed"),
    [
        ("HEAD /a HTTP/1.1\r\nHost: x\r\n\r\n", 200, False),
        ("HEAD /nowhere HTTP/1.1\r\nHost: x\r\n\r\n", 404, False),
        ("HEAD /nowhere HTTP/1.1\r\nHost: x\r\nContent-Length: 900000\r\n\r\n", 404, True),
        ("HEAD http:// HTTP/1.1\r\nHost: x\r\n\r\n", 400, False),
        ("HEAD /a HTTP/1.1\r\n\r\n", 400, True),
        ("HEAD /a HTTP/1.1\r\nHost: x\r\nContent Length: 3\r\n\r\n", 400, True),
        (f"HEAD /a HTTP/1.1\r\nHost: x\r\nX: {'a' * 3000}\r\n\r\n", 431, True),
        ("HEAD /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", 501, True),
    ],
)
def test_no_reply_to_head_has_a_body(request_: str, status: int, closed: bool) -> None:
    reply, over = told(request_)
    assert reply.startswith(b"HTTP/1.1 %d " % status)
    assert (reply.count(b"\r\n\r\n"), reply[-4:], over) == (1, b"\r\n\r\n", closed)


def test_the_refusal_after_a_reply_to_head_has_a_body() -> None:
    reply, closed = told("HEAD /a HTTP/1.1\r\nHost: x\r\n\r\n", "rubbish\r\n\r\n")
    assert reply.startswith(ok() + b"HTTP/1.1 400 Bad Request\r\n")
    assert (closed, reply.endswith(b"\r\n\r\n")) == (True, False)


@pytest.mark.parametrize(
    "refused",
    [
        get("/nowhere"),
        post("/nowhere", "a" * 60_000, "Content-Encoding: gzip\r\n"),
        CHUNKED + "5\r\nabcde\r\n0\r\n\r\n",
        "POST /nowhere HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nExpect: 100-continue\r\n\r\n",
    ],
    ids=["without a body", "a small body", "small chunks", "nothing to wait for"],
)
def test_what_is_refused_by_its_head_leaves_its_connection_open(refused: str) -> None:
    whole = get("/a") + refused + post("/b", "b")
    assert told(whole) == (ok() + GONE + ok(b"b"), False)
    assert told(*(whole[n : n + 999] for n in range(0, len(whole), 999))) == (ok() + GONE + ok(b"b"), False)
    half = len(whole) // 2
    assert told(whole[:half], whole[half:]) == (ok() + GONE + ok(b"b"), False)


@pytest.mark.parametrize(
    "refused",
    [
        post("/nowhere", "a" * 300_000),
        post("/nowhere", "a", CLOSE),
        f"POST /nowhere HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n{EXPECT}\r\n",
    ],
    ids=["a large body", "the last request", "a body that has not been sent"],
)
def test_more_is_not_read_for_that(refused: str) -> None:
    last = GONE.replace(b"\r\n\r\n", b"\r\nconnection: close\r\n\r\n")
    assert told(get("/a") + refused + get("/b")) == (ok() + last, True)


def test_chunks_that_turn_out_to_be_more_end_the_connection() -> None:
    chunks = ("10000\r\n" + "a" * 0x10000 + "\r\n") * 5
    assert told(get("/a") + CHUNKED + chunks, get("/b")) == (ok() + GONE, True)


def test_the_refusal_does_not_wait_for_what_is_dropped_which_has_to_come_in_time(clock: Clock) -> None:
    async def play() -> None:
        server = Timed(HASTY)
        await server.take(post("/nowhere", "a" * 900)[:-1])
        assert (server.connections.bodies.held, undated(server.line.written)) == (0, GONE)
        clock.pass_ms(401)
        server.connections.sweep()
        await server.take("a" + get("/a"))
        assert (undated(server.line.written), server.line.ended, server.line.aborted) == (GONE, True, False)
        clock.pass_ms(dialogue._LINGER_S * 1e3 + 1)
        server.connections.sweep()
        assert server.line.aborted

    asyncio.run(play())


@pytest.mark.parametrize(
    "refused", ["rubbish\r\n\r\n", get("/a").replace("Host", "Hosts"), post("/nowhere", "a" * 300_000)]
)
def test_a_refused_request_does_not_end_the_one_before_it(refused: str) -> None:
    async def play() -> None:
        server = Timed(WIDE)
        server.answering.clear()
        await server.take(post("/slow", "good") + refused)
        assert server.line.written == b""
        server.answering.set()
        await rest()
        await rest()
        assert undated(server.line.written).startswith(ok(b"good") + b"HTTP/1.1 4")
        assert server.line.ended

    asyncio.run(play())
