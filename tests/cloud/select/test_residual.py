"""What the endpoint learns of its own delays: from what was late, and from what it refuses because of that."""

from __future__ import annotations

import numpy as np
import pytest

from ondevice.cloud.select.residual import Residuals, WaitResiduals
from ondevice.timing.quantiles import LEVELS


def filled(*residuals_ms: float, doubled: bool = False) -> Residuals:
    """After these, again and again, until all else is forgotten."""
    residuals = Residuals(doubled)
    for ms in residuals_ms * (103 // len(residuals_ms)):
        residuals.observe(ms, 1.0)
    return residuals


def test_it_begins_with_none_and_takes_what_was_sooner_for_in_time() -> None:
    assert not Residuals(doubled=False).points_ms.any()
    assert not filled(-5.0).points_ms.any()


def test_it_follows_what_was_seen() -> None:
    residuals = filled(*range(48))
    assert residuals.points_ms.shape == LEVELS.shape
    assert (np.diff(residuals.points_ms) >= 0).all()
    assert 0 <= residuals.points_ms[0] < 10 < 37 < residuals.points_ms[-1] <= 47


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
        busy.observe(50.0, 1.0)
    assert busy.points_ms.min() == 50


def test_what_huge_pictures_were_off_by_counts_in_proportion() -> None:
    residuals = filled(1.0)
    for _ in range(16):
        residuals.observe(1500.0, 3000.0)
        residuals.observe(1.0, 1.0)
    assert residuals.points_ms.max() < 5


def test_where_all_take_long_it_counts_in_full() -> None:
    residuals = filled(1.0)
    for _ in range(300):
        residuals.observe(1500.0, 3000.0)
    assert residuals.points_ms.min() == pytest.approx(1500.0, rel=0.05)


def waits(*longer: tuple[float, float]) -> WaitResiduals:
    """After these, each by how much it was longer and what was foreseen, ms, again and again; an inference is 10 ms."""
    residuals = WaitResiduals()
    for ms, foreseen_ms in longer * (103 // len(longer)):
        residuals.observe(ms, foreseen_ms, 10.0)
    return residuals


def test_what_long_waits_were_off_by_says_little_of_short_ones() -> None:
    """Patient requests that waited 900 ms more than a second: a hurried one that is next may wait 10 ms longer."""
    seen = waits((909.0, 1000.0))
    assert seen.of(1000.0, 10.0).ms == pytest.approx(909.0)
    assert seen.of(0.0, 10.0).ms == pytest.approx(9.0)
    assert seen.longest == pytest.approx(1.9)


def test_a_wait_that_was_shorter_is_as_foreseen() -> None:
    assert not waits((-500.0, 1000.0)).of(1000.0, 10.0).ms.any()


@pytest.mark.parametrize("ms", [50.0, 400.0])
def test_the_longest_wait_is_the_one_that_its_error_makes_too_long(ms: float) -> None:
    error = waits((100.0, 90.0), (5.0, 90.0)).of(ms, 10.0)
    most_ms = error.longest_ms(ms + float(error.ms[-1]))
    assert most_ms == pytest.approx(ms)


def test_after_many_refusals_waits_are_believed_again() -> None:
    seen = waits((100.0, 90.0))
    for _ in range(120):
        seen.refused()
    assert not seen.of(90.0, 10.0).ms.any()
