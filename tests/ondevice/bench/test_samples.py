"""Statistics of times: against numpy, against figures worked out by hand, and where there are too few."""

from __future__ import annotations

import math
import statistics

import numpy as np
import pytest

from ondevice.bench.samples import P99_NEEDS, Summary, ratio_of_medians, summary


def drifting(seed: int, n: int = 400) -> list[float]:
    """Around 10 ms, each sample much like the one before it."""
    samples, level = [], 0.0
    for noise in np.random.default_rng(seed).normal(0, 0.1, n).tolist():
        level = 0.9 * level + noise
        samples.append(10 + level)
    return samples


def test_by_hand() -> None:
    found = summary([float(value) for value in range(101, 0, -1)])
    # 1 to 101: the sum of squares around 51 is 2 (1² + … + 50²) = 85850.
    assert found == pytest.approx(Summary(51, math.sqrt(85850 / 100), 1, 101, 51, 91, 96, 100))


def test_against_numpy() -> None:
    values = np.random.default_rng(1).lognormal(1, 0.5, 1000).tolist()
    found = summary(values)
    assert found.avg_ms == pytest.approx(statistics.fmean(values))
    assert found.std_ms == pytest.approx(statistics.stdev(values))
    assert (found.min_ms, found.max_ms) == (min(values), max(values))
    assert found[4:] == pytest.approx(np.percentile(values, (50, 90, 95, 99)).tolist())


def test_percentiles_lie_between_samples() -> None:
    found = summary([1, 2])
    assert found[4:7] == pytest.approx((1.5, 1.9, 1.95))


def test_nothing_is_known_of_no_samples() -> None:
    assert all(map(math.isnan, summary([])))


def test_one_sample_does_not_scatter() -> None:
    found = summary([3.0])
    assert found[:1] + found[2:7] == (3.0,) * 6
    assert math.isnan(found.std_ms)


@pytest.mark.parametrize(("count", "known"), [(P99_NEEDS - 1, False), (P99_NEEDS, True)])
def test_a_99th_percentile_takes_enough_samples(count: int, known: bool) -> None:
    found = summary([1.0, 2.0] * (count // 2) + [1.0] * (count % 2))
    assert math.isnan(found.p99_ms) is not known
    assert found.p95_ms == 2.0


@pytest.mark.parametrize("seed", range(5))
def test_the_interval_of_like_samples_covers_1(seed: int) -> None:
    a, b = np.random.default_rng(seed).normal(10, 1, (2, 200)).tolist()
    ratio, low, high = ratio_of_medians(a, b)
    assert low < 1 < high
    assert low <= ratio <= high
    assert ratio == np.median(b) / np.median(a)


def test_the_interval_of_the_very_same_samples_covers_1() -> None:
    values = drifting(0)
    ratio, low, high = ratio_of_medians(values, values)
    assert ratio == 1
    assert low < 1 < high


@pytest.mark.parametrize("seed", range(5))
def test_a_difference_of_a_fifth_is_found_both_ways(seed: int) -> None:
    a, b = np.random.default_rng(seed).normal(10, 1, (2, 200)).tolist()
    slower = [1.2 * value for value in b]
    ratio, low, high = ratio_of_medians(a, slower)
    assert 1 < low < 1.2 < high < 1.3
    assert ratio == pytest.approx(1.2, abs=0.05)
    assert ratio_of_medians(slower, a)[2] < 1


def test_samples_like_their_neighbours_prove_less() -> None:
    a, b = drifting(1), drifting(2)
    shuffled = np.random.default_rng(0)
    _, low, high = ratio_of_medians(a, b)
    _, low_of_single, high_of_single = ratio_of_medians(
        shuffled.permutation(a).tolist(), shuffled.permutation(b).tolist()
    )
    assert high - low > 1.5 * (high_of_single - low_of_single)


def test_the_interval_of_drifting_samples_covers_1_nearly_as_often_as_it_says() -> None:
    intervals = [ratio_of_medians(drifting(2 * i), drifting(2 * i + 1), 300)[1:] for i in range(100)]
    assert sum(low <= 1 <= high for low, high in intervals) >= 80


def test_the_same_seed_gives_the_same_interval() -> None:
    a, b = drifting(1), drifting(2)
    assert ratio_of_medians(a, b, seed=3) == ratio_of_medians(a, b, seed=3) != ratio_of_medians(a, b, seed=4)


def test_samples_of_different_numbers_and_single_ones() -> None:
    assert ratio_of_medians([2.0], [3.0]) == (1.5, 1.5, 1.5)
    _, low, high = ratio_of_medians(np.linspace(9, 11, 37).tolist(), [9.0, 10.0, 11.0])
    assert low < 1 < high
