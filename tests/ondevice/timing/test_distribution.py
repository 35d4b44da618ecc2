"""Distributions: from samples, shapes and weights, their draws; of many at once the formula and steps."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ondevice.timing.arrays import FloatArray
from ondevice.timing.distribution import Distribution, Distributions
from ondevice.timing.quantiles import LEVELS
from ondevice.timing.window import Weights

# One distribution


times_ms = st.floats(0, 1e6, allow_subnormal=False)
samples = st.lists(times_ms, min_size=2, max_size=60)


@pytest.mark.parametrize("n", [2, 5, 21, 500])
def test_of_samples(n: int) -> None:
    drawn_ms = np.random.default_rng(n).lognormal(2, 0.5, n)
    known = Distribution.of(drawn_ms.tolist())
    assert (known.mean_ms, known.std_ms) == pytest.approx((drawn_ms.mean(), drawn_ms.std(ddof=1)))
    assert known.quantiles_ms == pytest.approx(np.quantile(drawn_ms, LEVELS))
    assert (known.median_ms, known.longest_ms) == pytest.approx((np.median(drawn_ms), drawn_ms.max()))


def test_weights_are_as_so_many_samples() -> None:
    known = Distribution.of([1.0, 2.0, 6.0], Weights.of(np.array([1.0, 2.0, 1.0])))
    assert known.mean_ms == pytest.approx(11 / 4)
    # Unbiased for weights of reliability: the sum of weighted squares over w - w2 / w.
    assert known.std_ms**2 == pytest.approx((1.75**2 + 2 * 0.75**2 + 3.25**2) / (4 - 6 / 4))


def test_of_one_sample_it_is_certain_and_of_none_unknown() -> None:
    known = Distribution.of([7.0])
    assert known.figures == (7.0, 0.0, (7.0,) * 21)
    assert known.sample(3, np.random.default_rng(0)).tolist() == [7.0] * 3
    with pytest.raises(ValueError, match="no samples"):
        Distribution.of([])


@given(samples)
def test_the_mean_lies_between_the_ends(samples_ms: list[float]) -> None:
    known = Distribution.of(samples_ms)
    assert known.quantiles_ms[0] <= known.mean_ms * (1 + 1e-9)
    assert known.mean_ms <= known.longest_ms * (1 + 1e-9)
    assert 0 <= known.std_ms <= (known.longest_ms - known.quantiles_ms[0]) * (1 + 1e-9)


@given(samples, st.floats(0, 1))
def test_the_chance_of_a_quantile_is_its_share(samples_ms: list[float], share: float) -> None:
    known = Distribution.of(samples_ms)
    at_ms = known.quantile_ms(share)
    # Where it steps, at a value that stands for several shares, it is the greatest of them.
    assert known.cdf(at_ms * (1 + 1e-9)) >= share - 1e-6
    assert known.cdf(at_ms * (1 - 1e-9) - 1e-9) <= share + 1e-6


@given(samples, st.floats(0, 1e3), st.floats(0, 2e6))
def test_later_by_so_much(samples_ms: list[float], by_ms: float, at_ms: float) -> None:
    known = Distribution.of(samples_ms)
    later = known.shifted(by_ms)
    assert later.mean_ms == pytest.approx(known.mean_ms + by_ms)
    assert later.std_ms == known.std_ms
    assert later.quantile_ms(0.3) == pytest.approx(known.quantile_ms(0.3) + by_ms)
    assert Distribution.of([ms + by_ms for ms in samples_ms]).mean_ms == pytest.approx(later.mean_ms)


@pytest.mark.parametrize("outlier", [1.0, 50.0])
def test_draws_have_its_mean_though_one_sample_lies_far_out(outlier: float) -> None:
    of = np.random.default_rng(0).lognormal(2, 0.1, 2000)
    known = Distribution.of([*of.tolist(), outlier * float(of.max())])
    drawn_ms = known.lowered().sample(200_000, np.random.default_rng(1))
    assert drawn_ms.mean() == pytest.approx(known.mean_ms, rel=0.02)
    assert known.quantiles_ms[0] <= drawn_ms.min()
    assert np.quantile(drawn_ms, 0.5) == pytest.approx(known.median_ms, rel=0.01)
    assert known.lowered().longest_ms <= known.longest_ms


def test_a_normal_distribution_is_cut_at_0() -> None:
    known = Distribution.normal(50.0, 10.0)
    assert (known.mean_ms, known.std_ms, known.median_ms) == (50, 10, 50)
    assert known.cdf(np.array([40.0, 60.0])) == pytest.approx([0.1587, 0.8413], abs=0.01)
    assert Distribution.normal(1.0, 10.0).quantiles_ms[0] == 0


@pytest.mark.parametrize("shape", [[0.9, 1.1], [1.0, 1.0], [0.5, 0.6, 0.7, 1.0, 3.0], np.linspace(1, 9, 21).tolist()])
def test_a_shape_around_a_mean(shape: list[float]) -> None:
    known = Distribution.shaped(shape, 40.0)
    drawn_ms = known.sample(200_000, np.random.default_rng(0))
    assert drawn_ms.mean() == pytest.approx(40, rel=0.01)
    assert drawn_ms.std() == pytest.approx(known.std_ms, rel=0.02, abs=1e-9)
    assert known.longest_ms / known.quantiles_ms[0] == pytest.approx(shape[-1] / shape[0])


@given(
    st.lists(st.tuples(st.integers(0, 1000), st.floats(0.1, 1e4)), min_size=1, max_size=12, unique_by=lambda p: p[0]),
    st.floats(0, 1),
)
def test_through_known_quantiles_with_any_mean_that_is_possible(known: list[tuple[int, float]], part: float) -> None:
    shares = sorted(tenths / 1000 for tenths, _ in known)
    ms = sorted(time_ms for _, time_ms in known)
    widths = np.diff([0.0, *shares, 1.0])
    # Steps are half a tenth of a percent wide on the grid.
    within = 5e-4 * (ms[-1] - ms[0])
    lowest, highest = widths @ [ms[0], *ms] + within, widths @ [*ms, ms[-1]] - within
    mean_ms = lowest + part * max(highest - lowest, 0)
    times = Distribution.through(dict(zip(shares, ms, strict=True)), mean_ms)
    assert times.quantile_ms(np.array(shares)) == pytest.approx(ms, rel=2e-3)
    assert np.diff(times.quantiles_ms).min() >= -1e-9 * ms[-1]
    assert np.trapezoid(times.quantiles_ms, np.linspace(0, 1, 1001)) == pytest.approx(mean_ms)


@pytest.mark.parametrize("mean_ms", [9.9, 10.9, 15.1, 1e9])
def test_no_times_have_quantiles_that_contradict_their_mean(mean_ms: float) -> None:
    with pytest.raises(ValueError, match="no times with these quantiles have a mean of"):
        Distribution.through({0: 10, 0.5: 12, 1: 18}, mean_ms)


# Many at once


def drawn(models: int, seed: int = 0) -> FloatArray:
    return np.quantile(np.random.default_rng(seed).lognormal(2, 0.7, (500, models)), LEVELS, axis=0).T


def by_formula(quantiles_ms: FloatArray, x_ms: FloatArray) -> FloatArray:
    low, high = quantiles_ms[:, :-1], quantiles_ms[:, 1:]
    return np.clip((x_ms[..., None] - low) / (high - low), 0, 1).mean(axis=-1)


@pytest.mark.parametrize("models", [1, 2, 11, 200])
def test_the_formula(models: int) -> None:
    quantiles_ms = drawn(models)
    x_ms = np.random.default_rng(1).uniform(-5, 60, (7, 3, models))
    assert Distributions(quantiles_ms).cdf(x_ms) == pytest.approx(by_formula(quantiles_ms, x_ms), abs=1e-9)


def test_one_time_for_all_models() -> None:
    quantiles_ms = drawn(4)
    times = Distributions(quantiles_ms)
    assert times.cdf(np.array([[8.0]])) == pytest.approx(by_formula(quantiles_ms, np.full((1, 4), 8.0)))


def test_at_the_quantiles_it_has_their_levels() -> None:
    quantiles_ms = drawn(5)
    times = Distributions(quantiles_ms)
    assert times.cdf(quantiles_ms.T) == pytest.approx(np.repeat(LEVELS[:, None], 5, axis=1), abs=1e-12)


def test_beyond_the_quantiles_it_is_exactly_0_and_1() -> None:
    quantiles_ms = drawn(3)
    x_ms = np.array([-1e300, -1.0, quantiles_ms.min() - 1e-9, quantiles_ms.max(), 1e6, 1e300])[:, None]
    assert Distributions(quantiles_ms).cdf(x_ms).tolist() == [[0.0] * 3] * 3 + [[1.0] * 3] * 3


def test_a_time_that_never_varies_is_a_step() -> None:
    times = Distributions(np.array([[5.0] * 21, [7.0] * 21, [0.0] * 21]))
    x_ms = np.array([[5 - 1e-6], [5.0], [7 - 1e-6], [7.0]])
    assert times.cdf(x_ms).tolist() == [[0, 0, 1], [1, 0, 1], [1, 0, 1], [1, 1, 1]]


def test_a_step_within_a_distribution_counts_from_its_top() -> None:
    quantiles_ms = np.r_[np.arange(5.0), [5.0] * 11, np.arange(6.0, 11.0)][None]
    below, at = Distributions(quantiles_ms).cdf(np.array([[5 - 1e-9], [5.0]]))[:, 0]
    assert below == pytest.approx(5 / 20, abs=1e-6)
    assert at == pytest.approx(15 / 20)


def test_models_of_microseconds_stand_beside_models_of_minutes() -> None:
    quantiles_ms = np.outer([1e-3, 1.0, 1e5], np.linspace(1, 2, 21))
    x_ms = np.array([[1.25e-3, 1.25, 1.25e5]])
    assert Distributions(quantiles_ms).cdf(x_ms) == pytest.approx(np.full((1, 3), 0.25), abs=1e-6)


@pytest.mark.parametrize("shape", [(50,), (50, 4)])
def test_the_times_of_shares_are_those_of_each_alone(shape: tuple[int, ...]) -> None:
    times, rng = Distributions(drawn(4)), np.random.default_rng(3)
    share, row = rng.random(shape), rng.integers(0, 4, shape)
    alone = [np.interp(s, LEVELS, times.quantiles_ms[r]) for s, r in zip(share.flat, row.flat, strict=True)]
    assert times.quantile_ms(share, row) == pytest.approx(np.reshape(alone, shape))
    assert times.quantile_ms(np.array([0.0, 1.0]), np.array([2, 2])).tolist() == times.quantiles_ms[2, [0, -1]].tolist()


def test_many_are_as_each_alone() -> None:
    each = [Distribution.of(np.random.default_rng(seed).lognormal(2, 0.5, 40)) for seed in range(3)]
    x_ms = np.random.default_rng(9).uniform(0, 30, (20, 3))
    alone = np.array([known.cdf(column) for known, column in zip(each, x_ms.T, strict=True)]).T
    assert Distributions.of(each).cdf(x_ms) == pytest.approx(alone, abs=1e-12)
