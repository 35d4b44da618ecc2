"""When uploads began and ended, and when connections end, on a given clock and without a socket."""

from __future__ import annotations

import asyncio

import pytest

pytest.importorskip("httptools", reason="needs the extra: pip install 'ondevice-cnn[serve]'")

from clock import Clock
from http_line import Timed, rest
from http_server import CLOSE, HASTY, get, post

from ondevice.cloud.app.messages import Request
from ondevice.cloud.http import dialogue


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
        await server.take(post("/echo", "x") + "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Le")
        clock.pass_ms(70)
        await server.take("ngth: 0\r\n\r\n")
        return server.seen

    assert [request.upload_ms for request in asyncio.run(play())] == pytest.approx([0, 0, 0, 70])


@pytest.mark.parametrize(
    ("sent", "wait_ms", "said"),
    [
        ("POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\na", 400, b"408 Request Timeout"),
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
        clock.pass_ms(dialogue._LINGER_S * 1e3 + 1 if b"408" in said else 0)  # it gets to read why
        server.connections.sweep()
        assert server.line.closed

    asyncio.run(play())


@pytest.mark.parametrize("asked", [get("/a"), get("/a", CLOSE)], ids=["kept", "to be closed"])
@pytest.mark.parametrize("unsent", [0, 5])
def test_who_never_takes_the_end_of_a_reply_is_cut_off(clock: Clock, asked: str, unsent: int) -> None:
    async def play() -> None:
        server = Timed(HASTY)
        await server.take(asked)
        server.line.unsent = unsent
        clock.pass_ms(599)
        server.connections.sweep()
        assert not server.line.aborted
        clock.pass_ms(2)
        server.connections.sweep()
        assert (server.line.closed, server.line.aborted) == (True, unsent > 0)

    asyncio.run(play())


@pytest.mark.parametrize("reads_again", [True, False])
def test_a_client_that_does_not_read_gets_no_more_and_is_cut_off(clock: Clock, reads_again: bool) -> None:
    async def play() -> None:
        server = Timed(HASTY)
        server.connection.pause_writing()
        await server.take(get("/a") + get("/b"))
        assert server.line.written.count(b"200 OK") == 1
        clock.pass_ms(300)
        if reads_again:
            server.connection.resume_writing()
            await rest()
        clock.pass_ms(301)
        server.connections.sweep()
        assert server.line.aborted is not reads_again
        assert server.line.written.count(b"200 OK") == 1 + reads_again

    asyncio.run(play())
