"""Whether the endpoint may be asked, by what it answered, on a given clock."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest
from clock import Clock

from ondevice.client.executors import discovery, health
from ondevice.client.executors.discovery import EndpointDiscovery
from ondevice.client.executors.health import CloudHealth
from ondevice.errors import FailureKind, UpstreamError
from ondevice.resilience.breaker import Breaker


def error(kind: FailureKind, after_ms: float | None = None, for_time: bool = False) -> UpstreamError:
    return UpstreamError(str(kind), kind, after_ms, for_time)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(health, "perf_counter", made)
    monkeypatch.setattr(discovery, "perf_counter", made)
    return made


def opened() -> CloudHealth:
    """With a breaker that has just opened, and a probe half a second later, a second after that, …"""
    found = CloudHealth()
    found.breaker = Breaker()
    assert found.failed(error(FailureKind.REFUSED))
    return found


@pytest.mark.parametrize("kind", [FailureKind.BUSY, FailureKind.REJECTED])
def test_a_probe_that_is_refused_is_not_the_last(clock: Clock, kind: FailureKind) -> None:
    found = opened()
    clock.pass_ms(500)
    assert found.breaker.probe(clock())
    assert not found.failed(error(kind))
    assert not found.breaker.closed
    clock.pass_ms(1000)
    assert found.breaker.probe(clock())
    assert found.succeeded()


def test_refusals_are_not_failures(clock: Clock) -> None:
    found = CloudHealth()
    for _ in range(20):
        assert not found.failed(error(FailureKind.BUSY, 100))
    assert found.breaker.closed
    assert found.budget.allows
    assert found.problem is None


def test_want_of_time_holds_back_those_with_no_more_of_it(clock: Clock) -> None:
    found = CloudHealth()
    found.failed(error(FailureKind.BUSY, 400, for_time=True), sla_ms=200)
    assert [found.held_ms(sla_ms) > 0 for sla_ms in (100, 200, 201)] == [True, True, False]
    found.failed(error(FailureKind.BUSY, 300), sla_ms=200)
    assert found.held_ms(1e6) == pytest.approx(300)


class Asked(EndpointDiscovery):
    """Counts how often it would have asked."""

    def __init__(self, found: CloudHealth) -> None:
        super().__init__(cast(Any, None), cast(Any, None), found)
        self.times = 0

    def _begin(self, timeout_s: float) -> asyncio.Task[None]:
        self.times += 1
        return cast(Any, None)


def test_an_endpoint_that_wants_nobody_is_not_probed(clock: Clock) -> None:
    found = opened()
    asked = Asked(found)
    found.failed(error(FailureKind.BUSY, 30_000))  # the word of one that was sent before
    clock.pass_ms(29_999)
    asked.maintain()
    assert not asked.times
    clock.pass_ms(2)
    asked.maintain()
    assert asked.times == 1


def test_want_of_time_says_nothing_against_probes(clock: Clock) -> None:
    found = opened()
    asked = Asked(found)
    found.failed(error(FailureKind.BUSY, 30_000, for_time=True), sla_ms=200)
    clock.pass_ms(500)
    asked.maintain()
    assert asked.times == 1
