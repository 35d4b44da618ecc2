"""Connections that are kept: which of them is taken, for how long they are, and how many."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from time import perf_counter

import pytest
import rude
import streams
from clock import Clock
from rude import HOST, Rude, answering, http, leaving
from streams import PATIENCE_S, PICTURE, failure

from ondevice.client.connection import idle
from ondevice.client.connection.address import ServerAddress
from ondevice.client.connection.http import HttpStream
from ondevice.client.connection.pool import ConnectionPool


class Pool:
    """A pool as the engine's thread uses it, with one server. opened: the connections that were told of."""

    def __init__(self, server: Rude) -> None:
        self.opened: list[HttpStream] = []
        self.pool = ConnectionPool(ServerAddress.parse(server.url), None, None, self.opened.append)

    def open(self) -> HttpStream:
        return streams.engine().run(self.pool.open(perf_counter() + PATIENCE_S))

    def several(self, count: int) -> list[HttpStream]:
        return [self.open() for _ in range(count)]

    def take(self) -> HttpStream | None:
        return streams.engine().call(self.pool.take)

    def keep(self, *several: HttpStream) -> None:
        for stream in several:
            streams.engine().call(self.pool.keep, stream)

    def ask(self, stream: HttpStream) -> bytes:
        return streams.engine().run(stream.ask(PICTURE, perf_counter() + PATIENCE_S)).body

    def close(self) -> None:
        streams.engine().call(self.pool.close)


@pytest.fixture
def server() -> Iterator[Rude]:
    with Rude(answering(lambda asked: http(asked.body))) as server:
        yield server


@pytest.fixture
def pool(server: Rude) -> Iterator[Pool]:
    made = Pool(server)
    yield made
    made.close()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """By which it is judged how long they were idle."""
    made = Clock()
    monkeypatch.setattr(idle, "perf_counter", made)
    return made


def closed(*several: HttpStream) -> list[bool]:
    return [not streams.engine().call(lambda stream=stream: stream.usable) for stream in several]


def test_nothing_is_there_at_first(pool: Pool) -> None:
    assert pool.take() is None


def test_each_new_one_is_told_of(pool: Pool) -> None:
    opened = pool.several(2)
    assert pool.opened == opened
    assert {(stream.family, stream.local) for stream in opened} == {(socket.AF_INET, HOST)}
    assert all(0 < stream.connect_ms < PATIENCE_S * 1e3 for stream in opened)
    pool.keep(*opened)


def test_the_one_that_was_used_last_is_taken_first(pool: Pool, server: Rude) -> None:
    first, second = pool.several(2)
    pool.keep(first, second)
    assert pool.take() is second
    assert pool.take() is first
    assert pool.take() is None
    assert pool.ask(first) == pool.ask(second) == PICTURE.body
    pool.keep(second, first)
    assert pool.take() is first
    pool.keep(first)
    assert len(server.visits) == 2


def test_one_that_the_server_has_closed_is_not_taken() -> None:
    with Rude(rude.in_turn(answering(http()), leaving(http()))) as server:
        pool = Pool(server)
        kept, left = pool.several(2)
        pool.keep(kept, left)
        assert pool.take() is left
        pool.ask(left)
        assert server.visit(1).gone.wait(PATIENCE_S)
        pool.keep(left)
        assert pool.take() is kept
        pool.keep(kept)
        pool.close()


def test_one_that_failed_is_not_kept(pool: Pool) -> None:
    stream = pool.open()
    streams.engine().call(stream.close)
    pool.keep(stream)
    assert pool.take() is None


@pytest.mark.parametrize(("idle_s", "taken"), [(59.0, True), (61.0, False)])
def test_one_that_was_idle_for_a_minute_is_not_taken(
    pool: Pool, clock: Clock, server: Rude, idle_s: float, taken: bool
) -> None:
    stream = pool.open()
    pool.keep(stream)
    clock.now_s += idle_s
    assert pool.take() is (stream if taken else None)
    assert closed(stream) == [not taken]
    pool.keep(stream)


def test_those_that_are_old_are_closed_though_nobody_takes_them(pool: Pool, clock: Clock) -> None:
    old, older, new = pool.several(3)
    pool.keep(older, old)
    clock.now_s += 61
    pool.keep(new)
    assert closed(older, old, new) == [True, True, False]


def test_only_so_many_are_kept_those_that_were_used_last(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(idle, "_MOST_IDLE", 2)
    several = pool.several(4)
    pool.keep(*several)
    assert closed(*several) == [True, True, False, False]


def test_dropping_closes_those_that_wait_and_no_others(pool: Pool, server: Rude) -> None:
    waiting, used = pool.several(2)
    pool.keep(waiting)
    streams.engine().call(pool.pool.drop)
    assert closed(waiting, used) == [True, False]
    assert server.visit(0).gone.wait(PATIENCE_S)
    pool.keep(used)
    assert pool.take() is used
    pool.keep(used)


def test_a_closed_one_keeps_nothing(pool: Pool) -> None:
    waiting, used = pool.several(2)
    pool.keep(waiting)
    pool.close()
    assert closed(waiting, used) == [True, False]
    pool.keep(used)
    assert closed(used) == [True]


def test_a_server_that_is_not_there_is_told() -> None:
    with Rude(answering(http())) as server:
        pool = Pool(server)
    assert failure(pool.open, "refuses connections") == "refused"
    assert pool.opened == []
