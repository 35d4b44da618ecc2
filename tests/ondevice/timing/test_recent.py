"""Recent times: figures against numpy and by hand, steps, outliers, and what is refused."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
import pytest

from ondevice.timing.distribution import Distribution
from ondevice.timing.profile import Profile
from ondevice.timing.quantiles import LEVELS
from ondevice.timing.recent import HALF_LIFE, SIZE, Recent

NO_TIMES = [math.nan, -1.0, -math.inf, math.inf]


def lognormal(n: int, sigma: float = 0.3, seed: int = 0) -> list[float]:
    return np.random.default_rng(seed).lognormal(2, sigma, n).tolist()


def weights(n: int) -> list[float]:
    """By the definition: half after HALF_LIFE newer ones; the oldest first."""
    return [0.5 ** (age / HALF_LIFE) for age in reversed(range(min(n, SIZE)))]


def add_all(recent: Recent, samples: Iterable[float]) -> Recent:
    for ms in samples:
        recent.add(ms)
    return recent


# Figures


@pytest.mark.parametrize("n", [2, 5, SIZE - 1, SIZE, SIZE + 1, 3 * SIZE + 7])
def test_mean_and_deviation_by_definition(n: int) -> None:
    samples = lognormal(n)
    kept, w = np.array(samples[-SIZE:]), np.array(weights(n))
    mean = np.average(kept, weights=w)
    variance = np.sum(w * (kept - mean) ** 2) / (w.sum() - (w**2).sum() / w.sum())
    recent = Recent(samples)
    assert recent.distribution.mean_ms == pytest.approx(mean)
    assert recent.distribution.std_ms == pytest.approx(math.sqrt(variance))
    assert recent.count == n


def test_deviation_is_that_of_what_is_sampled() -> None:
    variances = [Recent(np.random.default_rng(seed).normal(10, 2, 10)).distribution.std_ms ** 2 for seed in range(3000)]
    assert np.mean(variances) == pytest.approx(4, rel=0.05)


@pytest.mark.parametrize("seed", range(20))
def test_quantiles_can_be_a_distribution_function(seed: int) -> None:
    rng = np.random.default_rng(seed)
    recent = Recent()
    for ms in rng.choice(rng.lognormal(0, 2, 10), 3 * SIZE):  # with ties
        recent.add(float(ms))
        quantiles = recent.distribution.quantiles_ms
        assert quantiles.shape == LEVELS.shape
        assert (np.diff(quantiles) >= 0).all()
        assert quantiles[0] <= recent.distribution.mean_ms * (1 + 1e-12)
        assert recent.distribution.mean_ms <= quantiles[-1] * (1 + 1e-12)


def test_quantiles_end_at_the_least_and_the_largest_kept() -> None:
    recent = Recent([1.0, 99.0, *lognormal(SIZE - 2)])
    assert (recent.distribution.quantiles_ms[0], recent.distribution.quantiles_ms[-1]) == (1.0, 99.0)
    add_all(recent, [10.0, 10.0])  # and both have left
    assert recent.distribution.quantiles_ms[0] > 1.0
    assert recent.distribution.quantiles_ms[-1] < 99.0


def test_one_sample_and_equal_samples() -> None:
    for samples in ([7.0], [7.0] * 5, [7.0] * 2 * SIZE):
        recent = Recent(samples)
        assert recent.distribution.mean_ms == pytest.approx(7.0)
        assert recent.distribution.std_ms == pytest.approx(0.0, abs=1e-9)
        assert recent.distribution.quantiles_ms == pytest.approx([7.0] * 21)


def test_zero_is_a_time() -> None:
    assert Recent([0.0, 0.0]).distribution.mean_ms == 0.0


def test_figures_follow_each_sample() -> None:
    recent = Recent([1.0])
    before = recent.distribution.quantiles_ms
    assert recent.distribution.quantiles_ms is before, "not computed twice"
    recent.add(2.0)
    assert recent.distribution.mean_ms > 1.5
    assert recent.distribution.quantiles_ms[-1] == 2.0
    assert before == pytest.approx([1.0] * 21), "what was read stays"


def test_what_was_read_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="read-only"):
        Recent([1.0, 2.0]).distribution.quantiles_ms[0] = 5.0


@pytest.mark.parametrize("ms", NO_TIMES)
def test_what_is_no_time_is_refused_and_changes_nothing(ms: float) -> None:
    recent = Recent([1.0, 2.0])
    mean_ms = recent.distribution.mean_ms
    with pytest.raises(ValueError, match="not a time in ms"):
        recent.add(ms)
    with pytest.raises(ValueError, match="not a time in ms"):
        recent.renew([3.0, ms])
    assert (recent.distribution.mean_ms, recent.count) == (mean_ms, 2)


def test_nothing_is_known_before_the_first_sample() -> None:
    recent = Recent()
    assert recent.count == 0
    with pytest.raises(ValueError, match="add a sample"):
        _ = recent.distribution


# Recent: following what happens


@pytest.mark.parametrize(("old", "new"), [(5.0, 15.0), (15.0, 5.0)])
def test_a_step_is_seen_within_forty_samples(old: float, new: float) -> None:
    recent = Recent([old] * 100)
    add_all(recent, [new] * (HALF_LIFE + 1))
    assert abs(recent.distribution.mean_ms - new) < abs(old - new) / 2, "half the way after a half-life"
    add_all(recent, [new] * (40 - HALF_LIFE - 1))
    assert recent.distribution.mean_ms == pytest.approx(new, rel=0.1)
    assert recent.distribution.quantiles_ms[10] == new
    add_all(recent, [new] * (SIZE - 40))
    assert recent.distribution.mean_ms == pytest.approx(new)
    assert recent.distribution.std_ms == pytest.approx(0, abs=1e-6)


def test_a_step_in_noise() -> None:
    slow = 3 * np.array(lognormal(40, 0.1, seed=1))
    recent = add_all(Recent(lognormal(100, 0.1)), slow)
    assert recent.distribution.mean_ms == pytest.approx(slow.mean(), rel=0.1)


@pytest.mark.parametrize("excess", [1.0, 100.0, 1e6])
def test_one_outlier_swings_little(excess: float) -> None:
    recent = Recent([5.0] * 100)
    recent.add(5.0 + excess)
    assert 0 < recent.distribution.mean_ms - 5.0 <= 0.08 * excess
    assert recent.distribution.quantiles_ms[18] == 5.0, "the 90th percentile stays"
    add_all(recent, [5.0] * SIZE)
    assert recent.distribution.mean_ms == pytest.approx(5.0)


# Recent: seeds and renewals


@pytest.mark.parametrize("sigma", [0.02, 0.3, 0.8])
@pytest.mark.parametrize("n", [20, 500])
def test_seeded_from_a_profile(n: int, sigma: float) -> None:
    profile = Profile.of("m", lognormal(n, sigma), "h", "r", 1)
    recent = Recent.seeded(profile.distribution, profile.n)
    assert recent.count == n
    assert recent.distribution.mean_ms == pytest.approx(profile.mean_ms, rel=0.03)
    assert recent.distribution.std_ms == pytest.approx(profile.std_ms, rel=0.3)
    # Between neighbouring levels: the samples' ages shift weight a little.
    low, high = np.array(profile.quantiles_ms[:-3]), np.array(profile.quantiles_ms[2:-1])
    assert (recent.distribution.quantiles_ms[1:-2] >= low).all()
    assert (recent.distribution.quantiles_ms[1:-2] <= high).all()


def test_one_outlier_in_a_long_profile_does_not_weigh_as_one_of_21() -> None:
    samples = lognormal(500, 0.05)
    profile = Profile.of("m", [*samples, 50 * max(samples)], "h", "r", 1)
    assert Recent.seeded(profile.distribution, profile.n).distribution.mean_ms == pytest.approx(
        profile.mean_ms, rel=0.01
    )


def test_a_seed_gives_way_to_what_is_seen() -> None:
    recent = Recent.seeded(Distribution.of(lognormal(500)), 500)
    add_all(recent, [100.0] * 40)
    assert recent.distribution.mean_ms == pytest.approx(100, rel=0.1)
    assert recent.count == 540


def test_seeding_again_and_again_does_not_drift() -> None:
    first = Profile.of("m", lognormal(500, 0.8), "h", "r", 1)
    profile = first
    for _ in range(20):
        profile = Recent.seeded(profile.distribution, profile.n).profile("m", "h", "r", 1)
    assert profile.mean_ms == pytest.approx(first.mean_ms, rel=0.1)
    assert profile.n == 500


@pytest.mark.parametrize("n", [1, 5, 24, 30])
def test_a_renewal_weighs_more_than_all_before(n: int) -> None:
    recent = Recent([30.0] * 100)
    recent.renew([10.0] * n)
    assert 10 <= recent.distribution.mean_ms < 15
    assert recent.count == 100 + n
    recent.renew([10.0] * n)
    assert recent.distribution.mean_ms == pytest.approx(10.0)
    assert recent.distribution.quantiles_ms == pytest.approx([10.0] * 21)


def test_a_renewal_of_nothing() -> None:
    with pytest.raises(ValueError, match="no samples"):
        Recent([1.0]).renew([])
