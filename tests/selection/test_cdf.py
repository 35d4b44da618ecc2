"""The distribution functions: the formula of the docstring, steps, and times far from any support."""

from __future__ import annotations

import numpy as np
import pytest

from ondevice.selection.cdf import Cdfs
from ondevice.timing.arrays import FloatArray
from ondevice.timing.profile import LEVELS


def drawn(models: int, seed: int = 0) -> FloatArray:
    return np.quantile(np.random.default_rng(seed).lognormal(2, 0.7, (500, models)), LEVELS, axis=0).T


def by_formula(quantiles_ms: FloatArray, x_ms: FloatArray) -> FloatArray:
    low, high = quantiles_ms[:, :-1], quantiles_ms[:, 1:]
    return np.clip((x_ms[..., None] - low) / (high - low), 0, 1).mean(axis=-1)


@pytest.mark.parametrize("models", [1, 2, 11, 200])
def test_the_formula(models: int) -> None:
    quantiles_ms = drawn(models)
    x_ms = np.random.default_rng(1).uniform(-5, 60, (7, 3, models))
    assert Cdfs(quantiles_ms)(x_ms) == pytest.approx(by_formula(quantiles_ms, x_ms), abs=1e-9)


def test_one_time_for_all_models() -> None:
    quantiles_ms = drawn(4)
    assert Cdfs(quantiles_ms)(np.array([[8.0]])) == pytest.approx(by_formula(quantiles_ms, np.full((1, 4), 8.0)))


def test_at_the_quantiles_it_has_their_levels() -> None:
    quantiles_ms = drawn(5)
    assert Cdfs(quantiles_ms)(quantiles_ms.T) == pytest.approx(np.repeat(LEVELS[:, None], 5, axis=1), abs=1e-12)


def test_beyond_the_quantiles_it_is_exactly_0_and_1() -> None:
    quantiles_ms = drawn(3)
    x_ms = np.array([-1e300, -1.0, quantiles_ms.min() - 1e-9, quantiles_ms.max(), 1e6, 1e300])[:, None]
    assert Cdfs(quantiles_ms)(x_ms).tolist() == [[0.0] * 3] * 3 + [[1.0] * 3] * 3


def test_a_time_that_never_varies_is_a_step() -> None:
    cdfs = Cdfs(np.array([[5.0] * 21, [7.0] * 21, [0.0] * 21]))
    x_ms = np.array([[5 - 1e-6], [5.0], [7 - 1e-6], [7.0]])
    assert cdfs(x_ms).tolist() == [[0, 0, 1], [1, 0, 1], [1, 0, 1], [1, 1, 1]]


def test_a_step_within_a_distribution_counts_from_its_top() -> None:
    quantiles_ms = np.r_[np.arange(5.0), [5.0] * 11, np.arange(6.0, 11.0)][None]
    below, at = Cdfs(quantiles_ms)(np.array([[5 - 1e-9], [5.0]]))[:, 0]
    assert below == pytest.approx(5 / 20, abs=1e-6)
    assert at == pytest.approx(15 / 20)


def test_models_of_microseconds_stand_beside_models_of_minutes() -> None:
    quantiles_ms = np.outer([1e-3, 1.0, 1e5], np.linspace(1, 2, 21))
    x_ms = np.array([[1.25e-3, 1.25, 1.25e5]])
    assert Cdfs(quantiles_ms)(x_ms) == pytest.approx(np.full((1, 3), 0.25), abs=1e-6)
