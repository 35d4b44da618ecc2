"""Records as rows: what the tables show, and what CSV has."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from ondevice import words
from ondevice.bench.names import names
from ondevice.bench.pairs import Pair, paired
from ondevice.bench.record import BenchRecord
from ondevice.bench.samples import ratio_of_medians
from ondevice.devices.emulation import Emulation
from ondevice.errors import UsageError

# A line has room for so many models.
_SHOWN = 4


def rows(records: Sequence[BenchRecord]) -> list[dict[str, Any]]:
    """A row a record, for people; scenario runs have other columns, and are not mixed with others."""
    named = list(zip(records, names(records), strict=True))
    if any(record.scenario for record in records):
        return [_scenario_row(record, name) for record, name in named if record.scenario]
    timed, others = any(record.decode for record in records), any(record.input_ends for record in records)
    return [_row(record, name, timed, others) for record, name in named]


def reasons(records: Sequence[BenchRecord]) -> list[str]:
    """A line for every record that is INVALID, and one for every emulation."""
    named = list(zip(records, names(records), strict=True))
    lines = [
        f"INVALID: {name}, {_threads(record)}: {'; '.join(record.reasons)}" for record, name in named if record.reasons
    ]
    return lines + [f"{name}: {Emulation(**r.emulation)}" for r, name in named if r.emulation]


def _row(record: BenchRecord, name: str, decode: bool, others: bool) -> dict[str, Any]:
    s, head = record.summary, _head(record, name)
    given = {"input": words.shown(record.input_ends)} if others else {}
    start = {"runs": record.num_runs, "init_ms": record.init_ms, "first_ms": record.warmup_first_ms}
    parts = {"decode_p50_ms": _median(record.decode_samples_ms)} if decode else {}
    figures = {field: getattr(s, field) for field in ("p50_ms", "p90_ms", "p95_ms", "p99_ms", "avg_ms", "std_ms")}
    memory = {"load_mb": _mb(record.init_mem_bytes), "peak_mb": _mb(record.overall_mem_bytes)}
    return {**head, **given, **start, **parts, **figures, **memory, "verdict": record.verdict}


def _scenario_row(record: BenchRecord, name: str) -> dict[str, Any]:
    scenario = record.scenario or {}
    fields = ("scenario", "metric", "value", "unit", "queries", "log_dir")
    return {**_head(record, name), **{field: scenario[field] for field in fields}, "verdict": record.verdict}


def _head(record: BenchRecord, name: str) -> dict[str, Any]:
    device = Emulation(**record.emulation).label if record.emulation else record.device
    return {"model": name, "device": device, "runtime": record.runtime, "threads": record.num_threads}


def _threads(record: BenchRecord) -> str:
    return f"{record.num_threads} thread{'s' * (record.num_threads > 1)}"


def _median(samples: Sequence[float]) -> float:
    from statistics import median

    return median(samples) if samples else math.nan


def _mb(size: int | None) -> str:
    return "" if size is None else f"{max(size, 0) / 1e6:.1f}"


def flat(record: BenchRecord) -> dict[str, Any]:
    """The record without its samples, nested facts under dotted names: a row of CSV."""
    kept = {name: value for name, value in record.as_dict().items() if not name.endswith("samples_ms")}
    return dict(_flattened(kept, ""))


def _flattened(table: dict[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for name, value in table.items():
        if isinstance(value, dict):
            yield from _flattened(value, f"{prefix}{name}.")
        else:
            yield prefix + name, _cell(value)


def _cell(value: Any) -> Any:
    return "; ".join(map(str, value)) if isinstance(value, list | tuple) else value


class ComparedRecords(NamedTuple):
    """The rows of two files' measurements, and in words those that have no other one, of either."""

    rows: list[dict[str, Any]]
    only_a: list[str]
    only_b: list[str]


def compared(a: Sequence[BenchRecord], b: Sequence[BenchRecord]) -> ComparedRecords:
    """A row for every model, thread count and device that both have: medians, B / A, and its 95 % interval.

    Raises UsageError where they have nothing in common.
    """
    shown = {id(record): name for record, name in zip((*a, *b), names((*a, *b)), strict=True)}
    found = paired(a, b)
    only_a, only_b = ([f"{shown[id(r)]}, {_threads(r)}" for r in side] for side in (found.only_a, found.only_b))
    if not found.pairs:
        raise UsageError(
            "the two files have no measurement of the same model, thread count and device in common: "
            f"A has {_listed(only_a)}; B has {_listed(only_b)}"
        )
    rows = [_comparison(pair, shown[id(pair.a)], shown[id(pair.b)]) for pair in found.pairs]
    return ComparedRecords(rows, only_a, only_b)


def _listed(texts: Sequence[str]) -> str:
    more = f" and {len(texts) - _SHOWN} more" if len(texts) > _SHOWN else ""
    return "; ".join(texts[:_SHOWN]) + more if texts else "none that was timed"


def _comparison(pair: Pair, a_name: str, b_name: str) -> dict[str, Any]:
    a, b = pair.a, pair.b
    ratio, low, high = ratio_of_medians(a.samples_ms, b.samples_ms)
    finding = "B is slower" if low > 1 else "B is faster" if high < 1 else "no difference shown"
    verdicts = [name for name, record in (("A", a), ("B", b)) if record.verdict == "INVALID"]
    doubts = ["another file"] * (not pair.same_file) + [f"{' and '.join(verdicts)} INVALID"] * bool(verdicts)
    return {
        "model": a_name if pair.same_file else f"{a_name}, {b_name}",
        "device": a.device,
        "threads": a.num_threads,
        "A runtime": a.runtime,
        "B runtime": b.runtime,
        "A p50_ms": a.summary.p50_ms,
        "B p50_ms": b.summary.p50_ms,
        "B / A": ratio,
        "low": low,
        "high": high,
        "finding": finding + (f" ({'; '.join(doubts)})" if doubts else ""),
    }
