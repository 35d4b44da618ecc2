"""What the endpoint learns of its own delays: from what was late, and from what it refuses because of that."""

from __future__ import annotations

import numpy as np
import pytest

from ondevice.cloud.select.residual import Residuals
from ondevice.timing.quantiles import LEVELS


def filled(*residuals_ms: float, doubled: bool = False) -> Residuals:
    """After these, again and again, until all else is forgotten."""
    residuals = Residuals(doubled)
    for ms in residuals_ms * (103 // len(residuals_ms)):
        residuals.add(ms, 1.0)
    return residuals


def test_it_begins_with_none_and_takes_what_was_sooner_for_in_time() -> None:
    assert not Residuals(doubled=False).points_ms.any()
    assert not filled(-5.0).points_ms.any()


def test_it_follows_what_was_seen() -> None:
    residuals = filled(*range(48))
    assert residuals.points_ms.shape == LEVELS.shape
    assert (np.diff(residuals.points_ms) >= 0).all()
    assert 0 <= residuals.points_ms[0] < 10 < 37 < residuals.points_ms[-1] <= 47
    assert sorted(residuals.shuffled_ms) == residuals.points_ms.tolist() != residuals.shuffled_ms.tolist()


def test_doubled_it_is_as_the_sum_of_two() -> None:
    residuals_ms = np.random.default_rng(0).exponential(5.0, 48).tolist()
    once, twice = filled(*residuals_ms), filled(*residuals_ms, doubled=True)
    assert twice.points_ms.mean() == pytest.approx(2 * once.points_ms.mean(), rel=0.05)
    assert once.points_ms[-1] < twice.points_ms[-1] < 2 * once.points_ms[-1]
    assert filled(3.0, doubled=True).points_ms == pytest.approx(6.0)


def test_refusals_in_a_row_make_it_forget_and_those_between_answers_do_not() -> None:
    stuck, busy = filled(50.0), filled(50.0)
    for _ in range(80):
        stuck.refused()
    assert stuck.points_ms.max() == 0
    for _ in range(100):
        for _ in range(5):
            busy.refused()
        busy.add(50.0, 1.0)
    assert busy.points_ms.min() == 50


def test_what_huge_pictures_were_off_by_counts_in_proportion() -> None:
    residuals = filled(1.0)
    for _ in range(16):
        residuals.add(1500.0, 3000.0)
        residuals.add(1.0, 1.0)
    assert residuals.points_ms.max() < 5


def test_where_all_take_long_it_counts_in_full() -> None:
    residuals = filled(1.0)
    for _ in range(300):
        residuals.add(1500.0, 3000.0)
    assert residuals.points_ms.min() == pytest.approx(1500.0, rel=0.05)
