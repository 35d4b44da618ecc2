"""When requests come: rates, bursts, files, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ondevice.errors import OnDeviceError, UsageError
from ondevice.lab.simulate.arrivals import ALONE, find
from ondevice.timing.arrays import FloatArray


def times(text: str, n: int = 50_000, carries_per_s: float = 10.0) -> FloatArray:
    return find(text).clock(carries_per_s, np.random.default_rng(0))(n)


@pytest.mark.parametrize(
    ("text", "rate_per_s"),
    [("alone", 1), ("poisson:rate=20", 20), ("poisson:load=1.2", 12), ("bursts:rate=20,factor=5,length=2", 20)],
)
def test_the_rate_is_held_in_the_mean(text: str, rate_per_s: float) -> None:
    at_ms = times(text, 300_000)
    assert (np.diff(at_ms) >= 0).all()
    assert at_ms[-1] == pytest.approx(len(at_ms) / rate_per_s * 1e3, rel=0.06)


def test_gaps_of_poisson_arrivals_are_exponential() -> None:
    gaps_ms = np.diff(times("poisson:rate=20"))
    assert gaps_ms.std() == pytest.approx(50, rel=0.03)
    assert (gaps_ms > 100).mean() == pytest.approx(np.exp(-2), abs=0.01)


def test_bursts_have_the_rate_within_and_silence_between() -> None:
    gaps_ms = np.diff(times("bursts:rate=20,factor=5,length=2"))
    assert np.median(gaps_ms) == pytest.approx(10 * np.log(2), rel=0.05)
    # Of 200 requests, which are a burst, one has a silence of 8 s in the mean before it.
    long_ms = gaps_ms[gaps_ms > 500]
    assert len(long_ms) == pytest.approx(len(gaps_ms) / 200 * np.exp(-0.5 / 8), rel=0.2)
    assert long_ms.mean() == pytest.approx(8000, rel=0.2)


@pytest.mark.parametrize("text", ["alone", "poisson:rate=20", "bursts:rate=20,factor=5,length=0.1"])
def test_the_clock_goes_on(text: str) -> None:
    clock = find(text).clock(10, np.random.default_rng(0))
    at_ms = np.concatenate([clock(100), clock(1), clock(300)])
    assert (np.diff(at_ms) >= 0).all()


def test_a_file_is_played_again_when_it_ends(tmp_path: Path) -> None:
    path = tmp_path / "arrivals"
    path.write_text("0\n5\n5\n20\n")
    clock = find(f"file:{path}").clock(10, np.random.default_rng(0))
    assert [*clock(3), *clock(6)] == [0, 5, 5, 20, 20, 25, 25, 40, 40]


def test_only_alone_never_waits(tmp_path: Path) -> None:
    assert find("alone") is ALONE
    assert not ALONE.queued
    assert find("poisson:rate=1").queued


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("poison:rate=3", "no load 'poison'; did you mean poisson"),
        ("poisson", "give one of rate="),
        ("poisson:rate=0", "give one of rate="),
        ("poisson:rate=3,load=1", "give one of rate="),
        ("poisson:rate=-3", "rate is a number from 0"),
        ("poisson:factor=3", "no setting of poisson 'factor'"),
        ("bursts:rate=3,factor=1", "factor is a number above 1"),
        ("bursts:rate=3,length=0", "length is a number above 0"),
        ("alone:rate=3", "no setting of alone 'rate'; there are none"),
        ("file:", "write file:FILE"),
    ],
)
def test_what_is_no_load(text: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        find(text)


def test_a_file_that_is_none_says_its_line(tmp_path: Path) -> None:
    (tmp_path / "bad").write_text("1\n2\nthree\n")
    with pytest.raises(OnDeviceError, match="line 3"):
        find(f"file:{tmp_path / 'bad'}")
