"""The candidates of a choice, as they stand at each moment."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest

from ondevice.cloud.select.choice import Candidates, NetworkTimes, Places, Problem
from ondevice.cloud.select.residual import WaitError
from ondevice.selection.ontime import on_time
from ondevice.timing.distribution import Distribution
from ondevice.timing.quantiles import POINTS
from ondevice.timing.table import LatencyTable


class Takes:
    """A backend whose models take so long for certain, ms."""

    def __init__(self, *takes_ms: float) -> None:
        self.times = SimpleNamespace(table=LatencyTable(len(takes_ms)))
        self.models = [SimpleNamespace(name=f"m{row}", top1=0.5) for row in range(len(takes_ms))]
        for row, ms in enumerate(takes_ms):
            self.times.table.write(row, Distribution.of([ms] * 20))


def test_the_surest_is_always_that_of_this_moment() -> None:
    here, there = Takes(30.0, 10.0), Takes(20.0)
    places = ((here, 0), (here, 1), (there, 0))
    candidates = Candidates(cast(Places, places))
    assert candidates.models().surest == (1, pytest.approx(10.0))
    here.times.table.write(1, Distribution.of([10.0] * 19 + [500.0]))
    assert candidates.models().surest == (2, pytest.approx(20.0))
    there.times.table.write(0, Distribution.of([40.0] * 20))
    assert candidates.models().surest == (0, pytest.approx(30.0))


def problem(rng: np.random.Generator) -> Problem:
    """One of two models, in a queue with which it is doubtful whether either is in time."""
    takes = cast(Places, tuple((Takes(*rng.uniform(1, 30, 2)), row) for row in range(2)))
    candidates = Candidates(takes)
    for backend, row in takes:
        backend.times.table.write(row, Distribution.of(rng.uniform(1, 30, 20)))
    wait_ms, none = rng.uniform(30, 110, 2), np.zeros(2)
    residual_ms = np.sort(rng.exponential(rng.uniform(1, 20), POINTS))
    return Problem(
        candidates, candidates.models(), NetworkTimes(100.0, 0.0, 0.0, 0.0), wait_ms, wait_ms, none, none,
        rng.choice([20.0, math.inf], 2), none, True, residual_ms, WaitError(np.zeros(POINTS), 0.0, 0.0), residual_ms,
        None, 100.0,
    )  # fmt: skip


@pytest.mark.parametrize("probability", [1.0, 0.99, 0.8, 0.3])
def test_what_two_look_ups_rule_out_is_not_on_time_with_that_probability(probability: float) -> None:
    all_of_them = [problem(np.random.default_rng(seed)) for seed in range(300)]
    unlikely = [one for one in all_of_them if not one.may_be_on_time(probability)]
    assert 10 < len(unlikely) < 290
    for one in unlikely:
        assert on_time(one.models, one.requests).max() < probability
