"""Connections on which nothing was asked yet: they live as long as others, and give way before them."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest

pytest.importorskip("httptools", reason="needs the extra: pip install 'ondevice-cnn[serve]'")

from clock import Clock
from http_line import Line, Timed, rest
from http_server import SMALL, get

from ondevice.cloud.http import handshake
from ondevice.cloud.http.connection import Connection
from ondevice.cloud.http.handshake import Handshake


class Visitors(Timed):
    """A server of at most four connections, of which one is there, unused."""

    def __init__(self) -> None:
        super().__init__(SMALL)
        self.lines = [self.line]

    async def come(self, *said: str) -> list[Line]:
        """One for each, which says this."""
        came = [Line() for _ in said]
        for line, words in zip(came, said, strict=True):
            connection = Connection(self.connections)
            connection.connection_made(line)
            connection.data_received(words.encode())
        self.lines += came
        await rest()
        return came

    @property
    def aborted(self) -> list[bool]:
        return [line.aborted for line in self.lines]


def play(work: Coroutine[Any, Any, None]) -> None:
    asyncio.run(work)


def test_a_spare_gives_way_before_one_that_is_asked_on_though_that_is_idle_for_longer(clock: Clock) -> None:
    async def scene() -> None:
        server = Visitors()
        await server.take(get("/a"))  # and idle from now on
        clock.pass_ms(10_000)
        await server.come("")
        clock.pass_ms(1)  # for of two that came at once either may go first
        await server.come("", get("/b"))
        assert server.connections.unused == 2
        clock.pass_ms(2_001)
        for gone in ([False, True, False, False, False], [False, True, True, False, False, False]):
            await server.come(get("/c"))
            assert server.aborted == gone
        assert (server.connections.gave_way, server.connections.unused_gave_way) == (2, 2)
        await server.come(get("/d"))
        assert server.aborted == [True, True, True, False, False, False, False]
        assert (server.connections.gave_way, server.connections.unused_gave_way) == (3, 2)

    play(scene())


def test_who_has_just_come_and_will_ask_is_not_taken_for_a_spare(clock: Clock) -> None:
    async def scene() -> None:
        server = Visitors()
        await server.take(get("/a"))
        clock.pass_ms(10_000)
        await server.come("", "", "")
        clock.pass_ms(1_999)
        await server.come("")
        assert server.aborted == [True, False, False, False, False], "the one that is idle for longest"
        assert server.connections.unused_gave_way == 0

    play(scene())


def test_one_that_has_begun_to_ask_is_not_unused(clock: Clock) -> None:
    async def scene() -> None:
        server = Visitors()
        await server.come("GET /a HTT", get("/b"), "")
        assert server.connections.unused == 2
        await server.take(get("/a"))
        assert server.connections.unused == 1

    play(scene())


def test_those_that_shake_hands_are_unused_too(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handshake, "perf_counter", clock)

    async def scene() -> None:
        server, line = Visitors(), Line()
        await server.take(get("/a"))
        shaking: Any = Handshake(server.connections, None)  # type: ignore[arg-type]  # it gets no further
        monkeypatch.setattr(shaking, "_secure", lambda: asyncio.sleep(3600))
        shaking.connection_made(line)
        assert server.connections.unused == 1
        clock.pass_ms(2_001)
        await server.come(get("/b"), get("/c"), get("/d"))
        assert line.aborted
        assert server.connections.unused_gave_way == 1

    play(scene())


def test_one_that_is_never_used_lives_as_long_as_one_between_requests(clock: Clock) -> None:
    async def scene() -> None:
        server = Visitors()
        (used,) = await server.come(get("/a"))
        clock.pass_ms(SMALL.idle_s * 1e3 - 1)
        server.connections.sweep()
        assert not any(line.closed for line in server.lines)
        clock.pass_ms(2)
        server.connections.sweep()
        assert [server.line.closed, used.closed] == [True, True]
        assert server.line.written == b"", "without a word, which its client would take for an answer"

    play(scene())
