"""Lines over sizes: against the truth they are drawn from, after changes, at their ends, and what is refused."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
import pytest

from ondevice.timing.linear import PRIOR, Linear

NO_TIMES = [math.nan, -1.0, -math.inf, math.inf]


def photos(n: int, seed: int = 0) -> list[float]:
    return np.random.default_rng(seed).lognormal(11.5, 0.6, n).tolist()


def cost(size_bytes: float) -> float:
    return 1.8 + 1.5e-5 * size_bytes


def learned(sizes: Iterable[float], factor: float = 1.0, noise: float = 0.0) -> Linear:
    rng, linear = np.random.default_rng(1), Linear()
    for size in sizes:
        linear.add(size, factor * cost(size) * float(rng.lognormal(0, noise)))
    return linear


def test_before_the_first_sample_the_prior_holds() -> None:
    (small, few), (large, many) = PRIOR
    linear = Linear()
    assert linear.expect(small) == pytest.approx(few)
    assert linear.expect(large) == pytest.approx(many)
    assert linear.expect((small + large) / 2) == pytest.approx((few + many) / 2)
    assert Linear(((10, 4.0), (20, 6.0))).expect(15) == pytest.approx(5.0)


@pytest.mark.parametrize("noise", [0.0, 0.1])
def test_a_line_is_found(noise: float) -> None:
    linear = learned(photos(1000), noise=noise)
    for size in (30_000, 100_000, 200_000):
        assert linear.expect(size) == pytest.approx(cost(size), rel=0.1 if noise else 1e-6)


def test_a_slow_down_is_seen_within_forty_samples() -> None:
    linear = learned(photos(500))
    for size in photos(40, seed=3):
        linear.add(size, 3 * cost(size))
    assert linear.expect(100_000) == pytest.approx(3 * cost(100_000), rel=0.1)


def test_the_first_sample_does_not_decide_alone() -> None:
    linear = Linear()
    before = linear.expect(100_000)
    linear.add(100_000, 100.0)  # the first picture also imports the decoder
    assert before < linear.expect(100_000) < 60


@pytest.mark.parametrize("n", [60, 500, 50_000])
def test_one_size_for_ever(n: int) -> None:
    linear = learned([60_000.0] * n, factor=5)
    assert linear.expect(60_000) == pytest.approx(5 * cost(60_000), rel=0.05)
    # Elsewhere it keeps the slope that was last known.
    assert linear.expect(30_000) <= linear.expect(60_000) <= linear.expect(120_000)
    assert linear.expect(120_000) <= 2 * linear.expect(60_000) * (1 + 1e-9)


def test_from_nearly_equal_sizes_no_slope_is_learned() -> None:
    rng = np.random.default_rng(2)
    linear = learned(photos(500))
    before = linear.expect(200_000) - linear.expect(100_000)
    for _ in range(2000):
        linear.add(100_000 + int(rng.integers(-500, 500)), cost(100_000) * float(rng.lognormal(0, 0.2)))
    assert linear.expect(200_000) - linear.expect(100_000) == pytest.approx(before, rel=0.2)


def test_no_negative_slope() -> None:
    linear = Linear()
    for size in photos(300):
        linear.add(size, 1e6 / size)
    assert linear.expect(20_000) == pytest.approx(linear.expect(400_000))


def test_no_negative_intercept() -> None:
    linear = Linear(((1.0, 0.0), (100_000.0, 0.0)))
    for size in photos(300):
        linear.add(size, max(size - 50_000, 0) / 1000)
    assert linear.expect(1) == pytest.approx(0, abs=0.01)
    assert min(linear.expect(size) for size in (1, 10, 1000, 30_000)) >= 0
    assert linear.expect(100_000) == pytest.approx(2 * linear.expect(50_000), rel=0.01)


def test_rounding_takes_no_time_below_zero() -> None:
    lines = [Linear(((1e-16, 0.0), (size, size / 7))) for size in map(float, range(1, 200))]
    assert min(linear.expect(1e-16) for linear in lines) == 0


@pytest.mark.parametrize("seed", range(10))
def test_never_negative_nor_absurd(seed: int) -> None:
    rng, linear = np.random.default_rng(seed), Linear()
    largest = PRIOR[1][0]
    for _ in range(500):
        size, ms = float(rng.lognormal(9, 3)), float(rng.lognormal(0, 3))
        largest = max(largest, size)
        linear.add(size, ms)
        expected = [linear.expect(s) for s in (1, 100, 1e4, 1e6, 1e9, 1e30)]
        assert expected == sorted(expected)
        assert expected[0] >= 0
        assert expected[-1] == linear.expect(largest) <= 1.001 * largest / 1e4 * linear.expect(1e4)


def test_beyond_the_sizes_seen_the_nearest_seen_counts() -> None:
    linear = learned([50_000.0, 2_000_000.0] * 50)
    assert linear.expect(10**12) == linear.expect(2_000_000) == pytest.approx(cost(2_000_000), rel=1e-3)
    assert linear.expect(1) == linear.expect(0) == linear.expect(PRIOR[0][0])


@pytest.mark.parametrize("ms", NO_TIMES)
def test_no_line_through_what_is_no_time(ms: float) -> None:
    linear = Linear()
    with pytest.raises(ValueError, match="not a time in ms"):
        linear.add(1000, ms)
    assert linear.line == Linear().line


@pytest.mark.parametrize("size", [0, *NO_TIMES])
def test_no_line_through_what_is_no_size(size: float) -> None:
    linear = Linear()
    with pytest.raises(ValueError, match="not a size"):
        linear.add(size, 1.0)
    assert linear.line == Linear().line


def test_a_line_goes_on_from_a_line() -> None:
    linear = learned(photos(300), noise=0.1)
    again = Linear(linear.line)
    for size in (1, 30_000, 100_000, 10**9):
        assert again.expect(size) == pytest.approx(linear.expect(size))
