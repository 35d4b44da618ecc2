"""Drift and outages: by hand, and against a clock that stands still."""

from __future__ import annotations

import numpy as np
import pytest

from ondevice.errors import UsageError
from ondevice.lab.simulate.disturbances import Drift, Outage


def test_drift_in_one_step_and_steadily() -> None:
    assert Drift.of("2@3").factors(1, 4).tolist() == [1, 1, 2, 2]
    assert Drift.of("3@1-4").factors(0, 6).tolist() == pytest.approx([1, 1.5, 2, 2.5, 3, 3])
    assert Drift().factors(7, 2).tolist() == [1, 1]


def test_drift_does_not_depend_on_how_requests_are_cut() -> None:
    drift = Drift.of("0.5@10-50")
    whole = drift.factors(0, 80)
    assert np.concatenate([drift.factors(0, 33), drift.factors(33, 47)]).tolist() == whole.tolist()


@pytest.mark.parametrize("text", ["2", "2@", "@3", "2@x", "0@3", "-1@3", "nan@3", "2@9-3", "2@-3"])
def test_what_is_no_drift(text: str) -> None:
    with pytest.raises(UsageError, match="drift"):
        Drift.of(text)


@pytest.mark.parametrize("text", ["3", "a:b", "3:0", "-1:2", "3:5:5", "3:5:4", "1:2:3:4", "nan:1", "inf:1"])
def test_what_is_no_outage(text: str) -> None:
    with pytest.raises(UsageError, match="START:LENGTH"):
        Outage.of(text)


def stepped_ms(outage: Outage, at_ms: float, took_ms: float) -> float:
    """By a clock of 1 ms, for times in whole ms."""
    now, left = int(at_ms), int(took_ms)
    while left:
        since = now - outage.start_ms
        shut = since >= 0 and (since % outage.every_ms if outage.every_ms < 1e9 else since) < outage.length_ms
        left -= not shut
        now += 1
    return now - at_ms


@pytest.mark.parametrize("text", ["0.05:0.02", "0.05:0.02:0.03", "0:0.01:0.1"])
def test_what_is_under_way_stands_still(text: str) -> None:
    outage, rng = Outage.of(text), np.random.default_rng(0)
    at_ms, took_ms = rng.integers(0, 200, 300).astype(float), rng.integers(1, 60, 300).astype(float)
    expected = [stepped_ms(outage, a, t) for a, t in zip(at_ms, took_ms, strict=True)]
    assert outage.stretched_ms(at_ms, took_ms).tolist() == pytest.approx(expected)


def test_an_outage_by_hand() -> None:
    outage = Outage.of("10:2")
    at_ms = np.array([0.0, 9000, 9500, 10500, 12000])
    assert outage.stretched_ms(at_ms, np.full(5, 1000.0)).tolist() == [1000, 1000, 3000, 2500, 1000]
    assert outage.stretched_ms(at_ms[:, None], np.full((1, 3), 1000.0)).shape == (5, 3)
    # What takes no time waits for the end all the same.
    assert outage.stretched_ms(at_ms, np.zeros(5)).tolist() == [0, 0, 0, 1500, 0]
    assert Outage.of("10:2:5").stretched_ms(np.array([16000.0, 9000.0]), np.zeros(2)).tolist() == [1000, 0]
