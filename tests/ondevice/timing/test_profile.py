"""The profile: its figures, the way through JSON, and what is none."""

from __future__ import annotations

import json
import statistics

import numpy as np
import pytest

from ondevice.timing.profile import Profile, dumps, loads
from ondevice.timing.quantiles import LEVELS

SAMPLES = np.random.default_rng(0).lognormal(2, 0.3, 500).tolist()


def made() -> Profile:
    return Profile.of("m", SAMPLES, "pixel-3", "litert 2.3.0", 4)


def test_figures() -> None:
    profile = made()
    assert (profile.model, profile.host, profile.runtime, profile.threads) == ("m", "pixel-3", "litert 2.3.0", 4)
    assert profile.n == 500
    assert profile.mean_ms == pytest.approx(statistics.fmean(SAMPLES))
    assert profile.std_ms == pytest.approx(statistics.stdev(SAMPLES))
    assert profile.quantiles_ms == pytest.approx(np.quantile(SAMPLES, np.arange(0, 1.01, 0.05)))


def test_quantiles_by_hand() -> None:
    profile = Profile.of("m", [float(value) for value in range(21)], "h", "r", 1)
    assert profile.quantiles_ms == pytest.approx(range(21))
    assert len(LEVELS) == 21


def test_through_json_to_a_nanosecond() -> None:
    again = loads(dumps([made(), made()]))
    assert len(again) == 2
    assert (again[0].model, again[0].n, again[0].threads) == ("m", 500, 4)
    assert again[0].mean_ms == pytest.approx(made().mean_ms, abs=1e-6)
    assert again[0].quantiles_ms == pytest.approx(made().quantiles_ms, abs=1e-6)
    assert loads(dumps(again)) == again


def test_none_at_all() -> None:
    assert loads(dumps([])) == []


@pytest.mark.parametrize(
    "text",
    ["", "{", "5", "null", "[1]", '["text"]', '{"model": "m"}', "[{}]", '[{"model": "m", "quantiles_ms": [1]}]',
     '[{"quantiles_ms": 3}]', json.dumps([{"surplus": 1, **json.loads(dumps([made()]))[0]}])],
)  # fmt: skip
def test_what_is_no_list_of_profiles(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        loads(text)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"mean_ms": -1.0}, "m: its profile has a time"),
        ({"std_ms": 1e300}, "m: its profile has a time"),
        ({"quantiles_ms": [1.0] * 20}, "m: its profile needs 21 quantiles that never fall"),
        ({"quantiles_ms": [2.0] + [1.0] * 20}, "m: its profile needs 21 quantiles that never fall"),
        ({"n": -1}, "m: its profile has a number of runs or threads below 0"),
    ],
)
def test_what_cannot_be_is_not_loaded(changes: dict[str, object], said: str) -> None:
    row = json.loads(dumps([made()]))[0]
    with pytest.raises(ValueError, match=said):
        loads(json.dumps([{**row, **changes}]))


def test_what_it_says_of_the_time() -> None:
    known = made().distribution
    assert known.figures == (made().mean_ms, made().std_ms, made().quantiles_ms)
    assert Profile("m", *known.figures, 500, "pixel-3", "litert 2.3.0", 4) == made()
