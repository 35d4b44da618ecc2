"""A budget that all share: the small find room before the large, and nobody holds a part while waiting for the rest."""

from __future__ import annotations

import random

from ondevice.resilience.budget import Allotment, Budget


def test_a_share_is_at_most_half_of_what_is_left() -> None:
    budget, told = Budget(100), list[str]()
    first, second = (budget.take(30, lambda: told.append("never")) for _ in range(2))
    third = budget.take(30, lambda: told.append("third"))
    assert [share.granted for share in (first, second, third)] == [True, True, False]
    small = budget.take(20, lambda: told.append("never"))
    assert small.granted, "it goes before the large one, which waits"
    assert (budget.held, budget.waiting) == (80, 1)
    small.give_back()
    assert told == []
    first.give_back()
    assert told == ["third"]
    assert (third.granted, budget.held, budget.waiting) == (True, 60, 0)


def test_where_nothing_is_held_a_share_may_be_all() -> None:
    budget, told = Budget(100), list[str]()
    small, whole = budget.take(10, lambda: None), budget.take(100, lambda: told.append("whole"))
    assert (small.granted, whole.granted) == (True, False)
    small.give_back()
    assert told == ["whole"]
    assert not budget.take(1, lambda: None).granted


def test_what_is_given_back_twice_counts_once_and_who_no_longer_waits_gets_nothing() -> None:
    budget, told = Budget(100), list[int]()
    held = budget.take(50, lambda: None)
    gone, waits = (budget.take(40, lambda n=n: told.append(n)) for n in range(2))  # type: ignore[misc]
    gone.give_back()
    held.give_back()
    held.give_back()
    assert told == [1]
    assert (gone.granted, waits.granted, budget.held) == (False, True, 40)


def test_a_share_grows_while_there_is_room() -> None:
    budget = Budget(100)
    share, other = budget.take(10, lambda: None), budget.take(40, lambda: None)
    assert share.grow(35)
    assert budget.held == 75
    assert not share.grow(50)
    other.give_back()
    assert share.grow(50)
    share.give_back()
    assert budget.held == 0


def test_whatever_comes_it_is_never_overdrawn_and_at_the_end_nobody_waits() -> None:
    chance, budget, held = random.Random(7), Budget(1000), list[Allotment]()
    for _ in range(5000):
        if held and chance.random() < 0.5:
            held.pop(chance.randrange(len(held))).give_back()
        else:
            held.append(budget.take(chance.randrange(1, 500), lambda: None))
        assert budget.held == sum(share.amount for share in held if share.granted) <= budget.total
        assert budget.waiting == sum(not share.granted for share in held)
    for n in range(len(held)):
        held[n].give_back()
    assert (budget.held, budget.waiting) == (0, 0)
