"""The retry budget, by the numbers of gRPC's proposal A6: of 10 tokens a failure takes 1, a success gives 0.1."""

from __future__ import annotations

import random
from fractions import Fraction

import pytest

from ondevice.resilience.retry_budget import RetryBudget


def after(failures: int, successes: int = 0) -> RetryBudget:
    budget = RetryBudget()
    for _ in range(failures):
        budget.failed()
    for _ in range(successes):
        budget.succeeded()
    return budget


def failures_left(budget: RetryBudget) -> int:
    """How many failures it bears before it allows nothing; these are spent then."""
    count = 0
    while budget.allows:
        budget.failed()
        count += 1
    return count


def successes_wanted(budget: RetryBudget) -> int:
    """How many successes it takes until it allows something again."""
    count = 0
    while not budget.allows:
        budget.succeeded()
        count += 1
    return count


def test_it_starts_full_and_half_is_not_enough() -> None:
    assert [after(failures).allows for failures in range(7)] == [True] * 5 + [False] * 2


def test_one_success_more_than_half_is_enough() -> None:
    assert not after(5, successes=0).allows
    assert after(5, successes=1).allows


def test_asking_takes_nothing() -> None:
    budget = after(4)
    assert all(budget.allows for _ in range(100))


@pytest.mark.parametrize("failures", [10, 11, 1000])
def test_it_is_never_below_nothing(failures: int) -> None:
    assert successes_wanted(after(failures)) == 51


@pytest.mark.parametrize("successes", [1, 10, 1000])
def test_it_is_never_above_ten(successes: int) -> None:
    assert failures_left(after(0, successes)) == 5


@pytest.mark.parametrize(("successes", "left"), [(0, 1), (1, 2), (10, 2), (11, 3), (39, 5), (40, 5)])
def test_ten_successes_make_up_for_one_failure(successes: int, left: int) -> None:
    assert failures_left(after(4, successes)) == left


def test_nothing_is_lost_or_won_over_many_thousand() -> None:
    """Of 0.1 in floats ten are not quite 1: now and then half would be taken for more than half."""
    drawn = random.Random(7)
    for _ in range(50):
        budget, tokens = RetryBudget(), Fraction(10)
        for _ in range(1000):
            if drawn.random() < 1 / 11:
                budget.failed()
                tokens = max(tokens - 1, Fraction(0))
            else:
                budget.succeeded()
                tokens = min(tokens + Fraction(1, 10), Fraction(10))
            assert budget.allows == (tokens > 5)


def test_what_fails_more_than_once_in_eleven_ends_in_nothing_allowed() -> None:
    often, seldom = RetryBudget(), RetryBudget()
    for _ in range(1000):
        often.failed()
        seldom.failed()
        for _ in range(9):
            often.succeeded()
        for _ in range(10):
            seldom.succeeded()
    assert not often.allows
    assert seldom.allows
