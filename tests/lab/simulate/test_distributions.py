"""Distributions of legs: their moments, their dependence, and the distribution that is told of the reply."""

from __future__ import annotations

import numpy as np
import pytest

from ondevice.lab.simulate import distributions
from ondevice.lab.simulate.distributions import KINDS, LegDistribution
from ondevice.timing.quantiles import MIDDLES, POINTS

N = 200_000


def made(kind: str, **settings: float) -> LegDistribution:
    return distributions.parse(kind, kind, {key: str(value) for key, value in settings.items()})


def test_one_normal_draw_above_0_for_both_legs() -> None:
    upload_ms, reply_ms = made("normal", mean=50, std=25).draw(N, np.random.default_rng(0))
    assert (upload_ms == reply_ms).all()
    assert upload_ms.min() > 0
    # Of a normal truncated at 2 deviations: mean 51.38, deviation 23.5.
    assert upload_ms.mean() == pytest.approx(51.38, abs=0.3)
    assert upload_ms.std() == pytest.approx(23.5, abs=0.3)


@pytest.mark.parametrize("correlation", [-0.5, 0, 0.8, 1])
def test_lognormal_legs(correlation: float) -> None:
    upload_ms, reply_ms = made("lognormal", mean=46, std=24, correlation=correlation).draw(N, np.random.default_rng(0))
    for leg_ms in (upload_ms, reply_ms):
        assert leg_ms.mean() == pytest.approx(46, rel=0.02)
        assert leg_ms.std() == pytest.approx(24, rel=0.03)
    assert np.corrcoef(np.log(upload_ms), np.log(reply_ms))[0, 1] == pytest.approx(correlation, abs=0.01)


def test_a_floor_is_sharp_and_its_tail_heavy() -> None:
    upload_ms, reply_ms = made("floor", min=20, tail=15, shape=3).draw(N, np.random.default_rng(0))
    assert 20 <= upload_ms.min() < 20.01
    assert np.median(upload_ms) < 30
    assert upload_ms.mean() == pytest.approx(35, abs=0.5)
    # P(leg - min > x) = (1 + x / 30)^-3.
    assert (upload_ms > 20 + 90).mean() == pytest.approx(4**-3, abs=2e-3)
    assert abs(np.corrcoef(np.argsort(np.argsort(upload_ms)), np.argsort(np.argsort(reply_ms)))[0, 1]) < 0.01


@pytest.mark.parametrize("kind", KINDS)
def test_the_mean_of_a_leg_is_known(kind: str) -> None:
    settings = {"normal": (30, 40), "lognormal": (46, 24), "floor": (20, 15, 4)}[kind]
    drawn = distributions.parse(kind, kind, dict(zip(KINDS[kind].bounds, map(str, settings), strict=False)))
    assert drawn.draw(N, np.random.default_rng(0))[1].mean() == pytest.approx(drawn.leg_ms, rel=0.01)


@pytest.mark.parametrize("correlation", [0, 0.8, -0.8])
def test_the_reply_given_the_upload(correlation: float) -> None:
    """Each of the points is passed by its share of the replies, for short and for long uploads."""
    drawn = made("lognormal", mean=46, std=24, correlation=correlation)
    upload_ms, reply_ms = drawn.draw(N, np.random.default_rng(0))
    points_ms = drawn.reply_points(upload_ms)
    for some in (upload_ms < 30, upload_ms > 70):
        below = (reply_ms[some, None] <= np.broadcast_to(points_ms, (N, POINTS))[some]).mean(axis=0)
        assert below == pytest.approx(MIDDLES, abs=0.01)


def test_the_reply_of_a_shared_draw_is_certain() -> None:
    drawn = made("normal", mean=50, std=25)
    upload_ms, reply_ms = drawn.draw(5, np.random.default_rng(0))
    assert (drawn.reply_points(upload_ms) == reply_ms[:, None]).all()


def test_no_deviation_is_no_chance() -> None:
    for kind in ("normal", "lognormal"):
        drawn = made(kind, mean=50, std=0)
        assert np.concatenate(drawn.draw(9, np.random.default_rng(0))) == pytest.approx(np.full(18, 50.0))
        assert drawn.leg_ms == 50
        assert drawn.reply_points(np.full(9, 50.0)) == pytest.approx(50)


def test_draws_are_positive_however_wide() -> None:
    drawn = distributions.positive_normal(np.full((100, 3), 1.0), 100.0, np.random.default_rng(0))
    assert drawn.shape == (100, 3)
    assert drawn.min() > 0
