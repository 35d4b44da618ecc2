"""Which upload is best: against a plain sum over models, times and uploads."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ondevice.selection import policies
from ondevice.selection.problem import Models, Requests
from ondevice.selection.uploads import SAME_TOP1, Situation, UploadCandidates, best, expected_top1, near
from ondevice.timing.distribution import Distribution
from ondevice.timing.quantiles import POINTS

TOP1 = np.array([0.5, 0.7, 0.9])


def models(top1: np.ndarray = TOP1) -> Models:
    """Three, of about 10, 40 and 120 ms, each spread by a tenth."""
    times = [Distribution.of(mean * np.linspace(0.9, 1.1, 50)) for mean in (10.0, 40.0, 120.0)]
    columns = ([getattr(each, name) for each in times] for name in ("mean_ms", "std_ms", "quantiles_ms"))
    return Models(("a", "b", "c"), top1, *map(np.array, columns))


def candidates(seed: int, u: int = 4) -> UploadCandidates:
    rng = np.random.default_rng(seed)
    size_bytes = np.sort(rng.uniform(1000, 20_000, u))
    times_ms = np.sort(rng.exponential(40, (u, POINTS)), axis=1) + size_bytes[:, None] / 400
    return UploadCandidates(size_bytes, times_ms, np.sort(rng.uniform(0.3, 1, (u, 3)), axis=0))


def plain(policy: str, uploads: UploadCandidates, situation: Situation) -> list[float]:
    """One upload, one time and one model after the other."""
    within_ms, return_ms, device_top1 = situation
    sums = []
    for times_ms, kept in zip(uploads.overhead_ms, uploads.kept, strict=True):
        total = 0.0
        for overhead_ms in times_ms.tolist():
            there = models(TOP1 * kept)
            back_ms = min(return_ms, times_ms[0])
            seen = Requests.one(within_ms, overhead_ms - back_ms, back_ms, device_top1)
            chosen = policies.find(policy)(there, seen)[0]
            on_time = there.times.cdf(np.array([[within_ms - overhead_ms]]))[0]
            total += float((chosen * on_time * np.maximum(there.top1 - device_top1, 0)).sum())
        sums.append(device_top1 + total / len(times_ms))
    return sums


@pytest.mark.parametrize("policy", [*policies.POLICIES, "cnnselect:threshold_ms=20,reading=sigma"])
@given(
    seed=st.integers(0, 1000),
    within_ms=st.floats(0, 400),
    return_ms=st.floats(0, 100),
    device_top1=st.sampled_from([0.0, 0.45, 1.0]),
)
@settings(max_examples=15)
def test_it_is_the_sum_over_models_and_times(
    policy: str, seed: int, within_ms: float, return_ms: float, device_top1: float
) -> None:
    uploads, situation = candidates(seed), Situation(within_ms, return_ms, device_top1)
    found = expected_top1(policies.find(policy), models(), uploads, situation)
    assert found == pytest.approx(plain(policy, uploads, situation), abs=1e-9)


def test_one_share_for_all_models_is_that_share_for_each() -> None:
    uploads, situation = candidates(1), Situation(150.0, 10.0, 0.4)
    alike = np.array([0.5, 0.6, 0.7, 0.8])[:, None]
    rule = policies.find("effective")
    found = expected_top1(rule, models(), uploads._replace(kept=alike), situation)
    each = expected_top1(rule, models(), uploads._replace(kept=alike.repeat(3, axis=1)), situation)
    assert found.tolist() == each.tolist()


def test_the_pair_is_better_than_the_best_model_with_any_one_upload() -> None:
    """A small picture for the good model, where the large picture leaves time for the bad one alone."""
    size_bytes, times_ms = np.array([3000.0, 12_000.0]), np.array([[30.0] * POINTS, [120.0] * POINTS])
    uploads = UploadCandidates(size_bytes, times_ms, np.array([[0.8, 0.8, 0.8], [1.0, 1.0, 1.0]]))
    found = expected_top1(policies.find("effective"), models(), uploads, Situation(165.0, 0.0, 0.0))
    assert found == pytest.approx([0.8 * 0.9, 0.7], abs=0.02)
    assert best(uploads, found) == 0


def test_of_uploads_as_good_as_the_best_the_smallest_is_taken() -> None:
    uploads = candidates(2)
    assert best(uploads, np.array([0.5, 0.7 - 0.9 * SAME_TOP1, 0.7, 0.6])) == 1
    assert best(uploads, np.array([0.5, 0.7 - 1.1 * SAME_TOP1, 0.7, 0.6])) == 2
    turned = uploads._replace(size_bytes=uploads.size_bytes[::-1])
    assert best(turned, np.array([0.7, 0.7, 0.7, 0.7])) == 3


def test_what_is_worth_no_closer_look_is_not_the_best() -> None:
    rule, losses = policies.find("effective"), []
    for seed in range(200):
        uploads, situation = candidates(seed, u=30), Situation(60.0 + seed, 10.0, 0.45)
        exact = expected_top1(rule, models(), uploads, situation)
        rough = expected_top1(rule, models(), uploads.roughly(), situation)
        losses.append(float(exact.max() - exact[near(rough)].max()))
    assert max(losses) == 0.0


def test_a_closer_look_is_taken_at_few() -> None:
    uploads = candidates(3, u=30)._replace(kept=np.linspace(0.3, 1, 30)[:, None].repeat(3, axis=1))
    rough = expected_top1(policies.find("effective"), models(), uploads.roughly(), Situation(10_000.0, 0.0, 0.45))
    assert near(rough).tolist() == [27, 28, 29]
    assert uploads.those(near(rough)).kept.shape == (3, 3)
