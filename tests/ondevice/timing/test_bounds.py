"""Which numbers are times."""

from __future__ import annotations

import math

import pytest

from ondevice.timing.bounds import BELIEVABLE_MS, LONGEST_MS, time_ms


@pytest.mark.parametrize("ms", [0.0, 1e-9, 5, LONGEST_MS, BELIEVABLE_MS])
def test_times(ms: float) -> None:
    assert time_ms(ms) is ms


@pytest.mark.parametrize("ms", [-1e-9, -1, math.nan, math.inf, -math.inf])
def test_what_is_not_a_time(ms: float) -> None:
    with pytest.raises(ValueError, match="is not a time in ms"):
        time_ms(ms)


def test_what_can_be_asked_for_can_be_believed() -> None:
    assert 0 < LONGEST_MS < BELIEVABLE_MS
