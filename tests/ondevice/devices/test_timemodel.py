"""The time model: the line, what similar models are off it, errors of models left out, and the spread's draws."""

from __future__ import annotations

import numpy as np
import pytest

from ondevice.devices.card import find
from ondevice.devices.spread import spread_of
from ondevice.devices.timemodel import NOISE, SCATTER, Line, Point, TimeModel, drawer, fit, left_out

# What is left of an error seen once, where the model itself is asked for: so much is scatter, the rest is noise.
KEPT = SCATTER**2 / (SCATTER**2 + NOISE**2)
LINE = [Point(x, x, 2 + 3 * x) for x in (1.0, 10.0, 100.0, 1000.0)]


def test_a_known_line_is_recovered() -> None:
    x = np.array([0.5, 3.0, 20.0, 400.0])
    assert fit(x, 2 + 3 * x) == pytest.approx(Line(2, 3))


def test_the_overhead_is_never_negative() -> None:
    x = np.array([1.0, 2.0, 4.0])
    y = 2 * x - 1
    line = fit(x, y)
    assert line.overhead_ms == 0
    # By hand: the factor that minimizes the sum of (factor * x / y - 1)².
    assert line.factor == pytest.approx((1 / 1 + 2 / 3 + 4 / 7) / (1 + (2 / 3) ** 2 + (4 / 7) ** 2))


def test_a_factor_of_zero_leaves_the_best_overhead() -> None:
    line = fit([1.0, 2.0, 3.0], [3.0, 2.0, 1.0])
    assert line.factor == 0
    # By hand: the overhead that minimizes the sum of (overhead / y - 1)².
    assert line.overhead_ms == pytest.approx((1 / 3 + 1 / 2 + 1) / (1 / 9 + 1 / 4 + 1))


def test_the_errors_are_relative() -> None:
    # A tenth off at the largest moves a relative fit as a tenth off at the smallest does, not a thousand times as much.
    line = fit([1.0, 10.0, 100.0, 1000.0], [3.0, 30.0, 300.0, 3300.0])
    assert line(1.0) == pytest.approx(3, rel=0.05)


@pytest.mark.parametrize(("reference_ms", "size_mb"), [(1, 1), (7, 2), (300, 5000)])
def test_a_model_of_points_on_a_line_is_that_line(reference_ms: float, size_mb: float) -> None:
    assert TimeModel(LINE)(reference_ms, size_mb) == pytest.approx(2 + 3 * reference_ms)


def test_a_model_like_a_published_one_is_pulled_to_what_that_was_off() -> None:
    odd = Point(10.0, 1e4, 50.0)
    model = TimeModel([*LINE, odd])
    line = model.line(odd.reference_ms)
    off = odd.device_ms / line
    assert off > 1.1
    # Its neighbours are thousands of times smaller, so that it stands alone.
    assert model(odd.reference_ms, odd.size_mb) / line == pytest.approx(off**KEPT, rel=1e-6)
    halfway = model(odd.reference_ms, odd.size_mb * 2) / line
    assert 1 < halfway < off**KEPT


def test_a_model_far_from_all_is_on_the_line() -> None:
    model = TimeModel([*LINE, Point(10.0, 1e4, 50.0)])
    assert model(10.0, 1e-6) == pytest.approx(model.line(10.0))


def test_left_out_never_sees_the_one_it_predicts() -> None:
    # The others lie on 2 + 3 x, so 32 ms is said of a model of 10 ms whatever was published of it.
    for published in (32.0, 64.0, 16.0):
        points = [*LINE[:1], Point(10.0, 10.0, published), *LINE[2:]]
        assert left_out(points)[1] == pytest.approx(32 / published - 1)


def test_left_out_has_an_error_a_model() -> None:
    errors = left_out([*LINE, Point(10.0, 1e4, 64.0)])
    assert errors.shape == (5,)
    assert errors[4] == pytest.approx(32 / 64 - 1)
    assert np.abs(errors[:4]).min() > 0, "the odd one bends the line of all the others"


def test_groups_are_left_out_whole() -> None:
    twins = [Point(10.0, 10.0, 64.0), Point(11.0, 11.0, 70.0)]
    points = [LINE[0], *twins, *LINE[2:]]
    apart = left_out(points, ["a", "odd", "odd", "b", "c"])
    assert apart[1] == pytest.approx(32 / 64 - 1)
    assert apart[2] == pytest.approx(35 / 70 - 1)
    assert abs(left_out(points)[1]) < 0.25, "its twin tells on it, unless it is left out with it"


@pytest.mark.parametrize("name", ["pieslicer-phone", "raspberry-pi-4"])
def test_draws_have_a_mean_of_one_and_stay_within_the_quantiles(name: str) -> None:
    spread = spread_of(find(name))
    quantiles = spread.quantiles
    draw = drawer(spread.around(1.0), np.random.default_rng(0))
    ratios = np.array([draw() for _ in range(20_000)])
    mean = np.trapezoid(quantiles, np.linspace(0, 1, len(quantiles)))
    assert ratios.mean() == pytest.approx(1, abs=0.01)
    assert min(quantiles) / mean <= ratios.min() < ratios.max() <= max(quantiles) / mean
    # A tenth of the draws is below the tenth percentile.
    tenth = np.interp(0.1, np.linspace(0, 1, len(quantiles)), quantiles) / mean
    assert np.mean(ratios < tenth) == pytest.approx(0.1, abs=0.01)
