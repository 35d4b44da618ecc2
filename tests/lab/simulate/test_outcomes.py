"""Measures from counts, against the requests themselves; intervals; quantiles."""

from __future__ import annotations

import math

import numpy as np
import pytest

from ondevice.lab.simulate.outcomes import LATE, ON_TIME, STOOD_IN, OutcomeBatch, OutcomeCounts

TOP1 = np.array([0.5, 0.7, 0.8])


def batch(n: int, seed: int = 0) -> OutcomeBatch:
    rng = np.random.default_rng(seed)
    model, fate = rng.integers(0, 4, n), rng.integers(0, 3, n)
    return OutcomeBatch(model, fate, rng.lognormal(4, 1, n), rng.uniform(1, 9, n), rng.uniform(0, 3, n))


def counted(whole: OutcomeBatch, step: int = 10**9) -> OutcomeCounts:
    outcomes = OutcomeCounts(len(whole.model), TOP1, 0.4)
    for first in range(0, len(whole.model), step):
        outcomes.add(OutcomeBatch(*(values[first : first + step] for values in whole)))
    return outcomes


@pytest.mark.parametrize("n", [1, 7, 1000, 5003])
def test_measures_are_those_of_the_requests(n: int) -> None:
    whole = batch(n)
    outcomes, top1 = counted(whole), np.append(TOP1, 0.4)[whole.model]
    assert outcomes.top1_chosen.value == pytest.approx(top1.mean())
    assert outcomes.attainment.value == pytest.approx((whole.fate == ON_TIME).mean())
    effective = np.select([whole.fate == ON_TIME, whole.fate == STOOD_IN], [top1, np.full(n, 0.4)], 0)
    assert outcomes.effective_top1.value == pytest.approx(effective.mean())
    assert len(outcomes.effective_sums) == len(outcomes.counts)
    assert outcomes.effective_sums.sum() == pytest.approx(effective.sum())
    by_device = (whole.model == 3) | (whole.fate == STOOD_IN)
    assert outcomes.device_share.value == pytest.approx(by_device.mean())
    assert outcomes.shares == pytest.approx(np.bincount(whole.model, minlength=4) / n)
    assert outcomes.answer_times.mean_ms == pytest.approx(whole.answer_ms.mean())
    assert outcomes.server_ms == pytest.approx(whole.server_ms.mean())
    assert outcomes.wait_ms == pytest.approx(whole.wait_ms.mean())


def test_how_requests_are_cut_does_not_matter() -> None:
    whole = batch(5003)
    one, many = counted(whole), counted(whole, 77)
    assert (one.counts == many.counts).all()
    assert one.effective_top1 == many.effective_top1
    assert one.answer_times.quantile_ms(0.9) == many.answer_times.quantile_ms(0.9)


@pytest.mark.parametrize("level", [0, 0.01, 0.5, 0.95, 0.999, 1])
def test_quantiles_to_a_quarter_of_a_percent(level: float) -> None:
    whole = batch(20_000)
    assert counted(whole).answer_times.quantile_ms(level) == pytest.approx(
        np.quantile(whole.answer_ms, level), rel=0.003
    )


def test_absurd_times_are_counted() -> None:
    nothing = np.zeros(3)
    outcomes = counted(OutcomeBatch(np.zeros(3, int), np.full(3, LATE), np.array([0, 1e-9, 1e30]), nothing, nothing))
    assert outcomes.answer_times.quantile_ms(0.1) < 0.01
    assert outcomes.answer_times.quantile_ms(1) > 1e8


def test_intervals_hold_the_truth_as_often_as_they_say() -> None:
    held = [counted(batch(1000, seed)).effective_top1 for seed in range(200)]
    truth = (0.5 + 0.7 + 0.8 + 0.4) / 4 / 3 + 0.4 / 3
    assert 0.9 <= np.mean([low <= truth <= high for _, low, high in held]) <= 0.99


def test_intervals_are_wider_where_neighbours_share_their_fate() -> None:
    whole = batch(20_000)
    in_runs = whole._replace(fate=np.repeat(whole.fate[:40], 500))
    apart, together = (counted(each).attainment for each in (whole, in_runs))
    assert together.high - together.low > 4 * (apart.high - apart.low)


def test_few_requests_tell_no_interval_but_that_of_a_share() -> None:
    one = counted(batch(1))
    assert math.isnan(one.effective_top1.low)
    assert one.attainment.low <= one.attainment.value <= one.attainment.high
    assert one.attainment.high - one.attainment.low > 0.7


def test_all_on_time_is_not_certain() -> None:
    whole = batch(100)
    assert counted(whole._replace(fate=np.full(100, ON_TIME))).attainment.low == pytest.approx(0.963, abs=0.001)


def test_a_gain_is_paired() -> None:
    whole = batch(5000)
    better = whole._replace(fate=np.where(np.arange(5000) % 50 == 0, ON_TIME, whole.fate))
    gain = counted(better).gain(counted(whole))
    difference = counted(better).effective_top1.value - counted(whole).effective_top1.value
    assert gain.value == pytest.approx(difference)
    assert 0 < gain.low < gain.value < gain.high
    assert gain.high - gain.low < counted(whole).effective_top1.high - counted(whole).effective_top1.low
