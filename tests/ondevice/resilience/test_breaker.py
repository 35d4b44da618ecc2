"""The circuit breaker, with times that the test gives."""

from __future__ import annotations

import pytest

from ondevice.resilience.breaker import Breaker


def opened(at: float = 0.0) -> Breaker:
    breaker = Breaker()
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
