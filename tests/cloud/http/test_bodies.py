"""What all bodies hold together, on a given clock and without a socket."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

pytest.importorskip("httptools", reason="needs the extra: pip install 'ondevice-cnn[serve]'")

from clock import Clock
from http_line import Timed, rest
from http_server import SMALL, get, post

from ondevice.cloud.http import reception, transaction
from ondevice.cloud.http.limits import HttpLimits
from ondevice.resilience.budget import Allotment

WIDE = replace(SMALL, body_bytes=1 << 20)


def hold(server: Timed, left: int) -> Allotment:
    """Others hold all the room for bodies but so much."""
    return server.connections.bodies.take(server.connections.bodies.total - left, lambda: None)


def test_a_body_for_which_there_is_no_room_is_not_read_until_there_is(clock: Clock) -> None:
    async def play() -> None:
        server = Timed(WIDE)
        others = hold(server, left=1000)
        clock.pass_ms(100)
        await server.take(
            "POST /a HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 600\r\n\r\n" + "a" * 300
        )
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


def test_who_offers_another_protocol_waits_for_room_as_all_do(clock: Clock) -> None:
    async def play() -> None:
        server = Timed(WIDE)
        others = hold(server, left=1000)
        await server.take(post("/a", "a" * 600, "Upgrade: h2c\r\nConnection: Upgrade\r\n") + get("/b"))
        assert (server.line.reading, server.seen) == (False, [])
        others.give_back()
        await rest()
        assert [(request.head.path, request.body) for request in server.seen] == [("/a", b"a" * 600), ("/b", b"")]
        assert server.connections.bodies.held == 0

    asyncio.run(play())


@pytest.mark.parametrize("length", ["600", "600 ", "600\t \t", "0" * 1500 + "600"])
def test_a_body_counts_however_its_length_is_written(length: str) -> None:
    async def play() -> None:
        server = Timed(WIDE)
        await server.take(f"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\naaa")
        assert server.connections.bodies.held == 600
        await server.take("a" * 597)
        assert [(request.head.length, len(request.body)) for request in server.seen] == [(600, 600)]

    asyncio.run(play())


def test_a_length_may_begin_with_thousands_of_zeros() -> None:
    async def play() -> None:
        server = Timed(HttpLimits())
        await server.take(f"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: {'0' * 5000}3\r\n\r\nabc")
        assert [request.body for request in server.seen] == [b"abc"]

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
        await server.take("POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n" + "a" * sent)
        if waiting:
            hold(server, left=0)
        clock.pass_ms(transaction._GRACE_S * 1e3 - 1)
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
        server, step = Timed(replace(WIDE, body_bytes=10 << 20)), reception._UNKNOWN_BYTES
        bodies = server.connections.bodies
        await server.take("POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk(1000))
        assert bodies.held == step
        await server.take(chunk(step))
        assert bodies.held == 2 * step
        bodies.held = bodies.total - step
        await server.take(chunk(step))
        assert b"503 Service Unavailable" in server.line.written
        assert b"with a Content-Length" in server.line.written

    asyncio.run(play())


@pytest.mark.parametrize("end", ["lost", "refused", "answered", "malformed"])
def test_whatever_becomes_of_a_request_its_room_is_given_back(clock: Clock, end: str) -> None:
    async def play() -> None:
        server = Timed(WIDE)
        server.answering.clear()
        await server.take(post("/a", "a" * 50) * 3 + "POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 50\r\n\r\na")
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
    many = Timed().connections
    held = many.bodies.take(50_000_000, lambda: None)
    assert not many.shrunk()
    held.give_back()
    assert [many.shrunk(), many.shrunk()] == [True, False]
