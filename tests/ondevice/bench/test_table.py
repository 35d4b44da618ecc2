"""Records as rows: for people, for CSV, and two files against each other."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from ondevice.bench import table
from ondevice.bench.measure import measure
from ondevice.bench.record import BenchRecord
from ondevice.bench.spec import Spec
from ondevice.cli import console
from ondevice.devices.emulation import Emulation
from ondevice.errors import UsageError

EMULATION = Emulation(
    device="pixel-3", threads=4, predicted_ms=15.2, host_ms=3.4, error=0.06, worst=0.13, models=21, basis="shipped fit",
    load_ms=40.0, load_basis="file size", spread_basis="borrowed",
).as_dict()  # fmt: skip
SCENARIO = {
    "scenario": "offline", "metric": "samples per second", "value": 120.5, "unit": "1/s", "valid": True, "reasons": [],
    "queries": 1, "log_dir": "logs", "details": {},
}  # fmt: skip


@pytest.fixture(scope="module")
def real() -> BenchRecord:
    found = measure(Spec("digits_xs_int8", warmup=1, runs=5, min_secs=0))
    return replace(found, device="this one", samples_ms=(1.0, 2.0, 3.0, 4.0, 5.0), verdict="VALID", reasons=())


def noisy(scale: float) -> tuple[float, ...]:
    return tuple((scale * np.random.default_rng(0).normal(10, 0.5, 200)).tolist())


def test_a_row_has_what_was_measured_and_on_what(real: BenchRecord) -> None:
    (row,) = table.rows([replace(real, init_ms=7.5, init_mem_bytes=2_000_000, overall_mem_bytes=3_140_000)])
    assert row | {"model": "digits_xs_int8", "device": "this one", "threads": 1, "runtime": real.runtime} == row
    assert row | {"runs": 5, "init_ms": 7.5, "p50_ms": 3.0, "p90_ms": 4.6, "avg_ms": 3.0, "verdict": "VALID"} == row
    assert math.isnan(row["p99_ms"])
    assert (row["load_mb"], row["peak_mb"]) == ("2.0", "3.1")
    assert "decode_p50_ms" not in row


def test_what_is_not_known_is_a_dash_or_nothing(real: BenchRecord) -> None:
    unknown = replace(
        real, samples_ms=(), warmup_first_ms=math.nan, init_mem_bytes=None, overall_mem_bytes=None, init_ms=1.0
    )
    lines = console.table(table.rows([unknown]), ".3f").splitlines()
    assert lines[2].split()[5:] == ["1", "0", "1.000", *["-"] * 7, "VALID"]


def test_decoding_has_a_column_where_any_was_timed(real: BenchRecord) -> None:
    rows = table.rows([replace(real, decode=True, decode_samples_ms=(0.5, 0.25, 0.5, 1.0, 2.0)), real])
    assert rows[0]["decode_p50_ms"] == 0.5
    assert math.isnan(rows[1]["decode_p50_ms"])
    assert list(rows[0]) == list(rows[1])


def test_an_emulated_figure_always_says_so(real: BenchRecord) -> None:
    emulated = replace(real, emulated=True, device="pixel-3", num_threads=4, emulation=EMULATION)
    assert table.rows([emulated])[0]["device"] == "pixel-3 (emulated ± 6%)"
    (line,) = table.reasons([emulated])
    assert line == f"digits_xs_int8: {Emulation(**EMULATION)}"
    assert "emulated pixel-3: 15.2 ms an inference, shipped fit; load time: file size" in line


def test_a_scenario_has_columns_of_its_own(real: BenchRecord) -> None:
    rows = table.rows([real, replace(real, scenario=SCENARIO)])
    assert len(rows) == 1
    assert rows[0] | {"scenario": "offline", "value": 120.5, "unit": "1/s", "queries": 1, "verdict": "VALID"} == rows[0]
    assert {"model", "device", "runtime", "threads"} <= set(rows[0])
    assert "p50_ms" not in rows[0]


@pytest.mark.parametrize(("threads", "named"), [(1, "1 thread"), (2, "2 threads")])
def test_a_line_for_every_invalid_one(real: BenchRecord, threads: int, named: str) -> None:
    bad = replace(real, num_threads=threads, verdict="INVALID", reasons=("busy", "too few"))
    assert table.reasons([real, bad, real]) == [f"INVALID: digits_xs_int8, {named}: busy; too few"]
    assert table.reasons([real]) == []


def test_a_flat_row_has_dotted_names_and_no_samples(real: BenchRecord) -> None:
    row = table.flat(replace(real, limits={"cpus": (0, 1), "cpu_quota": 0.5}, reasons=("a", "b"), emulation=EMULATION))
    assert row | {"limits.cpus": "0; 1", "limits.cpu_quota": 0.5, "reasons": "a; b", "emulation.error": 0.06} == row
    assert (row["host.cores"], row["p50_ms"], row["num_runs"]) == (real.host["cores"], 3.0, 5)
    assert not [key for key, value in row.items() if "samples" in key or isinstance(value, dict | list | tuple)]


def test_two_that_are_alike(real: BenchRecord) -> None:
    (row,), *_ = table.compared([replace(real, samples_ms=noisy(1))], [replace(real, samples_ms=noisy(1)[::-1])])
    assert row["A p50_ms"] == row["B p50_ms"] == pytest.approx(10, rel=0.05)
    assert row["low"] <= row["B / A"] == 1 <= row["high"]
    assert row["finding"] == "no difference shown"


@pytest.mark.parametrize(("a", "b", "finding"), [(1.0, 1.2, "B is slower"), (1.2, 1.0, "B is faster")])
def test_two_that_are_not(real: BenchRecord, a: float, b: float, finding: str) -> None:
    (row,), *_ = table.compared(
        [replace(real, samples_ms=noisy(a), runtime="old 1")], [replace(real, samples_ms=noisy(b), runtime="new 2")]
    )
    assert row["B / A"] == pytest.approx(b / a)
    assert (row["A runtime"], row["B runtime"], row["finding"]) == ("old 1", "new 2", finding)


def test_what_is_invalid_is_said_beside_the_finding(real: BenchRecord) -> None:
    valid, bad = (replace(real, samples_ms=noisy(1), verdict=verdict) for verdict in ("VALID", "INVALID"))
    findings = [table.compared([a], [b]).rows[0]["finding"] for a, b in ((valid, bad), (bad, valid), (bad, bad))]
    assert [text.partition(" (")[2] for text in findings] == ["B INVALID)", "A INVALID)", "A and B INVALID)"]


def test_only_what_both_have_is_compared_and_the_rest_is_named(real: BenchRecord) -> None:
    a = [real, replace(real, num_threads=2), replace(real, model="m", path="m", sha256="m")]
    b = [replace(real, num_threads=2), real, replace(real, model="n", path="n", sha256="n", num_threads=3)]
    found = table.compared(a, b)
    assert [row["threads"] for row in found.rows] == [1, 2]
    assert (found.only_a, found.only_b) == (["m, 1 thread"], ["n, 3 threads"])


def test_a_file_that_lies_elsewhere_is_the_same_one(real: BenchRecord) -> None:
    (row,), *_ = table.compared([real], [replace(real, model="renamed", path="/there/renamed.tflite")])
    assert (row["model"], row["finding"]) == ("digits_xs_int8", "no difference shown")


def test_two_files_of_one_name_are_told_apart_in_every_row(real: BenchRecord) -> None:
    a, b = (replace(real, model="model", path=f"/x/{f}/model.tflite", sha256=f, reasons=("busy",)) for f in "ab")
    assert [row["model"] for row in table.rows([a, b])] == ["a/model", "b/model"]
    assert [line.split(",")[0] for line in table.reasons([a, b])] == ["INVALID: a/model", "INVALID: b/model"]
    found = table.compared([a, b], [b, a])
    assert [(row["model"], row["finding"]) for row in found.rows] == [
        ("a/model", "no difference shown"),
        ("b/model", "no difference shown"),
    ]


def test_another_file_of_the_name_is_compared_and_said_to_be_another(real: BenchRecord) -> None:
    a = replace(real, model="model", path="/x/old/model.tflite", sha256="a", samples_ms=noisy(1))
    b = replace(real, model="model", path="/x/new/model.tflite", sha256="b", samples_ms=noisy(9), verdict="INVALID")
    (row,), *_ = table.compared([a], [b])
    assert (row["model"], row["finding"]) == ("old/model, new/model", "B is slower (another file; B INVALID)")
    (row,), *_ = table.compared([a], [replace(a, sha256="b" * 64)])
    assert (row["model"], row["finding"]) == ("model (a), model (bbbbbbbb)", "no difference shown (another file)")


@pytest.mark.parametrize(
    "changes",
    [
        {"model": "other", "path": "other", "sha256": "other"},
        {"num_threads": 2},
        {"device": "elsewhere"},
        {"decode": True},
        {"samples_ms": ()},
    ],
)
def test_nothing_in_common_is_one_line(real: BenchRecord, changes: dict[str, Any]) -> None:
    said = "no measurement of the same model, thread count and device in common: A has digits_xs_int8, 1 thread; B has "
    with pytest.raises(UsageError, match=said) as caught:
        table.compared([real], [replace(real, **changes)])
    assert "\n" not in str(caught.value)
