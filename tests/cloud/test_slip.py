"""What the endpoint learns of its own delays: from what was late, and from what it refuses because of that."""

from __future__ import annotations

import numpy as np
import pytest

from ondevice.cloud.slip import Slip
from ondevice.timing.profile import LEVELS


def filled(*slips_ms: float, doubled: bool = False) -> Slip:
    """After these, again and again, until all else is forgotten."""
    slip = Slip(doubled)
    for ms in slips_ms * (103 // len(slips_ms)):
        slip.add(ms)
    return slip


def test_it_begins_with_none_and_takes_what_was_sooner_for_in_time() -> None:
    assert not Slip(doubled=False).points_ms.any()
    assert not filled(-5.0).points_ms.any()


def test_it_follows_what_was_seen() -> None:
    slip = filled(*range(48))
    assert slip.points_ms.shape == LEVELS.shape
    assert (np.diff(slip.points_ms) >= 0).all()
    assert 0 <= slip.points_ms[0] < 10 < 37 < slip.points_ms[-1] <= 47
    assert sorted(slip.shuffled_ms) == slip.points_ms.tolist() != slip.shuffled_ms.tolist()


def test_doubled_it_is_as_the_sum_of_two() -> None:
    slips_ms = np.random.default_rng(0).exponential(5.0, 48).tolist()
    once, twice = filled(*slips_ms), filled(*slips_ms, doubled=True)
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
        busy.add(50.0)
    assert busy.points_ms.min() == 50
