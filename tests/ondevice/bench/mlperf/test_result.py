"""What LoadGen's detail log says."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from ondevice.bench.mlperf.result import read
from ondevice.errors import OnDeviceError

RUN = {"result_validity": "VALID", "result_query_count": 64, "result_90.00_percentile_latency_ns": 2_500_000}


def log(folder: Path, *lines: str, **found: Any) -> Path:
    rows = [{"key": key, "value": value, "metadata": {"is_error": False}} for key, value in {**RUN, **found}.items()]
    text = [f":::MLLOG {json.dumps(row)}" for row in rows]
    (folder / "mlperf_log_detail.txt").write_text("\n".join([*text, *lines, ""]))
    return folder


def test_a_valid_run(tmp_path: Path) -> None:
    result = read("single-stream", log(tmp_path, generated_query_count=70, effective_scenario="SingleStream"))
    assert (result.value, result.unit, result.valid, result.reasons, result.queries) == (2.5, "ms", True, (), 64)
    assert set(result.details) == {"result_query_count", "result_90.00_percentile_latency_ns", "generated_query_count"}


def test_an_invalid_run_has_its_conditions_and_errors_as_reasons(tmp_path: Path) -> None:
    error = json.dumps({"key": "error_runtime", "value": "too slow", "metadata": {"is_error": True}})
    folder = log(
        tmp_path,
        f":::MLLOG {error}",
        result_validity="INVALID",
        result_min_queries_met=False,
        result_min_duration_met=True,
        early_stopping_met=False,
        early_stopping_result=" * Only processed\n 5 queries.",
    )
    assert read("single-stream", folder).reasons == (
        "min queries not satisfied", "early stopping not satisfied: Only processed 5 queries.", "too slow"
    )  # fmt: skip


def test_a_figure_that_is_not_a_number(tmp_path: Path) -> None:
    # LoadGen writes a rate over no time as nan, which is not JSON.
    nan = ':::MLLOG {"key": "result_samples_per_second", "value": -nan, "metadata": {"is_error": false}}'
    assert math.isnan(read("offline", log(tmp_path, nan)).value)


def test_a_log_without_a_result(tmp_path: Path) -> None:
    (tmp_path / "mlperf_log_detail.txt").write_text("")
    with pytest.raises(OnDeviceError, match=r"mlperf_log_detail\.txt: LoadGen gave no result; is the disk full\?$"):
        read("server", tmp_path)
