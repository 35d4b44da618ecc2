"""What is learned of a model: its loads, its decoding, and what is refused."""

from __future__ import annotations

import math

import numpy as np
import pytest

from ondevice.cloud.backends.learning import Learned
from ondevice.timing.linear import Linear
from ondevice.timing.profile import dumps, loads
from ondevice.timing.recent import Recent

NO_TIMES = [math.nan, -1.0, -math.inf, math.inf]


def lognormal(n: int, sigma: float = 0.3, seed: int = 0) -> list[float]:
    return np.random.default_rng(seed).lognormal(2, sigma, n).tolist()


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
        with pytest.raises(ValueError, match="not a time in ms"):
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
    assert known.invoke.distribution.mean_ms < 15


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
    assert (profile.mean_ms, profile.std_ms) == (known.invoke.distribution.mean_ms, known.invoke.distribution.std_ms)
    assert profile.quantiles_ms == tuple(known.invoke.distribution.quantiles_ms)
    (again,) = loads(dumps([profile]))
    assert again.mean_ms == pytest.approx(profile.mean_ms, abs=1e-6)
