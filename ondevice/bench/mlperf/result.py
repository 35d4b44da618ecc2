"""What LoadGen found, as its detail log has it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ondevice.bench.mlperf.logs import DETAIL_LOG, entries
from ondevice.bench.mlperf.settings import LOADGEN
from ondevice.errors import OnDeviceError

# LoadGen's log counts in nanoseconds.
_SCALES = {"ms": 1e-6, "1/s": 1.0}
_DETAILS = ("result_", "early_stopping_", "generated_", "requested_server_target_")
_CONDITIONS = {
    "result_perf_constraints_met": "performance constraints",
    "result_min_duration_met": "min duration",
    "result_min_queries_met": "min queries",
    "early_stopping_met": "early stopping",
}


@dataclass(frozen=True)
class ScenarioResult:
    """What LoadGen found.

    value: `metric` in `unit`. Server's is the rate at which queries were completed; it was sought or asked for as
    `details["requested_server_target_qps"]`. reasons: why LoadGen calls the run INVALID, in its words. queries: how
    many it issued; offline issues one. details: the figures of its detail log under their names there, latencies in ns
    (in `early_stopping_latency_ss` and `_ms` too: these stand for single- and multi-stream).
    """

    scenario: str
    metric: str
    value: float
    unit: str
    valid: bool
    reasons: tuple[str, ...]
    queries: int
    log_dir: str
    details: dict[str, float]


def read(scenario: str, folder: Path) -> ScenarioResult:
    """The result of a run of `scenario` from its logs in `folder`. Raises OnDeviceError where they have none."""
    form, found = LOADGEN[scenario], list(entries(folder))
    log = {entry["key"]: entry["value"] for entry in found}
    if "result_validity" not in log:
        raise OnDeviceError(f"{folder / DETAIL_LOG}: LoadGen gave no result; is the disk full?")
    valid = log["result_validity"] == "VALID"
    errors = [str(entry["value"]) for entry in found if entry["metadata"]["is_error"]]
    details = {k: float(v) for k, v in log.items() if k.startswith(_DETAILS) and type(v) in (int, float)}
    return ScenarioResult(
        scenario, form.metric, details.get(form.key, math.nan) * _SCALES[form.unit], form.unit, valid,
        () if valid else (*_unmet(log), *errors), int(log["result_query_count"]), str(folder), details,
    )  # fmt: skip


def _unmet(log: dict[str, Any]) -> Iterator[str]:
    """The conditions that were not met, worded as in LoadGen's summary."""
    for key, words in _CONDITIONS.items():
        if log.get(key) is False:
            detail = log["early_stopping_result"].replace("*", "").split() if key == "early_stopping_met" else []
            yield f"{words} not satisfied" + (f": {' '.join(detail)}" if detail else "")
