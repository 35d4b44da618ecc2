"""Pushback, with times that the test gives."""

from __future__ import annotations

import itertools
import math
import random

import pytest

from ondevice.resilience.pushback import Pushback

Said = tuple[float, float, float | None]


def told(*said: Said) -> Pushback:
    pushback = Pushback()
    for now, after_ms, sla_ms in said:
        pushback.said(now, after_ms, sla_ms)
    return pushback


def test_nothing_is_held_back_before_anything_is_said() -> None:
    assert Pushback().held_ms(5, 200) == 0


def test_what_is_said_to_all_holds_for_every_deadline_until_it_is_over() -> None:
    pushback = told((10, 500, None))
    assert [pushback.held_ms(now, sla_ms) for now in (10, 10.25, 10.5, 11) for sla_ms in (1, 1e9)] == [
        500, 500, 250, 250, 0, 0, 0, 0,
    ]  # fmt: skip


def test_want_of_time_holds_for_those_with_no_more_time() -> None:
    pushback = told((10, 500, 200))
    assert [pushback.held_ms(10, sla_ms) for sla_ms in (50, 199.9, 200, 200.1, 1000)] == [500, 500, 500, 0, 0]


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))), ids=str)
def test_several_hold_each_for_its_own(order: tuple[int, ...]) -> None:
    said = [(0, 3000, 100), (0, 2000, 300), (0, 1000, None)]
    pushback = told(*(said[place] for place in order))
    assert [pushback.held_ms(0, sla_ms) for sla_ms in (50, 100, 200, 300, 301, 1e6)] == [
        3000, 3000, 2000, 2000, 1000, 1000,
    ]  # fmt: skip
    assert [pushback.held_ms(1.5, sla_ms) for sla_ms in (50, 200, 1e6)] == [1500, 500, 0]


def test_a_shorter_word_takes_nothing_from_a_longer_one() -> None:
    pushback = told((0, 1000, None), (0.5, 100, 200), (0.5, 100, None))
    assert pushback.held_ms(0.5, 200) == 500


def test_a_longer_word_for_more_takes_the_place_of_others() -> None:
    pushback = told((0, 100, 50), (0, 100, 60), (0, 200, 70))
    assert [pushback.held_ms(0, sla_ms) for sla_ms in (50, 60, 70, 80)] == [200, 200, 200, 0]


def test_what_is_over_does_not_hide_what_is_not() -> None:
    pushback = told((0, 1000, 100), (5, 1000, 50))
    assert [pushback.held_ms(5, sla_ms) for sla_ms in (50, 100)] == [1000, 0]


@pytest.mark.parametrize("asked_ms", [60_001, 365 * 86_400e3, 1e300])
def test_nobody_is_sent_away_for_longer_than_a_minute(asked_ms: float) -> None:
    assert told((10, asked_ms, None)).held_ms(10, 200) == 60_000


@pytest.mark.parametrize("after_ms", [0.0, -1.0, -1e300, math.nan, math.inf, -math.inf])
def test_what_is_not_a_time_says_nothing(after_ms: float) -> None:
    pushback = told((0, 500, None), (0, after_ms, None))
    assert pushback.held_ms(0, 200) == 500
    assert told((0, after_ms, 200)).held_ms(0, 200) == 0


@pytest.mark.parametrize("sla_ms", [0.0, -5.0, math.nan])
def test_nor_does_what_is_said_of_no_deadline(sla_ms: float) -> None:
    assert told((0, 500, sla_ms)).held_ms(0, 1) == 0


def test_of_very_many_the_last_to_be_over_are_kept() -> None:
    pushback = told(*((0, 1000 - n, n + 1) for n in range(1000)))
    assert pushback.held_ms(0, 1) == 1000
    assert pushback.held_ms(0, 8) == 993
    assert pushback.held_ms(0, 9) == 0
    assert len(pushback._words) == 8


def test_however_many_are_said_each_request_waits_for_the_longest_that_holds_for_it() -> None:
    drawn = random.Random(3)
    for _ in range(300):
        now, said, pushback = 0.0, [], Pushback()
        for _ in range(8):  # as many as are kept
            now += drawn.random()
            said.append((now, drawn.uniform(1, 5000), drawn.choice([None, *range(100, 600, 100)])))
            pushback.said(*said[-1])
            for sla_ms in range(50, 700, 50):
                longest = max(
                    [begun + after_ms / 1e3 for begun, after_ms, most in said if most is None or most >= sla_ms],
                    default=0.0,
                )
                assert pushback.held_ms(now, sla_ms) == pytest.approx(max(longest - now, 0.0) * 1e3, abs=1e-6)
