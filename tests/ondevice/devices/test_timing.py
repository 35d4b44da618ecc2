"""Timing a model against the bundled anchor, and the cache of such timings."""

from __future__ import annotations

import functools
import json
from pathlib import Path

import pytest

from ondevice import runtime as runtimes
from ondevice.devices import timing
from ondevice.devices.timing import ANCHORS, Timing, host_key
from ondevice.models import zoo
from ondevice.runtime import Model, Runtime

RUNTIME = runtimes.get()
SMALL = zoo.find("digits_xs_fp32")
CHECKSUM = SMALL.card.sha256
KEY = f"{CHECKSUM}.float"


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timing, "PASSES", 2)


def timed(runtime: Runtime = RUNTIME, checksum: str = CHECKSUM) -> Timing:
    return timing.of(functools.partial(Model, SMALL.path), checksum, "float", runtime)


def forbid_measuring(monkeypatch: pytest.MonkeyPatch) -> None:
    def measure(*_: object) -> list[Timing]:
        raise AssertionError("measured again")

    monkeypatch.setattr(timing, "measure", measure)


def cache(home: Path, runtime: Runtime = RUNTIME) -> Path:
    return home / "cache" / "timings" / f"{host_key(runtime)}.json"


def test_the_anchors_are_the_largest_of_the_bundled_family() -> None:
    bundled = [entry.card for entry in zoo.entries() if entry.origin == "bundled"]
    for kind, precision in (("float", "fp32"), ("quant", "int8")):
        largest = max((c for c in bundled if c.precision == precision), key=lambda c: c.size_bytes)
        assert ANCHORS[kind] == largest.name


def test_all_models_are_measured_against_the_same_anchor_and_every_block_is_told() -> None:
    steps: list[int] = []
    opened = [functools.partial(Model, zoo.find(name).path) for name in ("digits_xs_fp32", "digits_m_fp32")]
    small, large = timing.measure([(model, "float") for model in opened], lambda: steps.append(1))
    assert len(steps) == 2 * timing.PASSES
    assert 0 < small.host_ms < large.host_ms
    assert small.host_ms / small.relative == pytest.approx(large.host_ms / large.relative)


def test_the_best_pass_counts_over_the_best_of_the_kinds_own_anchor(monkeypatch: pytest.MonkeyPatch) -> None:
    blocks = {"digits_l_fp32": [16.0, 10.0], "digits_l_int8": [4.0, 5.0], "digits_xs_fp32": [3.0, 3.0, 2.0, 7.0]}
    monkeypatch.setattr(timing, "_block_ms", lambda model: blocks[model.path.stem].pop(0))
    opener = functools.partial(Model, SMALL.path)
    assert timing.measure([(opener, "float"), (opener, "quant")]) == [Timing(2.0, 0.2), Timing(3.0, 0.75)]


def test_the_second_call_is_answered_from_the_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    first = timed()
    forbid_measuring(monkeypatch)
    assert timed() == first


def test_another_model_is_measured_and_both_are_kept(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = timed(), timed(checksum="0" * 64)
    assert set(json.loads(cache(home).read_text())) == {KEY, "0" * 64 + ".float"}
    forbid_measuring(monkeypatch)
    assert (timed(), timed(checksum="0" * 64)) == (first, second)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "null",
        '{"%s": 3}',
        '{"%s": [1]}',
        '{"%s": [1, 2, 3]}',
        '{"%s": ["a", "b"]}',
        '{"%s": [1, null]}',
        '{"%s": [NaN, 1]}',
        '{"%s": [1, Infinity]}',
        '{"%s": [0, 1]}',
        '{"%s": [1, -1]}',
    ],
)
def test_a_corrupt_cache_is_measured_again_and_mended(home: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    path = cache(home)
    path.parent.mkdir(parents=True)
    path.write_text(text.replace("%s", KEY))
    measured = Timing(1.5, 0.25)
    monkeypatch.setattr(timing, "measure", lambda *_: [measured])
    assert timed() == measured
    forbid_measuring(monkeypatch)
    assert timed() == measured
    assert json.loads(path.read_text()) == {KEY: [1.5, 0.25]}


def test_a_cache_of_other_bytes_is_measured_again(home: Path) -> None:
    cache(home).parent.mkdir(parents=True)
    cache(home).write_bytes(b"\xff\xfe\x00")
    assert timed().host_ms > 0
    assert KEY in json.loads(cache(home).read_text())


def test_an_unwritable_cache_costs_nothing_else(home: Path) -> None:
    (home / "cache").write_text("I am no folder")
    assert timed().host_ms > 0
    assert (home / "cache").read_text() == "I am no folder"


def test_another_runtime_has_another_key(home: Path) -> None:
    other = RUNTIME._replace(version="0.0.1")
    assert host_key(other) != host_key(RUNTIME)
    timed()
    timed(other)
    assert {p.name for p in cache(home).parent.glob("*.json")} == {cache(home).name, cache(home, other).name}
