"""The candidates of a choice, as they stand at each moment."""

from __future__ import annotations

from types import SimpleNamespace
from typing import cast

import pytest

from ondevice.cloud.select.choice import Candidates, Places
from ondevice.timing.distribution import Distribution
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
