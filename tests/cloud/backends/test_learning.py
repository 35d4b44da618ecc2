"""What is learned of a model: its loads, its decoding, and what is refused."""

from __future__ import annotations

import math

import numpy as np
import pytest

from ondevice.cloud.backends.learning import Learned, OwnOverhead
from ondevice.timing.profile import dumps, loads
from ondevice.timing.recent import Recent

NO_TIMES = [math.nan, -1.0, -math.inf, math.inf]


def lognormal(n: int, sigma: float = 0.3, seed: int = 0) -> list[float]:
    return np.random.default_rng(seed).lognormal(2, sigma, n).tolist()


def test_loads_are_averaged() -> None:
    known = Learned("m", Recent([1.0]))
    assert known.loading_ms(0.0) == 0.0, "it was never loaded"
    known.loaded(100.0, 0.0)
    assert known.loading_ms(0.0) == 100.0
    known.loaded(200.0, 0.0)
    assert 100 < known.loading_ms(0.0) < 150
    for _ in range(40):
        known.loaded(200.0, 0.0)
    assert known.loading_ms(0.0) == pytest.approx(200.0, rel=1e-3)


def test_a_load_that_took_long_is_forgotten() -> None:
    known = Learned("m", Recent([1.0]))
    known.loaded(100.0, 0.0)
    known.loaded(60_000.0, 1000.0)
    expected_ms = [known.loading_ms(now) for now in (1000.0, 1060.0, 1120.0, 1600.0)]
    assert expected_ms[0] > 10_000
    assert expected_ms[1] - 100 == pytest.approx((expected_ms[0] - 100) / 2)
    assert expected_ms == sorted(expected_ms, reverse=True)
    assert expected_ms[3] == pytest.approx(100, rel=0.5), "else what it did to the choice would last for good"


@pytest.mark.parametrize("ms", NO_TIMES)
def test_a_load_takes_a_time(ms: float) -> None:
    known = Learned("m", Recent([1.0]))
    for before in (None, 5.0):
        known.load_ms = before
        with pytest.raises(ValueError, match="not a time in ms"):
            known.loaded(ms, 0.0)
        assert known.load_ms == before


def test_stale_after_a_time_without_use() -> None:
    known = Learned("m", Recent([1.0]))
    assert known.stale(0.0, 1e9, 0.0), "it never ran"
    known.used_at = 100.0
    assert not known.stale(101.0, 2.0, 0.0)
    assert known.stale(102.5, 2.0, 0.0)
    assert not known.stale(102.5, 2.0, 30.0), "what takes long is measured more seldom"


def test_renewed() -> None:
    known = Learned("m", Recent([30.0] * 100))
    known.renew([10.0] * 5)
    assert known.invoke.distribution.mean_ms < 15


def test_the_way_through_is_what_no_part_explains() -> None:
    overhead = OwnOverhead()
    for _ in range(200):
        overhead.add(30.0, 28.0)
    assert overhead.ms == pytest.approx(2.0, rel=0.01)
    overhead.add(5.0, 6.0)  # the worker's clock is another
    assert 0 < overhead.ms < 2


def test_its_profile() -> None:
    known = Learned("m", Recent(lognormal(100)))
    profile = known.profile("h", "r 1", 2)
    assert (profile.model, profile.host, profile.runtime, profile.threads, profile.n) == ("m", "h", "r 1", 2, 100)
    assert (profile.mean_ms, profile.std_ms) == (known.invoke.distribution.mean_ms, known.invoke.distribution.std_ms)
    assert profile.quantiles_ms == tuple(known.invoke.distribution.quantiles_ms)
    (again,) = loads(dumps([profile]))
    assert again.mean_ms == pytest.approx(profile.mean_ms, abs=1e-6)
