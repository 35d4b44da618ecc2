"""Bodies that come compressed: what is received, and held, is what they expand to."""

from __future__ import annotations

import asyncio
import gc
import gzip
import random
import tracemalloc
import zlib
from dataclasses import replace

import pytest

pytest.importorskip("httptools", reason="needs the extra: pip install 'ondevice-cnn[serve]'")

from clock import Clock
from http_line import Timed, rest
from http_server import SMALL, get

from ondevice.cloud.http import transaction
from ondevice.cloud.http.limits import HttpLimits
from ondevice.protocol import content_coding

STEP = content_coding._STEP_BYTES
WIDE = HttpLimits(body_bytes=20 * STEP)
BODY = b"".join(b"%d and so on, " % n for n in range(5000))
OFFER = "Upgrade: h2c\r\nConnection: Upgrade\r\n"


def post(body: bytes, coding: str = "gzip", extra: str = "", path: str = "/a") -> bytes:
    head = (
        f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Encoding: {coding}\r\nContent-Length: {len(body)}\r\n{extra}\r\n"
    )
    return head.encode() + body


def chunked(body: bytes, size: int) -> bytes:
    head = b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n"
    pieces = [body[at : at + size] for at in range(0, len(body), size)]
    return head + b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"


async def take(server: Timed, data: bytes, size: int) -> None:
    for at in range(0, len(data), size):
        server.connection.data_received(data[at : at + size])
    await rest()


@pytest.mark.parametrize("size", [1, 100, 1 << 20])
@pytest.mark.parametrize(
    "sent",
    [
        post(gzip.compress(BODY)),
        post(zlib.compress(BODY), "Deflate"),
        post(gzip.compress(BODY), extra=OFFER),
        chunked(gzip.compress(BODY), 100),
    ],
    ids=["gzip", "deflate", "offering HTTP/2", "in chunks"],
)
def test_the_service_gets_what_it_stands_for_and_then_the_next_request(sent: bytes, size: int) -> None:
    async def play() -> None:
        server = Timed(WIDE)
        await take(server, sent + get("/b").encode(), size)
        assert [(request.head.path, request.body) for request in server.seen] == [("/a", BODY), ("/b", b"")]
        assert server.connections.bodies.held == 0

    asyncio.run(play())


def test_a_request_without_a_body_may_say_that_it_is_compressed() -> None:
    async def play() -> None:
        server = Timed()
        await take(server, get("/a", "Content-Encoding: gzip\r\n").encode() + post(b""), 1000)
        assert [request.body for request in server.seen] == [b"", b""]

    asyncio.run(play())


def test_it_holds_what_it_expands_to() -> None:
    async def play() -> None:
        server = Timed(WIDE)
        sent = post(gzip.compress(bytes(5 * STEP)))
        server.answering.clear()
        await take(server, sent[:-8], 1 << 20)
        assert 5 * STEP <= server.connections.bodies.held <= 10 * STEP
        await take(server, sent[-8:], 8)
        assert [len(request.body) for request in server.seen] == [5 * STEP]
        assert 5 * STEP <= server.connections.bodies.held <= 10 * STEP
        server.answering.set()
        await rest()
        assert server.connections.bodies.held == 0

    asyncio.run(play())


@pytest.mark.parametrize("send", [post, lambda body: chunked(body, 1000)], ids=["announced", "in chunks"])
def test_a_bomb_is_refused_before_it_is_expanded(send: object) -> None:
    async def play() -> None:
        server = Timed(WIDE)
        assert callable(send)
        await take(server, send(gzip.compress(bytes(1 << 28))), 1 << 20)
        assert b"413 " in server.line.written
        assert b"the body is over 1310720 bytes" in server.line.written
        assert server.seen == []
        assert server.connections.bodies.held == 0

    asyncio.run(play())


@pytest.mark.parametrize(("times", "refused"), [(99, False), (500, True)])
def test_a_large_body_may_not_expand_to_many_times_its_length(times: int, refused: bool) -> None:
    async def play() -> None:
        server = Timed(HttpLimits())
        zeros = bytes(6 << 20)
        packed = gzip.compress(random.Random(3).randbytes(len(zeros) // times) + zeros)
        await take(server, post(packed), 1 << 20)
        assert (b"413 " in server.line.written) is refused
        assert (b"the body expands to over 100 times its length" in server.line.written) is refused
        assert len(server.seen) == (not refused)

    asyncio.run(play())


def test_where_there_is_no_room_for_what_it_expands_to_it_is_refused() -> None:
    async def play() -> None:
        server = Timed(WIDE)
        bodies = server.connections.bodies
        bodies.take(bodies.total - 2 * STEP, lambda: None)
        await take(server, post(gzip.compress(bytes(10 * STEP))), 1 << 20)
        assert b"503 Service Unavailable" in server.line.written
        assert b"more is being sent than there is memory for" in server.line.written
        assert bodies.held == bodies.total - 2 * STEP

    asyncio.run(play())


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"plain", b"the body is not gzip, as its Content-Encoding says"),
        (gzip.compress(BODY) + b"more", b"4 bytes follow the end of the body's gzip"),
        (gzip.compress(BODY)[:-1], b"the body ends before what it is compressed from does"),
    ],
)
@pytest.mark.parametrize("extra", ["", OFFER])
def test_what_cannot_be_expanded_is_refused(body: bytes, said: bytes, extra: str) -> None:
    async def play() -> None:
        server = Timed(WIDE)
        await take(server, post(body, extra=extra), 1 << 20)
        assert b"400 Bad Request" in server.line.written
        assert said in server.line.written
        assert server.seen == []
        assert server.connections.bodies.held == 0

    asyncio.run(play())


def test_a_body_whose_client_leaves_is_freed_at_once() -> None:
    async def play() -> None:
        server = Timed(WIDE)
        gc.collect()
        gc.disable()
        tracemalloc.start()
        try:
            await take(server, post(gzip.compress(BODY * 10))[:-1], 1 << 20)
            server.connection.connection_lost(None)
            await rest()
            assert tracemalloc.get_traced_memory()[0] < len(BODY)
        finally:
            tracemalloc.stop()
            gc.enable()

    asyncio.run(play())


def test_what_the_first_bytes_rule_out_is_refused_before_the_rest() -> None:
    async def play() -> None:
        server = Timed(WIDE)
        await take(server, post(gzip.compress(b"STOP" + bytes(15 * STEP))), 1 << 20)
        assert b"422 " in server.line.written

    asyncio.run(play())


def test_it_keeps_pace_by_what_it_expands_to(clock: Clock) -> None:
    async def play() -> None:
        server = Timed(replace(SMALL, body_bytes=20 * STEP, send_s=6.0))
        sent = post(gzip.compress(bytes(19 * STEP)))
        await take(server, sent[:-8], 1 << 20)
        others = server.connections.bodies.take(server.connections.bodies.total, lambda: None)
        clock.pass_ms(transaction._GRACE_S * 1e3 + 500)
        server.connections.sweep()
        assert server.line.written == b"", "almost all of it is here"
        others.give_back()

    asyncio.run(play())
