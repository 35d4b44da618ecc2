"""The record: whole after a round trip through a file, and one line for a file that has none."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ondevice._version import __version__
from ondevice.bench import record, table
from ondevice.bench.measure import measure
from ondevice.bench.record import BenchRecord
from ondevice.bench.samples import summary
from ondevice.bench.spec import Spec
from ondevice.devices.emulation import Emulation
from ondevice.errors import UsageError
from ondevice.limits.limits import Limits
from ondevice.models import files, zoo

EMULATION = Emulation(
    device="pixel-3", threads=4, predicted_ms=15.2, host_ms=3.4, error=0.06, worst=0.13, models=21, basis="shipped fit",
    load_ms=40.0, load_basis="file size", spread_basis="borrowed",
).as_dict()  # fmt: skip
QUICK: dict[str, Any] = {"warmup": 2, "runs": 5, "min_secs": 0}


@pytest.fixture(scope="module")
def real() -> BenchRecord:
    return measure(Spec("digits_xs_int8", **QUICK))


def as_json(records: list[BenchRecord]) -> str:
    return json.dumps([r.as_dict() for r in records], allow_nan=False)


def as_jsonl(records: list[BenchRecord]) -> str:
    return "".join(json.dumps(r.as_dict()) + "\n" for r in records)


def through(folder: Path, text: str) -> list[BenchRecord]:
    (folder / "records").write_text(text)
    return record.read(folder / "records")


def test_a_real_record_has_all_that_is_needed_to_judge_it(real: BenchRecord) -> None:
    entry = zoo.find("digits_xs_int8")
    assert (real.model, real.precision, real.path) == ("digits_xs_int8", "int8", str(entry.path))
    assert (real.sha256, real.model_size_bytes) == (files.sha256(entry.path), entry.path.stat().st_size)
    name, version = real.runtime.split()
    assert name in ("litert", "tflite-runtime", "tensorflow")
    assert version[0].isdigit()
    assert (real.num_threads, real.emulated, real.device) == (1, False, real.host["cpu_model"])
    assert (real.input, real.decode, real.limits, real.version) == ("random", False, {}, __version__)
    assert {"cores", "usable_cores", "cpu_quota", "governor", "temperature_c", "throttled", "system"} <= set(real.host)
    assert real.num_runs == len(real.samples_ms) == 5
    assert real.verdict == "INVALID"
    assert real.reasons[0] == "too few runs: 5 of 50"
    assert real.summary == pytest.approx(summary(real.samples_ms), nan_ok=True)


def test_json_has_the_samples_and_beside_them_what_follows_from_them(real: BenchRecord) -> None:
    found = json.loads(as_json([real]))[0]
    assert found["samples_ms"] == list(real.samples_ms)
    assert (found["num_runs"], found["p50_ms"], found["p99_ms"]) == (5, real.summary.p50_ms, None)


@pytest.mark.parametrize("form", [as_json, as_jsonl])
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"limits": {"cpus": [0, 1], "cpu_quota": 0.5, "memory_bytes": 1}, "reasons": ("a", "b"), "verdict": "INVALID"},
        {"decode": True, "decode_samples_ms": (0.1,) * 5},
        {"emulated": True, "emulation": EMULATION, "cpu_per_wall": None, "other_cpu": None},
        {"samples_ms": ()},
    ],
)
def test_it_is_the_same_after_a_round_trip(
    real: BenchRecord, tmp_path: Path, changes: dict[str, Any], form: Callable[[list[BenchRecord]], str]
) -> None:
    records = [replace(real, **changes), real]
    again = through(tmp_path, form(records))
    assert again == records
    assert again[0].summary == pytest.approx(records[0].summary, nan_ok=True)
    assert repr(table.rows(again)) == repr(table.rows(records))


def test_a_measured_record_under_limits_is_the_same_after_a_round_trip(tmp_path: Path) -> None:
    limited = measure(Spec("digits_xs_int8", **QUICK), Limits(cpus=(0,), memory_bytes=500 << 20))
    assert through(tmp_path, as_json([limited])) == [limited]


@pytest.mark.parametrize("written", [None, math.nan])
def test_what_was_interrupted_before_the_warm_up_has_no_figure_for_it(
    real: BenchRecord, tmp_path: Path, written: float | None
) -> None:
    rows = [real.as_dict() | {"warmup_first_ms": written, "warmup_avg_ms": written, "samples_ms": []}]
    (again,) = through(tmp_path, json.dumps(rows))
    assert math.isnan(again.warmup_first_ms)
    assert math.isnan(again.warmup_avg_ms)
    assert all(map(math.isnan, again.summary))
    assert again.init_ms == real.init_ms
    # What is not a number is null in strict JSON, and so it stays.
    assert repr(through(tmp_path, as_json([again]))) == repr([again])  # as NaN is not equal to itself


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b"\n",
        b"{",
        b"[1, 2]",
        b"null",
        b"5",
        b'"text"',
        b"not json",
        b"\xff\xfe\x00",
        b"[" * 100_000,
        b'[{"schema": 1}]',
        b'[{"schema": 2, "model": "m"}]',
        b'{"model": "m", "mean_ms": 3}\n',
        b'[{"model": "m", "quantiles_ms": [1, 2]}]',
    ],
)
def test_a_file_without_records_is_one_line(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "foreign.json"
    path.write_bytes(content)
    with pytest.raises(UsageError, match=r"foreign\.json: ") as caught:
        record.read(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "damage",
    [
        {"samples_ms": "text"},
        {"samples_ms": None},
        {"samples_ms": [[1.0, 2.0]]},
        {"decode_samples_ms": 3},
        {"reasons": 5},
        {"num_threads": "two"},
        {"init_ms": "soon"},
        {"host": [1]},
        {"limits": 3},
        {"emulation": {"x": 1}},
        {"scenario": {"x": 1}},
    ],
)
def test_a_damaged_record_is_one_line(real: BenchRecord, tmp_path: Path, damage: dict[str, Any]) -> None:
    path = tmp_path / "damaged.json"
    path.write_text(json.dumps([real.as_dict() | damage]))
    with pytest.raises(UsageError, match=r"damaged\.json: .*--format json") as caught:
        record.read(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("name", "said"), [("nowhere.json", "no such file"), (".", "is a directory")])
def test_a_file_that_cannot_be_read_is_one_line(tmp_path: Path, name: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        record.read(tmp_path / name)
