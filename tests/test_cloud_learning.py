"""Learning times: figures against numpy and by hand, steps, outliers, lines over sizes, and what is refused."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
import pytest

from ondevice.cloud.learning import _SUMS, HALF_LIFE, PRIOR, SIZE, Learned, Linear, Recent, _quantiles
from ondevice.profile import LEVELS, Profile, dumps, loads

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


# Recent: figures


@pytest.mark.parametrize("n", [2, 3, 21, SIZE])
def test_quantiles_with_equal_weights_are_numpys(n: int) -> None:
    samples = np.array(lognormal(n))
    assert _quantiles(samples, np.full(n, 0.3)) == pytest.approx(np.quantile(samples, LEVELS), rel=1e-12)


def test_quantiles_with_weights_by_hand() -> None:
    # Middles of the weights: 0.5, 2, 5; so 20 stands at (2 - 0.5) / (5 - 0.5) = 1/3.
    found = _quantiles(np.array([30.0, 10.0, 20.0]), np.array([4.0, 1.0, 2.0]))
    expected = [10 + 30 * p if p < 1 / 3 else 20 + 15 * (p - 1 / 3) for p in LEVELS]
    assert found == pytest.approx(expected)


@pytest.mark.parametrize("n", [2, 5, SIZE - 1, SIZE, SIZE + 1, 3 * SIZE + 7])
def test_mean_and_deviation_by_definition(n: int) -> None:
    samples = lognormal(n)
    kept, w = np.array(samples[-SIZE:]), np.array(weights(n))
    mean = np.average(kept, weights=w)
    variance = np.sum(w * (kept - mean) ** 2) / (w.sum() - (w**2).sum() / w.sum())
    recent = Recent(samples)
    assert recent.mean_ms == pytest.approx(mean)
    assert recent.std_ms == pytest.approx(math.sqrt(variance))
    assert recent.count == n


def test_deviation_is_that_of_what_is_sampled() -> None:
    variances = [Recent(np.random.default_rng(seed).normal(10, 2, 10)).std_ms ** 2 for seed in range(3000)]
    assert np.mean(variances) == pytest.approx(4, rel=0.05)


@pytest.mark.parametrize("seed", range(20))
def test_quantiles_can_be_a_distribution_function(seed: int) -> None:
    rng = np.random.default_rng(seed)
    recent = Recent()
    for ms in rng.choice(rng.lognormal(0, 2, 10), 3 * SIZE):  # with ties
        recent.add(float(ms))
        quantiles = recent.quantiles_ms
        assert quantiles.shape == LEVELS.shape
        assert (np.diff(quantiles) >= 0).all()
        assert quantiles[0] <= recent.mean_ms * (1 + 1e-12)
        assert recent.mean_ms <= quantiles[-1] * (1 + 1e-12)


def test_quantiles_end_at_the_least_and_the_largest_kept() -> None:
    recent = Recent([1.0, 99.0, *lognormal(SIZE - 2)])
    assert (recent.quantiles_ms[0], recent.quantiles_ms[-1]) == (1.0, 99.0)
    add_all(recent, [10.0, 10.0])  # and both have left
    assert recent.quantiles_ms[0] > 1.0
    assert recent.quantiles_ms[-1] < 99.0


def test_one_sample_and_equal_samples() -> None:
    for samples in ([7.0], [7.0] * 5, [7.0] * 2 * SIZE):
        recent = Recent(samples)
        assert recent.mean_ms == pytest.approx(7.0)
        assert recent.std_ms == pytest.approx(0.0, abs=1e-9)
        assert recent.quantiles_ms == pytest.approx([7.0] * 21)


def test_zero_is_a_time() -> None:
    assert Recent([0.0, 0.0]).mean_ms == 0.0


def test_figures_follow_each_sample() -> None:
    recent = Recent([1.0])
    before = recent.quantiles_ms
    assert recent.quantiles_ms is before, "not computed twice"
    recent.add(2.0)
    assert recent.mean_ms > 1.5
    assert recent.quantiles_ms[-1] == 2.0
    assert before == pytest.approx([1.0] * 21), "what was read stays"


def test_what_was_read_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="read-only"):
        Recent([1.0, 2.0]).quantiles_ms[0] = 5.0


@pytest.mark.parametrize("ms", NO_TIMES)
def test_what_is_no_time_is_refused_and_changes_nothing(ms: float) -> None:
    recent = Recent([1.0, 2.0])
    mean_ms = recent.mean_ms
    with pytest.raises(ValueError, match="no time in ms"):
        recent.add(ms)
    with pytest.raises(ValueError, match="no time in ms"):
        recent.renew([3.0, ms])
    assert (recent.mean_ms, recent.count) == (mean_ms, 2)


@pytest.mark.parametrize("figure", ["mean_ms", "std_ms", "quantiles_ms"])
def test_nothing_is_known_before_the_first_sample(figure: str) -> None:
    recent = Recent()
    assert recent.count == 0
    with pytest.raises(ValueError, match="add a sample"):
        getattr(recent, figure)


# Recent: following what happens


@pytest.mark.parametrize(("old", "new"), [(5.0, 15.0), (15.0, 5.0)])
def test_a_step_is_seen_within_forty_samples(old: float, new: float) -> None:
    recent = Recent([old] * 100)
    add_all(recent, [new] * (HALF_LIFE + 1))
    assert abs(recent.mean_ms - new) < abs(old - new) / 2, "half the way after a half-life"
    add_all(recent, [new] * (40 - HALF_LIFE - 1))
    assert recent.mean_ms == pytest.approx(new, rel=0.1)
    assert recent.quantiles_ms[10] == new
    add_all(recent, [new] * (SIZE - 40))
    assert recent.mean_ms == pytest.approx(new)
    assert recent.std_ms == pytest.approx(0, abs=1e-6)


def test_a_step_in_noise() -> None:
    slow = 3 * np.array(lognormal(40, 0.1, seed=1))
    recent = add_all(Recent(lognormal(100, 0.1)), slow)
    assert recent.mean_ms == pytest.approx(slow.mean(), rel=0.1)


@pytest.mark.parametrize("excess", [1.0, 100.0, 1e6])
def test_one_outlier_swings_little(excess: float) -> None:
    recent = Recent([5.0] * 100)
    recent.add(5.0 + excess)
    assert 0 < recent.mean_ms - 5.0 <= 0.08 * excess
    assert recent.quantiles_ms[18] == 5.0, "the 90th percentile stays"
    add_all(recent, [5.0] * SIZE)
    assert recent.mean_ms == pytest.approx(5.0)


# Recent: seeds and renewals


@pytest.mark.parametrize("sigma", [0.02, 0.3, 0.8])
@pytest.mark.parametrize("n", [20, 500])
def test_seeded_from_a_profile(n: int, sigma: float) -> None:
    profile = Profile.of("m", lognormal(n, sigma), "h", "r", 1)
    recent = Recent.seeded(profile)
    assert recent.count == n
    assert recent.mean_ms == pytest.approx(profile.mean_ms, rel=0.03)
    assert recent.std_ms == pytest.approx(profile.std_ms, rel=0.3)
    # Between neighbouring levels: the samples' ages shift weight a little.
    low, high = np.array(profile.quantiles_ms[:-3]), np.array(profile.quantiles_ms[2:-1])
    assert (recent.quantiles_ms[1:-2] >= low).all()
    assert (recent.quantiles_ms[1:-2] <= high).all()


def test_one_outlier_in_a_long_profile_does_not_weigh_as_one_of_21() -> None:
    samples = lognormal(500, 0.05)
    profile = Profile.of("m", [*samples, 50 * max(samples)], "h", "r", 1)
    assert Recent.seeded(profile).mean_ms == pytest.approx(profile.mean_ms, rel=0.01)


def test_a_seed_gives_way_to_what_is_seen() -> None:
    recent = Recent.seeded(Profile.of("m", lognormal(500), "h", "r", 1))
    add_all(recent, [100.0] * 40)
    assert recent.mean_ms == pytest.approx(100, rel=0.1)
    assert recent.count == 540


def test_seeding_again_and_again_does_not_drift() -> None:
    first = Profile.of("m", lognormal(500, 0.8), "h", "r", 1)
    profile = first
    for _ in range(20):
        profile = Learned("m", Recent.seeded(profile)).profile("h", "r", 1)
    assert profile.mean_ms == pytest.approx(first.mean_ms, rel=0.1)
    assert profile.n == 500


@pytest.mark.parametrize("n", [1, 5, 24, 30])
def test_a_renewal_weighs_more_than_all_before(n: int) -> None:
    recent = Recent([30.0] * 100)
    recent.renew([10.0] * n)
    assert 10 <= recent.mean_ms < 15
    assert recent.count == 100 + n
    recent.renew([10.0] * n)
    assert recent.mean_ms == pytest.approx(10.0)
    assert recent.quantiles_ms == pytest.approx([10.0] * 21)


def test_a_renewal_of_nothing() -> None:
    with pytest.raises(ValueError, match="no samples"):
        Recent([1.0]).renew([])


def test_the_sums_are_those_of_the_weights() -> None:
    assert _SUMS[5] == pytest.approx((sum(weights(5)), sum(w * w for w in weights(5))))
    assert len(_SUMS) == SIZE + 1


# Linear


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
    with pytest.raises(ValueError, match="no time in ms"):
        linear.add(1000, ms)
    assert linear.line == Linear().line


@pytest.mark.parametrize("size", [0, *NO_TIMES])
def test_no_line_through_what_is_no_size(size: float) -> None:
    linear = Linear()
    with pytest.raises(ValueError, match="no size"):
        linear.add(size, 1.0)
    assert linear.line == Linear().line


def test_a_line_goes_on_from_a_line() -> None:
    linear = learned(photos(300), noise=0.1)
    again = Linear(linear.line)
    for size in (1, 30_000, 100_000, 10**9):
        assert again.expect(size) == pytest.approx(linear.expect(size))


# Learned


def test_loads_are_averaged() -> None:
    known = Learned("m", Recent([1.0]))
    assert known.load_ms is None
    known.loaded(100.0)
    assert known.load_ms == 100.0
    known.loaded(200.0)
    assert 100 < known.load_ms < 150
    for _ in range(40):
        known.loaded(200.0)
    assert known.load_ms == pytest.approx(200.0, rel=1e-3)


@pytest.mark.parametrize("ms", NO_TIMES)
def test_a_load_takes_a_time(ms: float) -> None:
    known = Learned("m", Recent([1.0]))
    for before in (None, 5.0):
        known.load_ms = before
        with pytest.raises(ValueError, match="no time in ms"):
            known.loaded(ms)
        assert known.load_ms == before


def test_stale_after_a_time_without_use() -> None:
    known = Learned("m", Recent([1.0]))
    assert known.stale(0.0, 1e9), "it never ran"
    known.used_at = 100.0
    assert not known.stale(101.0, 2.0)
    assert known.stale(102.5, 2.0)


def test_renewed() -> None:
    known = Learned("m", Recent([30.0] * 100))
    known.renew([10.0] * 5)
    assert known.invoke.mean_ms < 15


def test_models_may_share_what_decoding_takes() -> None:
    shared = Linear()
    a, b = (Learned(name, Recent([1.0]), shared) for name in "ab")
    a.decode.add(500_000, 80.0)
    assert b.decode.expect(500_000) > Linear().expect(500_000)
    assert Learned("c", Recent([1.0])).decode is not Learned("d", Recent([1.0])).decode


def test_its_profile() -> None:
    known = Learned("m", Recent(lognormal(100)))
    profile = known.profile("h", "r 1", 2)
    assert (profile.model, profile.host, profile.runtime, profile.threads, profile.n) == ("m", "h", "r 1", 2, 100)
    assert (profile.mean_ms, profile.std_ms) == (known.invoke.mean_ms, known.invoke.std_ms)
    assert profile.quantiles_ms == tuple(known.invoke.quantiles_ms)
    (again,) = loads(dumps([profile]))
    assert again.mean_ms == pytest.approx(profile.mean_ms, abs=1e-6)
