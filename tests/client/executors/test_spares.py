"""How many connections are open before they are needed, on a given clock."""

from __future__ import annotations

import math
from typing import Any, cast

import pytest
from clock import Clock

from ondevice.client.executors import health, spares
from ondevice.client.executors.health import CloudHealth
from ondevice.client.executors.spares import SpareConnections, wanted
from ondevice.errors import FailureKind, UpstreamError

# What opening a connection is said to take.
OPENING_MS = 80.0


@pytest.mark.parametrize(
    ("opening_ms", "lasts_ms", "in_flight", "lately", "count"),
    [
        (80.0, 200.0, 1, 0, 2),
        (160.0, 200.0, 1, 0, 2),
        (160.0, 100.0, 1, 0, 3),
        (2000.0, 100.0, 1, 0, 4),
        (80.0, 200.0, 1, 1, 3),
        (80.0, 200.0, 1, 6, 8),
        (80.0, 200.0, 1, 8, 8),
        (80.0, 200.0, 3, 0, 3),
        (160.0, 200.0, 3, 0, 4),
        (160.0, 200.0, 10, 0, 10),
        (160.0, 200.0, 200, 3, 16),
        (1.9, 200.0, 1, 0, 0),
        (2.1, 200.0, 1, 0, 2),
        (1.9, 200.0, 1, 1, 3),
        (80.0, math.inf, 1, 0, 0),
        (80.0, math.inf, 1, 2, 3),
    ],
)
def test_how_many_are_wanted(opening_ms: float, lasts_ms: float, in_flight: int, lately: int, count: int) -> None:
    assert wanted(opening_ms, lasts_ms, in_flight, lately) == count


@pytest.mark.parametrize("opening_ms", [20.0, 80.0, 160.0, 290.0])
@pytest.mark.parametrize("lasts_ms", [100.0, 150.0, 250.0])
def test_so_many_are_enough_where_each_request_is_given_up(opening_ms: float, lasts_ms: float) -> None:
    """Each takes one when the one before ends, and one is opened in its place then."""
    ready = [0.0] * (wanted(opening_ms, lasts_ms, 1, 0) + 1)
    for number in range(1000):
        now_ms = number * lasts_ms
        first = min(ready)
        assert first <= now_ms
        ready.remove(first)
        ready.append(now_ms + opening_ms)


class Counting:
    """In the place of a pool: counts of connections that it was to have."""

    def __init__(self, in_use: int = 1) -> None:
        self.in_use, self.counts, self.settling_s = in_use, list[int](), 0.0

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
    kept.opened(OPENING_MS)
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
    assert pool.counts == [2, *[4] * 8]
    kept.opened(40.0)
    kept.fill()
    assert pool.counts[-1] == 2
    kept.opened(240.0)
    kept.forget()
    kept.opened(40.0)
    kept.fill()
    assert pool.counts[-1] == 2


def test_opening_one_takes_a_round_trip_though_a_proxy_takes_it_at_once(clock: Clock) -> None:
    """Which goes on to connect while it seems to be open."""
    pool = Counting()
    kept = made(pool)
    kept.expect(200.0, 200.0)
    kept.fill()
    kept.opened(0.2)
    kept.fill()
    assert (pool.counts, pool.settling_s) == ([2, 2], 0.06), "as long as nothing is known of it"
    for reply_ms in (460.0, 230.0, 250.0):
        kept.replied(reply_ms)
    kept.fill()
    assert (pool.counts, pool.settling_s) == ([2, 2, 3], 0.23)


def test_where_opening_one_takes_next_to_no_time_there_are_none(clock: Clock) -> None:
    pool = Counting()
    kept = made(pool)
    kept.expect(200.0, 200.0)
    kept.opened(0.2)
    kept.replied(0.8)
    kept.fill()
    assert pool.counts == []
    kept.given_up()
    assert pool.counts == [4]


def test_each_that_is_given_up_asks_for_one_more_for_a_minute(clock: Clock) -> None:
    pool = Counting()
    kept = made(pool)
    kept.expect(200.0, 200.0)
    kept.opened(OPENING_MS)
    for _ in range(8):
        kept.given_up()
        clock.now_s += 1
    assert pool.counts == [4, 5, 6, 7, 8, 9, 9, 9], "and one in the place of its own"
    kept.fill()
    clock.now_s += 55
    kept.fill()
    clock.now_s += 10
    kept.fill()
    assert pool.counts[8:] == [8, 6, 2]


def test_none_while_the_endpoint_wants_nobody(clock: Clock) -> None:
    pool, found = Counting(), CloudHealth()
    kept = made(pool, found)
    kept.expect(200.0, 200.0)
    kept.opened(OPENING_MS)
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
