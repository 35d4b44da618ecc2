"""Connections that are open before they are needed: how many, for which requests, and that nobody waits for one."""

from __future__ import annotations

import math
from pathlib import Path
from random import Random
from time import perf_counter
from typing import Any, cast

import engines
import pytest
from asker import Asker
from certificates import self_signed, server_context
from clock import Clock
from good_endpoint import described, endpoint
from rude import Rude, Visit, answering, refusal
from serving import until

from ondevice.answer import Answer
from ondevice.client.connection.http import HttpStream
from ondevice.client.connection.messages import HttpRequest
from ondevice.client.endpoint.cnnselect import CnnSelectEndpoint
from ondevice.client.executors import health, spares
from ondevice.client.executors.health import CloudHealth
from ondevice.client.executors.spares import SpareConnections, wanted
from ondevice.errors import FailureKind, UpstreamError

# A deadline that is never meant to pass.
SLA_MS = 10_000.0
# What a request with something in reserve says of itself.
RESERVE = {"lasts_ms": SLA_MS}


@pytest.mark.parametrize(
    ("opening_ms", "lasts_ms", "in_flight", "lately", "count"),
    [
        (1.0, 200.0, 1, 0, 1),
        (80.0, 200.0, 1, 0, 1),
        (160.0, 200.0, 1, 0, 2),
        (160.0, 100.0, 1, 0, 3),
        (2000.0, 100.0, 1, 0, 4),
        (80.0, 200.0, 1, 1, 2),
        (80.0, 200.0, 1, 3, 4),
        (80.0, 200.0, 1, 4, 4),
        (80.0, 200.0, 3, 0, 3),
        (160.0, 200.0, 4, 0, 4),
        (160.0, 200.0, 10, 0, 9 + 1),
        (160.0, 200.0, 200, 0, 16),
        (0.0, math.inf, 1, 0, 1),
    ],
)
def test_how_many_are_wanted(opening_ms: float, lasts_ms: float, in_flight: int, lately: int, count: int) -> None:
    assert wanted(opening_ms, lasts_ms, in_flight, lately) == count


@pytest.mark.parametrize("opening_ms", [20.0, 80.0, 160.0, 390.0])
@pytest.mark.parametrize("lasts_ms", [100.0, 150.0, 250.0])
def test_so_many_are_enough_where_each_request_is_given_up(opening_ms: float, lasts_ms: float) -> None:
    """Each takes one when the one before ends, and one is opened in its place then."""
    count = wanted(opening_ms, lasts_ms, 1, 0)
    if count == spares._MOST:  # more than that are not kept
        return
    ready = [0.0] * (count + 1)
    for number in range(1000):
        now_ms = number * lasts_ms
        first = min(ready)
        assert first <= now_ms
        ready.remove(first)
        ready.append(now_ms + opening_ms)


class Counting:
    """In the place of a pool: counts of connections that it was to have."""

    def __init__(self, in_use: int = 1) -> None:
        self.in_use, self.counts = in_use, list[int]()

    def fill(self, count: int) -> None:
        self.counts.append(count)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(spares, "perf_counter", made)
    monkeypatch.setattr(health, "perf_counter", made)
    return made


def made(pool: Counting, found: CloudHealth | None = None) -> SpareConnections:
    return SpareConnections(cast(Any, pool), found or CloudHealth())


def test_where_nothing_is_ever_given_up_there_are_none_until_something_is(clock: Clock) -> None:
    pool = Counting()
    kept = made(pool)
    kept.fill()
    assert pool.counts == []
    kept.given_up()
    kept.fill()
    assert pool.counts == [3, 2]


def test_the_longest_opening_of_late_counts(clock: Clock) -> None:
    pool = Counting()
    kept = made(pool)
    kept.expect(100.0, 100.0)
    for opening_ms in (40.0, 240.0, *[40.0] * 7):
        kept.opened(opening_ms)
        kept.fill()
    assert pool.counts == [1, *[3] * 8]
    kept.opened(40.0)
    kept.fill()
    assert pool.counts[-1] == 1
    kept.opened(240.0)
    kept.forget()
    kept.fill()
    assert pool.counts[-1] == 1


def test_each_that_is_given_up_asks_for_one_more_for_a_minute(clock: Clock) -> None:
    pool = Counting()
    kept = made(pool)
    kept.expect(200.0, 200.0)
    for _ in range(6):
        kept.given_up()
        clock.now_s += 1
    assert pool.counts == [3, 4, 5, 5, 5, 5], "and one in the place of its own"
    kept.fill()
    clock.now_s += 57
    kept.fill()
    clock.now_s += 10
    kept.fill()
    assert pool.counts[6:] == [4, 3, 1]


def test_none_while_the_endpoint_wants_nobody(clock: Clock) -> None:
    pool, found = Counting(), CloudHealth()
    kept = made(pool, found)
    kept.expect(200.0, 200.0)
    found.failed(UpstreamError("busy", FailureKind.BUSY, 1000.0))
    kept.fill()
    clock.now_s += 1.1
    found.failed(UpstreamError("busy", FailureKind.BUSY, 1000.0, True), 200.0)
    kept.given_up()
    assert pool.counts == []
    kept.expect(300.0, 300.0)  # it wants those with more time
    kept.fill()
    found.failed(UpstreamError("refused", FailureKind.REFUSED))
    kept.fill()
    kept.given_up()
    assert len(pool.counts) == 1


# With a server


def known(asker: Asker) -> None:
    """Its models need not be asked for."""
    asker.discovery.endpoint = CnnSelectEndpoint(described())


class Moody:
    """Answers some requests, and never the others. moods: whether the next is answered."""

    def __init__(self) -> None:
        self.moods: list[bool] = []

    def __call__(self, visit: Visit) -> None:
        while asked := visit.next():
            if self.moods.pop(0):
                visit.send(endpoint(asked))
            else:
                visit.pause()


@pytest.mark.parametrize("encrypted", [False, True], ids=["plain", "TLS"])
def test_giving_up_costs_the_next_request_no_handshake(tmp_path: Path, encrypted: bool) -> None:
    """A third is given up, by chance, so that several in a row are: after the first none waits for a connection."""
    draws, moody = Random(0), Moody()
    answered = [draws.random() > 1 / 3 for _ in range(100)]
    moody.moods = list(answered)
    tls = server_context(*self_signed(tmp_path)) if encrypted else None
    with Rude(moody, told=endpoint, tls=tls) as server:
        asker = Asker(server)
        known(asker)
        for number, good in enumerate(answered, 1):
            attempt = asker.begin(**RESERVE)
            if good:
                assert isinstance(engines.outcome(attempt.task).result, Answer)
            else:
                until(lambda: len(server.asked) == number)  # noqa: B023  # called at once
                until(lambda: asker.connections.ready)  # while it is under way, and before it is given up
                engines.on(attempt.cancel)
        assert asker.cloud.link.waited == 1
        assert asker.connections.begun <= 1 + answered.count(False) + spares._MOST + 1
        asker.close()


def test_one_is_opened_when_the_request_has_gone_out(context: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    server, asker = context(answering(endpoint))
    known(asker)
    order: list[str] = []
    fill, send = asker.connections.fill, HttpStream._send
    monkeypatch.setattr(asker.connections, "fill", lambda count: (order.append("opened"), fill(count)))

    def sending(self: HttpStream, *arguments: Any) -> None:
        order.append("sending")
        send(self, *arguments)

    monkeypatch.setattr(HttpStream, "_send", sending)
    asker.ask(**RESERVE)
    assert order == ["sending", "opened"]
    until(lambda: len(server.visits) == 2)


def test_a_large_request_has_gone_out_before_one_is_opened(context: Any) -> None:
    """None of it is in the way of a picture that the kernel has not taken whole."""

    def read_late(visit: Visit) -> None:
        if visit.head():
            held.append(asker.connections.begun)
            while visit.piece():
                pass

    held: list[int] = []
    server, asker = context(read_late)
    known(asker)
    stream = engines.awaited(asker.connections.wait(perf_counter() + 10))
    before = asker.connections.begun
    asker.cloud.link.spares.expect(SLA_MS, SLA_MS)
    picture = HttpRequest("POST", "/", body=bytes(64 << 20))  # more than kernels take
    asking = engines.ENGINE.submit(stream.ask(picture, perf_counter() + 60, sent=asker.cloud.link.spares.fill))
    until(lambda: held)
    assert held == [before]
    until(lambda: asker.connections.begun == before + 1)
    asking.cancel()
    until(lambda: server.visits[0].gone.is_set())


def test_the_first_question_brings_one_for_the_second_request(context: Any) -> None:
    server, asker = context(answering(endpoint))
    asker.cloud.link.spares.expect(SLA_MS, SLA_MS)
    assert asker.ready()
    until(lambda: asker.connections.ready == 2)
    assert isinstance(asker.ask(**RESERVE), Answer)
    assert (asker.cloud.link.waited, len(server.visits)) == (0, 2)


def test_requests_that_nobody_gives_up_bring_none(context: Any) -> None:
    server, asker = context(answering(endpoint))
    for _ in range(5):
        asker.ask()
    assert len(server.visits) == 1


def test_several_at_once_find_as_many(context: Any) -> None:
    moody = Moody()
    moody.moods = [False] * 6 + [True] * 6
    server, asker = context(moody)
    known(asker)
    first = [asker.begin(**RESERVE) for _ in range(6)]
    until(lambda: len(server.asked) == 6)
    until(lambda: asker.connections.ready == 6)
    waited = asker.cloud.link.waited
    for attempt in first:
        engines.on(attempt.cancel)
    for attempt in [asker.begin(**RESERVE) for _ in range(6)]:
        assert isinstance(engines.outcome(attempt.task).result, Answer)
    assert asker.cloud.link.waited == waited


def test_one_that_its_server_has_closed_is_replaced_with_the_next_request(
    context: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ondevice.client.connection.idle._WANTED_S", 0.0)
    server, asker = context(answering(endpoint))
    known(asker)
    asker.ask(**RESERVE)
    until(lambda: asker.connections.ready == len(server.visits) == 2)
    server.visits[1].hang_up()
    until(lambda: asker.connections.ready == 1)
    assert len(server.visits) == 2, "nobody has asked meanwhile"
    asker.ask(**RESERVE)
    until(lambda: asker.connections.ready == 2)
    assert (len(server.visits), asker.cloud.link.waited) == (3, 1)


def test_an_endpoint_that_is_gone_is_noticed_by_them(context: Any) -> None:
    server, asker = context(answering(endpoint))
    known(asker)
    asker.ask(**RESERVE)
    until(lambda: asker.connections.ready == 2)
    server.close()
    until(lambda: asker.connections.ready == 0)
    engines.on(asker.connections._unwanted.succeeded)  # as if it had closed them after a minute
    engines.on(asker.connections.fill, 2)
    until(lambda: not asker.health.breaker.closed)
    assert "refuses connections" in str(asker.cloud.problem)
    assert asker.health.budget.allows


def test_what_cuts_their_handshake_is_no_fault_of_the_cloud(tmp_path: Path) -> None:
    """As an endpoint does that has no room for more, and answers those that it has."""
    tls = server_context(*self_signed(tmp_path))
    with Rude(answering(endpoint), tls=tls) as server:
        asker = Asker(server)
        known(asker)
        asker.ask()
        server.tls, server.behaviour = None, lambda visit: None
        for _ in range(4):
            engines.on(asker.connections._unwanted.succeeded)
            before = asker.connections.begun
            engines.on(asker.connections.fill, 2)
            until(lambda: asker.connections.begun > before and not asker.connections._openings)  # noqa: B023
        assert asker.health.breaker.closed
        assert isinstance(asker.ask(), Answer)
        asker.close()


def test_another_network_has_none_of_the_last_one_s(context: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    server, asker = context(answering(endpoint))
    known(asker)
    asker.ask(**RESERVE)
    until(lambda: asker.connections.ready == 2)
    engines.on(asker.cloud.link.network_changed)
    assert (asker.connections.ready, asker.cloud.link.network.known) == (0, False)
    asker.ask(**RESERVE)
    until(lambda: asker.connections.ready == 2)
    real = HttpStream.__init__

    def elsewhere(self: HttpStream, *arguments: Any) -> None:
        real(self, *arguments)
        self.local = "10.0.0.7"

    monkeypatch.setattr(HttpStream, "__init__", elsewhere)
    engines.on(asker.connections.fill, 3)
    until(lambda: len(server.visits) == 5)
    until(lambda: asker.connections.ready == 1)


def test_a_busy_endpoint_is_sent_no_more_of_them(context: Any) -> None:
    server, asker = context(answering(refusal(503, "no", {"Retry-After": "30"})))
    known(asker)
    asker.ask(**RESERVE)
    until(lambda: asker.connections.ready == 2)
    before = asker.connections.begun
    until(lambda: len(server.visits) == before)
    server.hang_up()
    until(lambda: asker.connections.ready == 0)
    engines.on(asker.cloud.link.spares.given_up)
    assert asker.connections.begun == before
