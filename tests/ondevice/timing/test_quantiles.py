"""Quantiles from weighted samples: numpy's where the weights are equal, by hand where not, and what is made of them."""

from __future__ import annotations

from collections import Counter
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ondevice.timing.arrays import FloatArray
from ondevice.timing.quantiles import (
    LEVELS,
    MEDIAN,
    MIDDLES,
    P90,
    POINTS,
    SCATTERED,
    chance,
    lowered,
    normal,
    points_of_rows,
    weighted_points,
    weighted_quantiles,
)

times_ms = st.floats(0, 1e6, allow_subnormal=False)
weighted = st.lists(st.tuples(times_ms, st.floats(1e-3, 1)), min_size=1, max_size=60)
rising = st.lists(times_ms, min_size=POINTS, max_size=POINTS).map(lambda row: np.sort(np.array(row)))


def test_the_levels() -> None:
    assert LEVELS[[0, MEDIAN, P90, -1]].tolist() == pytest.approx([0, 0.5, 0.9, 1])
    assert len(LEVELS) == len(MIDDLES) == POINTS == 21
    assert MIDDLES[[0, MEDIAN, -1]].tolist() == pytest.approx([1 / 42, 0.5, 41 / 42])


def test_the_scattered_order_has_each_once_and_no_neighbours_together() -> None:
    assert set(Counter(SCATTERED.tolist()).values()) == {1}
    assert abs(np.diff(SCATTERED)).min() > 5


@pytest.mark.parametrize("n", [2, 3, 21, 48])
def test_with_equal_weights_they_are_numpys(n: int) -> None:
    samples = np.random.default_rng(0).lognormal(2, 0.3, n)
    assert weighted_quantiles(samples, np.full(n, 0.3)) == pytest.approx(np.quantile(samples, LEVELS), rel=1e-12)
    hazen = np.quantile(samples, MIDDLES, method="hazen")
    assert weighted_points(samples, np.full(n, 0.3)) == pytest.approx(hazen, rel=1e-12)


def test_with_weights_by_hand() -> None:
    # Middles of the weights: 0.5, 2, 5; so 20 stands at (2 - 0.5) / (5 - 0.5) = 1/3.
    values, weights = np.array([30.0, 10.0, 20.0]), np.array([4.0, 1.0, 2.0])
    expected = [10 + 30 * p if p < 1 / 3 else 20 + 15 * (p - 1 / 3) for p in LEVELS]
    assert weighted_quantiles(values, weights) == pytest.approx(expected)
    # As points they stand at 0.5, 2 and 5 of 7.
    assert weighted_points(values, weights) == pytest.approx(np.interp(7 * MIDDLES, [0.5, 2, 5], [10, 20, 30]))


@given(st.integers(1, 40), st.integers(1, 12), st.integers(0, 100))
def test_rows_together_are_each_by_itself(n: int, u: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    rows, weights = rng.lognormal(3, 1, (u, n)).round(), rng.random(n) + 0.01
    alone = np.array([weighted_points(row, weights) for row in rows])
    assert points_of_rows(rows, weights) == pytest.approx(alone)


@given(weighted)
def test_they_never_fall_and_stay_within_the_values(rows: list[tuple[float, float]]) -> None:
    values, weights = np.array(rows).T
    for found in (weighted_quantiles(values, weights), weighted_points(values, weights)):
        assert found.shape == (POINTS,)
        assert (np.diff(found) >= 0).all()
        assert values.min() <= found[0] <= found[-1] <= values.max()
    ends = weighted_quantiles(values, weights)[[0, -1]]
    assert ends.tolist() == [values.min(), values.max()]


@given(weighted, st.floats(0.1, 10))
def test_weights_count_by_their_proportions(rows: list[tuple[float, float]], factor: float) -> None:
    values, weights = np.array(rows).T
    for of in (weighted_quantiles, weighted_points):
        # Where two values stand nearly at one place, rounding may swap what is between them.
        assert of(values, factor * weights) == pytest.approx(of(values, weights), rel=1e-6, abs=1e-6)


@given(rising, st.lists(times_ms, min_size=1, max_size=5).map(np.array))
def test_chances_are_a_distribution_function(quantiles_ms: FloatArray, x_ms: FloatArray) -> None:
    found = chance(quantiles_ms, np.sort(x_ms))
    assert (np.diff(found) >= 0).all()
    assert 0 <= found[0] <= found[-1] <= 1
    assert chance(quantiles_ms, np.array([quantiles_ms[0] - 1, quantiles_ms[-1]])).tolist() == [0, 1]


@given(rising, st.floats(0, 1e6))
def test_the_largest_is_lowered_until_the_mean_is_right_or_it_is_the_95th_percentile(
    quantiles_ms: FloatArray, mean_ms: float
) -> None:
    weights = np.linspace(1, 2, POINTS)
    before = quantiles_ms.copy()
    found = lowered(quantiles_ms, mean_ms, weights)
    assert (quantiles_ms == before).all(), "what was given stays"
    assert (found[:-1] == quantiles_ms[:-1]).all()
    assert found[-2] <= found[-1] * (1 + 1e-9)
    assert found[-1] <= quantiles_ms[-1]
    mean = np.average(found, weights=weights)
    if np.average(quantiles_ms, weights=weights) <= mean_ms:
        assert found[-1] == pytest.approx(quantiles_ms[-1])
    else:
        assert mean == pytest.approx(mean_ms, abs=1e-6) or found[-1] == pytest.approx(found[-2])


def test_the_normal_distribution_in_any_shape() -> None:
    found = normal(np.array([[0.1, 0.5], [0.9, 0.975]]))
    assert found == pytest.approx(np.array([[-1.281552, 0], [1.281552, 1.959964]]), abs=1e-6)
    assert normal([0.3]).tolist() == [NormalDist().inv_cdf(0.3)]
