"""The circuit breaker, with times that the test gives."""

from __future__ import annotations

import random

import pytest

from ondevice.resilience.breaker import Breaker, Pauses, doubling, spread


class Drawn(random.Random):
    """Gives these numbers from 0 to 1, one after the other."""

    def __init__(self, *numbers: float) -> None:
        super().__init__()
        self.numbers = list(numbers)

    def random(self) -> float:
        return self.numbers.pop(0)


def opened(at: float = 0.0, pauses: Pauses = doubling) -> Breaker:
    breaker = Breaker(pauses)
    assert breaker.failed(at, at_once=True)
    return breaker


def test_opens_after_three_failures_in_a_row_and_says_so_once() -> None:
    breaker = Breaker()
    assert [breaker.failed(0) for _ in range(3)] == [False, False, True]
    assert not breaker.closed
    assert not breaker.failed(0.1), "an answer that was awaited when it opened is not a second opening"


def test_a_success_between_failures_starts_the_count_again() -> None:
    breaker = Breaker()
    for _ in range(5):
        assert not breaker.failed(0)
        assert not breaker.failed(0)
        assert not breaker.succeeded(), "it was closed all the time"
    assert breaker.closed


def test_one_failure_that_leaves_no_doubt_opens_it() -> None:
    assert not opened().closed


def test_one_probe_is_due_after_the_pause() -> None:
    breaker = opened(at=10)
    assert not breaker.probe(10.49)
    assert breaker.probe(10.5)
    assert not breaker.probe(11), "one is on its way"
    assert not breaker.closed
    assert breaker.succeeded()
    assert breaker.closed
    assert not breaker.probe(99), "none is due while it is closed"


def test_pauses_double_up_to_ten_seconds() -> None:
    breaker, now, pauses = opened(), 0.0, []
    for _ in range(7):
        began = now
        while not breaker.probe(now):
            now += 0.125
        pauses.append(now - began)
        assert not breaker.failed(now)
    assert pauses == [0.5, 1, 2, 4, 8, 10, 10]


def test_failures_of_what_was_sent_before_do_not_lengthen_the_pause() -> None:
    breaker = opened()
    for _ in range(10):
        breaker.failed(0.2)
    assert breaker.probe(0.5)


def test_a_success_of_what_was_sent_before_does_not_close_it() -> None:
    breaker = opened()
    assert not breaker.succeeded()
    assert not breaker.closed


def test_closed_on_trial_one_failure_opens_it_for_longer() -> None:
    breaker = opened()
    assert breaker.probe(1)
    breaker.succeeded()
    assert breaker.failed(2)
    assert not breaker.probe(2.9)
    assert breaker.probe(3), "the pause is a second now, not half of one"


@pytest.mark.parametrize("successes", [1, 3])
def test_work_that_succeeds_ends_the_trial(successes: int) -> None:
    breaker = opened()
    assert breaker.probe(1)
    breaker.succeeded()
    for _ in range(successes):
        breaker.succeeded()
    assert [breaker.failed(2) for _ in range(3)] == [False, False, True]
    assert breaker.probe(2.5), "and the pause is the first again"


def probed(breaker: Breaker, at: float) -> bool:
    """Whether a probe is due at this time and not a millisecond before; it fails."""
    return not breaker.probe(at - 0.001) and breaker.probe(at) and not breaker.failed(at)


def test_each_pause_is_asked_for_when_it_begins_with_its_number_and_what_began_it() -> None:
    asked: list[tuple[int, bool]] = []

    def pauses(number: int, opened: bool) -> float:
        asked.append((number, opened))
        return 2.0

    breaker = opened(0, pauses)
    assert probed(breaker, 2)
    assert breaker.probe(4)
    assert breaker.succeeded()
    assert breaker.failed(5)  # on trial
    assert breaker.probe(7)
    assert breaker.succeeded()
    breaker.succeeded()
    assert breaker.failed(8, at_once=True)
    assert asked == [(1, True), (2, False), (3, True), (1, True)]


def test_a_probe_that_nobody_hears_of_is_due_again() -> None:
    breaker = opened()
    assert breaker.probe(1)
    assert not breaker.probe(50)
    breaker.abandoned()
    assert not breaker.closed
    assert breaker.probe(50)
    assert breaker.succeeded()
    assert breaker.closed


def test_it_tells_when_a_probe_is_due() -> None:
    assert Breaker().probe_at is None
    breaker = opened(10)
    assert breaker.probe_at == 10.5
    assert breaker.probe(12)
    assert breaker.probe_at is None, "it is under way"
    breaker.abandoned()
    assert breaker.probe_at == 10.5
    assert breaker.probe(12)
    breaker.failed(13)
    assert breaker.probe_at == 14
    assert breaker.probe(14)
    breaker.succeeded()
    assert breaker.probe_at is None


def test_without_a_probe_under_way_nothing_is_abandoned() -> None:
    closed, waiting = Breaker(), opened()
    closed.abandoned()
    waiting.abandoned()
    assert closed.closed
    assert not closed.probe(99)
    assert not waiting.probe(0.4)
    assert waiting.probe(0.5)


# One of many


def test_it_asks_at_its_place_of_each_period_and_later_of_each_second_one() -> None:
    near = opened(10, spread(Drawn(0.25, 0.49)))
    assert all(probed(near, 10 + 5.5 * (0.25 + n)) for n in (0, 1, 2, 3, 5, 7, 9))
    far = opened(10, spread(Drawn(0.25, 0.5)))
    assert all(probed(far, 10 + 5.5 * (0.25 + n)) for n in (0, 1, 2, 4, 6, 8))


def test_an_opening_draws_the_place_anew_and_goes_on_with_the_pauses() -> None:
    breaker = opened(0, spread(Drawn(0.5, 0.1, 0.5, 0.25)))
    assert probed(breaker, 2.75)
    assert breaker.probe(8.25)
    assert breaker.succeeded()
    assert breaker.failed(20), "on trial: the third pause"
    assert all(probed(breaker, at) for at in (20.55, 31.55, 42.55))
    assert breaker.probe(53.55)
    assert breaker.succeeded()
    assert breaker.failed(100), "the seventh"
    assert probed(breaker, 102.75)


def test_after_work_that_succeeded_it_begins_from_the_first() -> None:
    pauses = spread(Drawn(0.5, 0.25, 0.9))
    breaker = opened(0, pauses)
    assert breaker.probe(2.75)
    breaker.succeeded()
    breaker.succeeded()
    assert breaker.failed(10, at_once=True)
    assert all(probed(breaker, 10 + 5.5 * (0.25 + n)) for n in range(3))


def tenths(over_s: float) -> list[int]:
    """How many of 1,100 that open over so long ask in each tenth of a second of a minute, where places and coins are as
    even as they can be drawn: what is left of unevenness is the schedule's.
    """
    asked = [0] * 600
    for number in range(1100):
        place, coin = (number + 0.5) / 1100, number % 2 / 2
        breaker = opened(over_s * (number * 377 % 1100) / 1100, spread(Drawn(place, coin)))
        while breaker.probe_at is not None and (at := breaker.probe_at) < 60:
            asked[int(at * 10)] += 1
            assert breaker.probe(at)
            breaker.failed(at)
    return asked


def test_many_that_open_at_one_moment_ask_evenly() -> None:
    assert tenths(over_s=0) == [20] * 165 + [10] * 435


def test_and_so_do_those_that_open_one_after_the_other() -> None:
    asked = tenths(over_s=1)
    seconds = [sum(asked[start : start + 10]) for start in range(10, 590)]
    assert all(195 <= count <= 205 for count in seconds[:140])
    assert all(95 <= count <= 105 for count in seconds[170:])
    assert max(seconds) <= 205
    assert max(asked) <= 30
