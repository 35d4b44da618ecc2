"""The policies among the authors' models: their published figures, and where the two legs are independent."""

from __future__ import annotations

from pathlib import Path
from statistics import NormalDist
from typing import Any

import numpy as np
import pytest
from model_sets import PUBLISHED, zoo

from ondevice.selection import policies
from ondevice.selection.policies import POLICIES, Policy, draw, find
from ondevice.selection.problem import Requests
from ondevice.timing.arrays import FloatArray


def positive_normal(rng: np.random.Generator, mean_ms: Any, std_ms: Any, shape: tuple[int, ...]) -> FloatArray:
    """Normal draws, those at most 0 drawn again."""
    drawn = rng.normal(mean_ms, std_ms, shape)
    while (low := drawn <= 0).any():
        drawn = np.where(low, rng.normal(mean_ms, std_ms, shape), drawn)
    return drawn


@pytest.mark.parametrize(("policy", "sla_ms", "percent", "attainment"), PUBLISHED)
def test_the_authors_simulation(data: Path, policy: str, sla_ms: float, percent: float, attainment: float) -> None:
    models, rng, n = zoo(data), np.random.default_rng(0), 10_000
    assert len(models) == 11
    leg_ms = positive_normal(rng, 50, 25, (n,))
    model = draw(find(policy)(models, Requests(np.full(n, sla_ms), leg_ms, leg_ms)), rng)
    total_ms = 2 * leg_ms + positive_normal(rng, models.mean_ms, models.std_ms, (n, 11))[np.arange(n), model]
    assert 100 * models.top1[model].mean() == pytest.approx(percent, abs=0.5)
    assert (total_ms <= sla_ms).mean() == pytest.approx(attainment, abs=0.02)


@pytest.mark.parametrize(
    ("legs_ms", "sla_ms", "percent"),
    [
        ((46, 24), 150, {"mdinference": 66.7, "layercake": 49.2, "effective": 72.6, "oracle": 76.1}),
        ((46, 24), 200, {"mdinference": 73.2, "layercake": 73.3, "effective": 78.1, "oracle": 80.7}),
        ((46, 24), 250, {"mdinference": 80.2, "layercake": 79.6, "effective": 80.7, "oracle": 82.3}),
        ((92, 48), 250, {"mdinference": 62.2, "layercake": 48.4, "effective": 69.4, "oracle": 73.5}),
    ],
)
def test_effective_accuracy_where_the_legs_are_independent(
    data: Path, legs_ms: tuple[float, float], sla_ms: float, percent: dict[str, float]
) -> None:
    """Lognormal legs, their distribution known to `effective`, their mean to `layercake`; 41.4 % on the device."""
    models, rng, n = zoo(data), np.random.default_rng(0), 20_000
    variance = np.log(1 + (legs_ms[1] / legs_ms[0]) ** 2)
    leg = NormalDist(np.log(legs_ms[0]) - variance / 2, variance**0.5)
    upload_ms, reply_ms = rng.lognormal(leg.mean, leg.stdev, (2, n))
    points_ms = np.exp([leg.inv_cdf((i + 0.5) / 21) for i in range(21)])
    requests = Requests(
        np.full(n, sla_ms), upload_ms, upload_ms, device_top1=np.array([0.414]),
        reply_ms=np.tile(points_ms, (n, 1)), link_ms=np.full((n, 1), 2 * legs_ms[0]),
    )  # fmt: skip
    total_ms = (upload_ms + reply_ms)[:, None] + positive_normal(rng, models.mean_ms, models.std_ms, (n, 11))
    clairvoyant: Policy = lambda models, requests: policies.oracle(models, requests, total_ms)  # noqa: E731
    found = {}
    for name in percent:
        model = draw((POLICIES | {"oracle": clairvoyant})[name](models, requests), rng)
        on_time_ = total_ms[np.arange(n), model] <= sla_ms
        found[name] = 100 * np.where(on_time_, models.top1[model], 0.414).mean()
    assert found == pytest.approx(percent, abs=1)
