"""Connections that are opened before they are needed: who gets which, how many there are, and when none is opened."""

from __future__ import annotations

import asyncio
import concurrent.futures
import math
import socket
from collections.abc import Callable, Iterator
from time import perf_counter
from typing import Any

import pytest
import streams
from clock import Clock
from ports import closed_port
from rude import HOST, Rude, answering, deaf, http
from serving import until
from streams import PATIENCE_S, PICTURE, QUICK_S, failure

from ondevice.client.connection import address as addresses
from ondevice.client.connection import idle, openings, pool
from ondevice.client.connection.address import ServerAddress
from ondevice.client.connection.http import HttpStream
from ondevice.client.connection.pool import ConnectionPool
from ondevice.errors import FailureKind, UpstreamError


class Ahead:
    """A pool on the engine's thread. failed: why what nobody waited for could not be opened."""

    def __init__(self, url: str) -> None:
        address = ServerAddress.parse(url)
        tls = addresses.tls_context(False) if address.scheme == "https" else None
        self.opened: list[HttpStream] = []
        self.failed: list[UpstreamError] = []
        self.pool = ConnectionPool(address, None, tls, self.opened.append, self.failed.append)

    def begin(self, within_s: float = PATIENCE_S) -> concurrent.futures.Future[HttpStream]:
        """Wait for one."""
        before = self.waiting
        future = streams.engine().begin(self.pool.wait(perf_counter() + within_s))
        until(lambda: self.waiting > before or future.done())
        return future

    def wait(self, within_s: float = PATIENCE_S) -> HttpStream:
        return self.begin(within_s).result(PATIENCE_S)

    def call(self, method: Callable[..., Any], *arguments: object) -> Any:
        return streams.engine().call(method, *arguments)

    def fill(self, count: int) -> None:
        self.call(self.pool.fill, count)

    def filled(self, count: int) -> None:
        """Have so many, and wait until they are there."""
        self.fill(count)
        until(lambda: self.pool.ready == count)

    def take(self) -> HttpStream | None:
        found: HttpStream | None = self.call(self.pool.take)
        return found

    def keep(self, *several: HttpStream) -> None:
        for stream in several:
            self.call(self.pool.keep, stream)

    @property
    def waiting(self) -> int:
        return len(self.pool._openings._waiting)

    @property
    def opening(self) -> int:
        return len(self.pool._openings._openings)

    def close(self) -> None:
        self.call(self.pool.close)
        until(lambda: streams.engine().call(lambda: asyncio.all_tasks() == {asyncio.current_task()}))


@pytest.fixture
def server() -> Iterator[Rude]:
    with Rude(answering(lambda asked: http(asked.body))) as server:
        yield server


@pytest.fixture
def ahead(server: Rude) -> Iterator[Ahead]:
    made = Ahead(server.url)
    yield made
    made.close()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """By which it is judged how old they are; deadlines are on it, too."""
    made = Clock(perf_counter())
    for module in (idle, openings, pool):
        monkeypatch.setattr(module, "perf_counter", made)
    return made


class Gate:
    """Connections are opened when it is, and not before."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.pass_on, self.begun = asyncio.Event(), 0
        real = HttpStream.open

        async def held(*arguments: Any) -> HttpStream:
            self.begun += 1
            await self.pass_on.wait()
            return await real(*arguments)

        patch.setattr(HttpStream, "open", held)

    def open(self) -> None:
        streams.engine().call(self.pass_on.set)


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Gate:
    return Gate(monkeypatch)


def usable(stream: HttpStream) -> bool:
    return streams.engine().call(lambda: stream.usable)


# Who waits


def test_each_that_waits_gets_one_of_its_own(ahead: Ahead) -> None:
    several = [future.result(PATIENCE_S) for future in [ahead.begin() for _ in range(3)]]
    assert len({id(stream) for stream in several}) == 3
    assert (ahead.pool.begun, ahead.pool.in_use, ahead.opened) == (3, 3, several)
    ahead.keep(*several)
    assert (ahead.pool.in_use, ahead.pool.ready) == (0, 3)


def test_who_waits_gets_what_is_being_opened_already(ahead: Ahead, gate: Gate) -> None:
    ahead.fill(1)
    first, second = ahead.begin(), ahead.begin()
    assert gate.begun == 2
    gate.open()
    ahead.keep(first.result(PATIENCE_S), second.result(PATIENCE_S))
    assert ahead.pool.begun == 2


def test_who_waits_gets_what_another_has_done_with(ahead: Ahead, monkeypatch: pytest.MonkeyPatch) -> None:
    used = ahead.wait()
    gate = Gate(monkeypatch)
    first, second = ahead.begin(), ahead.begin()
    ahead.keep(used)
    assert first.result(PATIENCE_S) is used, "it has waited for longer"
    assert not second.done()
    gate.open()
    ahead.keep(used, second.result(PATIENCE_S))
    until(lambda: ahead.pool.ready == 3)


def test_what_was_begun_for_one_that_is_given_up_is_the_next_one_s(ahead: Ahead, gate: Gate) -> None:
    given_up = ahead.begin()
    given_up.cancel()
    until(lambda: not ahead.waiting)
    later = ahead.begin()
    assert gate.begun == 1
    gate.open()
    ahead.keep(later.result(PATIENCE_S))
    assert ahead.pool.begun == 1


def test_one_that_comes_for_somebody_who_leaves_just_then_is_kept(ahead: Ahead) -> None:
    used = ahead.wait()

    async def leave() -> None:
        waiting = asyncio.ensure_future(ahead.pool.wait(perf_counter() + PATIENCE_S))
        await asyncio.sleep(0)
        ahead.pool.keep(used)  # it is that one's now, which has not woken yet
        waiting.cancel()
        await asyncio.wait([waiting])
        assert waiting.cancelled()

    streams.engine().run(leave())
    assert ahead.pool.in_use == 0
    assert ahead.pool.take() is not None
    ahead.pool.in_use = 0


def test_who_has_no_more_time_is_told_what_was_waited_for() -> None:
    with Rude(deaf) as server:
        ahead = Ahead(server.url.replace("http:", "https:"))
        assert failure(lambda: ahead.wait(QUICK_S), r"connected, but no TLS within 0\.\d+ s") == "late"
        assert ahead.opening == 1, "for the next one"
        assert failure(lambda: ahead.wait(-1), "no time was left") == "late"
        ahead.close()


def test_who_has_more_time_than_one_try_gets_another(ahead: Ahead, monkeypatch: pytest.MonkeyPatch) -> None:
    real, tries = HttpStream.open, []

    async def late_at_first(*arguments: Any) -> HttpStream:
        tries.append(arguments)
        if len(tries) == 1:
            raise UpstreamError("no connection within 2 s", FailureKind.LATE)
        return await real(*arguments)

    monkeypatch.setattr(HttpStream, "open", late_at_first)
    ahead.keep(ahead.wait())
    assert (len(tries), ahead.failed) == (2, [])


def test_a_failure_is_that_of_who_waits_longest() -> None:
    with closed_port() as port:
        ahead = Ahead(f"http://{HOST}:{port}")
        assert failure(ahead.wait, "refuses connections") == "refused"
        assert (ahead.failed, ahead.opening, ahead.waiting) == ([], 0, 0)
        ahead.close()


# How many there are


def test_so_many_are_opened_as_are_missing(ahead: Ahead, gate: Gate) -> None:
    ahead.fill(2)
    ahead.fill(2)
    assert ahead.opening == 2
    gate.open()
    until(lambda: ahead.pool.ready == 2)
    ahead.fill(2)
    ahead.fill(1)
    assert (ahead.opening, ahead.pool.begun) == (0, 2)
    taken = ahead.take()
    ahead.filled(2)
    assert ahead.pool.begun == 3
    assert taken
    ahead.keep(taken)


def test_those_that_are_waited_for_are_not_counted(ahead: Ahead, gate: Gate) -> None:
    waiting = ahead.begin()
    ahead.fill(2)
    assert (gate.begun, ahead.opening) == (3, 3)
    gate.open()
    ahead.keep(waiting.result(PATIENCE_S))


def test_one_that_could_not_be_opened_is_told(server: Rude) -> None:
    with closed_port() as port:
        ahead = Ahead(f"http://{HOST}:{port}")
        ahead.fill(2)
        until(lambda: len(ahead.failed) == 2)
        assert {error.failure for error in ahead.failed} == {"refused"}
        ahead.close()


def test_in_place_of_an_old_one_a_new_one_is_opened_before_that_is_closed(ahead: Ahead, clock: Clock) -> None:
    ahead.filled(1)
    (old,) = ahead.opened
    clock.now_s += 44
    ahead.fill(1)
    assert ahead.pool.begun == 1
    clock.now_s += 2
    ahead.fill(1)
    until(lambda: len(ahead.opened) == 2)
    assert (usable(old), ahead.pool.ready) == (False, 1)
    assert usable(ahead.opened[1])


def test_all_are_closed_in_time_though_nobody_asks(ahead: Ahead, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(idle, "IDLE_S", 0.05)
    ahead.fill(2)
    until(lambda: len(ahead.opened) == 2)
    until(lambda: not any(map(usable, ahead.opened)))
    assert (ahead.pool.ready, ahead.opening, ahead.pool.begun) == (0, 0, 2)
    until(lambda: ahead.pool._idle._timer is None)


def test_of_new_ones_the_newest_that_has_settled_is_taken(ahead: Ahead, clock: Clock) -> None:
    ahead.pool.settling_s = 0.1
    for count in (1, 2, 3):
        ahead.filled(count)
        clock.pass_ms(60)
    oldest, middle, newest = ahead.opened
    taken = [ahead.take() for _ in range(3)]
    assert taken == [middle, oldest, newest]
    ahead.keep(oldest, middle, newest)


def test_one_that_was_used_is_taken_before_new_ones(ahead: Ahead) -> None:
    used = ahead.wait()
    streams.engine().run(used.ask(PICTURE, perf_counter() + PATIENCE_S))
    ahead.keep(used)
    ahead.filled(2)
    assert ahead.take() is used
    ahead.keep(used)


# What its server closes


def hung_up(ahead: Ahead, server: Rude) -> None:
    until(lambda: len(server.visits) == ahead.pool.begun)  # it has accepted what the client holds already
    server.hang_up()
    until(lambda: ahead.pool.ready == 0)


def test_one_that_its_server_has_closed_is_noticed_and_replaced(ahead: Ahead, server: Rude, clock: Clock) -> None:
    ahead.filled(2)
    clock.now_s += 5.1  # as long as the hastiest servers let one live
    hung_up(ahead, server)
    ahead.filled(2)
    assert ahead.pool.begun == 4


def test_of_a_server_that_closes_them_at_once_no_more_is_wanted_for_a_while(
    ahead: Ahead, server: Rude, clock: Clock
) -> None:
    for pause_s in (5.0, 10.0, 20.0):
        ahead.filled(2)
        clock.now_s += 0.1
        hung_up(ahead, server)
        begun = ahead.pool.begun
        clock.now_s += pause_s - 0.1
        ahead.fill(2)
        assert ahead.pool.begun == begun
        clock.now_s += 0.2
    ahead.filled(1)
    taken = ahead.take()
    assert taken
    ahead.keep(taken)
    hung_up(ahead, server)
    clock.now_s += 5.1
    ahead.filled(1)  # one was of use: pauses begin anew


def test_those_that_were_asked_something_may_be_closed_at_any_time(ahead: Ahead, server: Rude) -> None:
    stream = ahead.wait()
    streams.engine().run(stream.ask(PICTURE, perf_counter() + PATIENCE_S))
    ahead.keep(stream)
    hung_up(ahead, server)
    ahead.filled(1)


def test_one_whose_handshake_is_cut_is_not_tried_again_at_once() -> None:
    with Rude(lambda visit: None) as server:  # which hangs up
        ahead = Ahead(server.url.replace("http:", "https:"))
        ahead.fill(1)
        until(lambda: ahead.failed)
        assert [error.failure for error in ahead.failed] == ["cut"]
        ahead.fill(1)
        assert ahead.opening == 0
        ahead.close()


# Where it ends


def test_dropping_ends_what_nobody_waits_for(ahead: Ahead, gate: Gate) -> None:
    ahead.fill(2)
    waiting = ahead.begin()
    ahead.call(ahead.pool.drop)
    assert ahead.opening == 1
    gate.open()
    ahead.keep(waiting.result(PATIENCE_S))
    assert len(ahead.opened) == 1


def test_dropping_at_once_forgets_what_had_not_begun(ahead: Ahead, gate: Gate) -> None:
    def begin_and_drop() -> None:
        ahead.pool.fill(2)
        ahead.pool.drop()

    ahead.call(begin_and_drop)
    assert (ahead.opening, gate.begun) == (0, 0)
    gate.open()
    ahead.filled(1)


def test_those_of_another_network_are_left(ahead: Ahead) -> None:
    ahead.filled(2)
    here, elsewhere = ahead.opened
    elsewhere.local = "10.0.0.7"
    ahead.call(ahead.pool.leave, int(socket.AF_INET), HOST)
    assert [usable(here), usable(elsewhere)] == [True, False]
    assert ahead.take() is here
    ahead.keep(here)


def test_closing_ends_what_is_being_opened(ahead: Ahead, gate: Gate) -> None:
    ahead.fill(2)
    ahead.close()
    gate.open()
    ahead.fill(2)
    assert (ahead.opened, ahead.opening) == ([], 0)


def test_one_that_is_there_just_when_the_pool_is_closed_is_closed(ahead: Ahead) -> None:
    ahead.filled(1)
    stream = ahead.take()
    assert stream
    ahead.call(ahead.pool.close)
    ahead.call(ahead.pool._there, stream)
    assert not usable(stream)


def test_limits_of_time_are_finite() -> None:
    """A deadline that never comes is no reason to wait for one handshake for ever."""
    with Rude(answering(http())) as server:
        ahead = Ahead(server.url)
        seen: list[float] = []

        async def wait() -> HttpStream:
            return await ahead.pool.wait(math.inf)

        original = ahead.pool._openings._open
        ahead.pool._openings._open = lambda limit, stage: (seen.append(limit), original(limit, stage))[1]  # type: ignore[method-assign]
        ahead.keep(streams.engine().run(wait()))
        assert seen[0] < perf_counter() + 11
        ahead.close()
