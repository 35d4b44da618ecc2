"""Connections that are open before they are needed: at a server, nobody who asks it waits for one."""

from __future__ import annotations

from pathlib import Path
from random import Random
from time import perf_counter
from types import SimpleNamespace
from typing import Any

import engines
import pytest
from asker import Asker
from certificates import self_signed, server_context
from good_endpoint import described, endpoint
from ports import full_port
from rude import HOST, Rude, Visit, answering, refusal
from serving import until

from ondevice.answer import Answer
from ondevice.client.connection.http import HttpStream
from ondevice.client.connection.messages import HttpRequest
from ondevice.client.endpoint.cnnselect import CnnSelectEndpoint
from ondevice.client.executors import spares
from ondevice.client.executors.spares import SpareConnections

# A deadline that is never meant to pass.
SLA_MS = 10_000.0
# What requests say of themselves that may be given up soon, and what opening a connection is said to take: two spares.
LASTS_MS, OPENING_MS = 200.0, 80.0
HASTY = {"lasts_ms": LASTS_MS}


@pytest.fixture(autouse=True)
def far(monkeypatch: pytest.MonkeyPatch) -> None:
    """However long opening a connection to this machine takes, it is said to have been this."""
    opened = SpareConnections.opened
    monkeypatch.setattr(SpareConnections, "opened", lambda made, _: opened(made, OPENING_MS))


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
            attempt = asker.begin(**HASTY)
            if good:
                assert isinstance(engines.outcome(attempt.task).result, Answer)
            else:
                until(lambda: len(server.asked) == number)  # noqa: B023  # called at once
                until(lambda: asker.connections.ready)  # while it is under way, and before it is given up
                engines.on(attempt.cancel)
        assert asker.cloud.link.waited == 1
        assert asker.connections.begun <= 1 + answered.count(False) + spares._MOST_LATELY + 1
        asker.close()


def test_they_are_opened_when_a_request_has_gone_out(context: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    server, asker = context(answering(endpoint))
    known(asker)
    asker.ask()
    order: list[str] = []
    fill, send = asker.connections.fill, HttpStream._send
    monkeypatch.setattr(asker.connections, "fill", lambda count: (order.append("opened"), fill(count)))

    def sending(self: HttpStream, *arguments: Any) -> None:
        order.append("sending")
        send(self, *arguments)

    monkeypatch.setattr(HttpStream, "_send", sending)
    asker.ask(**HASTY)
    assert order == ["sending", "opened"]
    until(lambda: len(server.visits) == 3)


def test_where_a_request_has_to_wait_they_are_opened_after_its_own(context: Any) -> None:
    """It may be given up soon after that is there, as where a link is slow to take connections."""
    with full_port() as port:
        asker = Asker(SimpleNamespace(url=f"http://{HOST}:{port}"))  # type: ignore[arg-type]
        known(asker)
        begun: list[int] = []
        fill = asker.connections.fill
        asker.connections.fill = lambda count: (begun.append(asker.connections.begun), fill(count))  # type: ignore[method-assign]
        attempt = asker.begin(**HASTY)
        until(lambda: asker.connections.begun == 3)
        assert begun == [1]
        engines.on(attempt.cancel)
        asker.close()


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
    asker.cloud.link.spares.expect(SLA_MS, LASTS_MS)
    picture = HttpRequest("POST", "/", body=bytes(64 << 20))  # more than kernels take
    asking = engines.ENGINE.submit(stream.ask(picture, perf_counter() + 60, sent=asker.cloud.link.spares.fill))
    until(lambda: held)
    assert held == [before]
    until(lambda: asker.connections.begun == before + 2)
    asking.cancel()
    until(lambda: server.visits[0].gone.is_set())


def test_the_first_question_brings_one_for_the_second_request(context: Any) -> None:
    _, asker = context(answering(endpoint))
    asker.cloud.link.spares.expect(SLA_MS, LASTS_MS)
    assert asker.ready()
    until(lambda: asker.connections.ready == 3)
    assert isinstance(asker.ask(**HASTY), Answer)
    assert (asker.cloud.link.waited, asker.connections.begun) == (0, 3)


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
    first = [asker.begin(**HASTY) for _ in range(6)]
    until(lambda: len(server.asked) == 6)
    until(lambda: asker.connections.ready == 6)
    waited = asker.cloud.link.waited
    for attempt in first:
        engines.on(attempt.cancel)
    for attempt in [asker.begin(**HASTY) for _ in range(6)]:
        assert isinstance(engines.outcome(attempt.task).result, Answer)
    assert asker.cloud.link.waited == waited


def test_one_that_its_server_has_closed_is_replaced_with_the_next_request(
    context: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ondevice.client.connection.idle.WANTED_S", 0.0)
    server, asker = context(answering(endpoint))
    known(asker)
    asker.ask(**HASTY)
    until(lambda: asker.connections.ready == len(server.visits) == 3)
    server.visits[1].hang_up()
    until(lambda: asker.connections.ready == 2)
    assert asker.connections.begun == 3, "nobody has asked meanwhile"
    asker.ask(**HASTY)
    until(lambda: asker.connections.ready == 3)
    assert (asker.connections.begun, asker.cloud.link.waited) == (4, 1)


def test_an_endpoint_that_is_gone_is_noticed_by_them(context: Any) -> None:
    server, asker = context(answering(endpoint))
    known(asker)
    asker.ask(**HASTY)
    until(lambda: asker.connections.ready == 3)
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
            until(lambda: asker.connections.begun > before and not asker.connections._openings._openings)  # noqa: B023
        assert asker.health.breaker.closed
        assert isinstance(asker.ask(), Answer)
        asker.close()


def test_another_network_has_none_of_the_last_one_s(context: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    _, asker = context(answering(endpoint))
    known(asker)
    asker.ask(**HASTY)
    until(lambda: asker.connections.ready == 3)
    engines.on(asker.cloud.link.network_changed)
    assert (asker.connections.ready, asker.cloud.link.network.known) == (0, False)
    asker.ask(**HASTY)
    until(lambda: asker.connections.ready == 3)
    real = HttpStream.__init__

    def elsewhere(self: HttpStream, *arguments: Any) -> None:
        real(self, *arguments)
        self.local = "10.0.0.7"

    monkeypatch.setattr(HttpStream, "__init__", elsewhere)
    engines.on(asker.connections.fill, 4)
    until(lambda: asker.connections.ready == 1)
    assert asker.connections.begun == 7


def test_a_busy_endpoint_is_sent_no_more_of_them(context: Any) -> None:
    server, asker = context(answering(refusal(503, "no", {"Retry-After": "30"})))
    known(asker)
    asker.ask(**HASTY)
    until(lambda: asker.connections.ready == 3)
    before = asker.connections.begun
    until(lambda: len(server.visits) == before)
    server.hang_up()
    until(lambda: asker.connections.ready == 0)
    engines.on(asker.cloud.link.spares.given_up)
    assert asker.connections.begun == before
