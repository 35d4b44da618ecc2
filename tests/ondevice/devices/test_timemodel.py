"""The time model's arithmetic, and the draws of single times."""

from __future__ import annotations

import numpy as np
import pytest

from ondevice.devices.card import find
from ondevice.devices.network import Workload
from ondevice.devices.spread import spread_of
from ondevice.devices.timemodel import TimeModel, drawer, terms


def test_each_kind_of_work_has_its_price() -> None:
    work = Workload(2e9, 3e6, 5e6, 7e6, 11)
    assert TimeModel(1, 10, 0.1, 0.01, 0.001, 2)(work) == pytest.approx(1 + 20 + 0.3 + 0.05 + 0.007 + 22)
    assert TimeModel(1, 0, 0, 0, 0, 0)(work) == 1
    assert terms(work).tolist() == [1, 2, 3, 5, 7, 11]


@pytest.mark.parametrize("name", ["pieslicer-phone", "raspberry-pi-4"])
def test_draws_have_a_mean_of_one_and_stay_within_the_quantiles(name: str) -> None:
    spread = spread_of(find(name))
    quantiles = spread.quantiles
    draw = drawer(spread.around(1.0), np.random.default_rng(0))
    ratios = np.array([draw() for _ in range(20_000)])
    mean = np.trapezoid(quantiles, np.linspace(0, 1, len(quantiles)))
    assert ratios.mean() == pytest.approx(1, abs=0.01)
    assert min(quantiles) / mean <= ratios.min() < ratios.max() <= max(quantiles) / mean
    # A tenth of the draws is below the tenth percentile.
    tenth = np.interp(0.1, np.linspace(0, 1, len(quantiles)), quantiles) / mean
    assert np.mean(ratios < tenth) == pytest.approx(0.1, abs=0.01)


def test_twenty_draws_take_each_twentieth_once() -> None:
    times = spread_of(find("pieslicer-phone")).around(100.0)
    draw = drawer(times, np.random.default_rng(1))
    for _ in range(5):
        shares = sorted(float(times.cdf(draw())) for _ in range(20))
        assert all(i / 20 <= share + 1e-9 and share - 1e-9 <= (i + 1) / 20 for i, share in enumerate(shares))
