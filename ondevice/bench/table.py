"""Records as rows: what the tables show, and what CSV has."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from ondevice.bench.record import BenchRecord
from ondevice.bench.samples import ratio_of_medians
from ondevice.devices.emulation import Emulation
from ondevice.errors import UsageError


def rows(records: Sequence[BenchRecord]) -> list[dict[str, Any]]:
    """A row a record, for people; scenario runs have other columns, and are not mixed with others."""
    if any(record.scenario for record in records):
        return [_scenario_row(record) for record in records if record.scenario]
    timed = any(record.decode for record in records)
    return [_row(record, timed) for record in records]


def reasons(records: Iterable[BenchRecord]) -> list[str]:
    """A line for every record that is INVALID, and one for every emulation."""
    lines = [
        f"INVALID: {record.model}, {_threads(record)}: {'; '.join(record.reasons)}"
        for record in records
        if record.reasons
    ]
    return lines + [f"{r.model}: {Emulation(**r.emulation)}" for r in records if r.emulation]


def _row(record: BenchRecord, decode: bool) -> dict[str, Any]:
    s = record.summary
    head = {**_head(record), "runs": record.num_runs, "init_ms": record.init_ms, "first_ms": record.warmup_first_ms}
    parts = {"decode_p50_ms": _median(record.decode_samples_ms)} if decode else {}
    figures = {name: getattr(s, name) for name in ("p50_ms", "p90_ms", "p95_ms", "p99_ms", "avg_ms", "std_ms")}
    memory = {"load_mb": _mb(record.init_mem_bytes), "peak_mb": _mb(record.overall_mem_bytes)}
    return {**head, **parts, **figures, **memory, "verdict": record.verdict}


def _scenario_row(record: BenchRecord) -> dict[str, Any]:
    scenario = record.scenario or {}
    names = ("scenario", "metric", "value", "unit", "queries", "log_dir")
    return {**_head(record), **{name: scenario[name] for name in names}, "verdict": record.verdict}


def _head(record: BenchRecord) -> dict[str, Any]:
    device = Emulation(**record.emulation).label if record.emulation else record.device
    return {"model": record.model, "device": device, "runtime": record.runtime, "threads": record.num_threads}


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


def compared(a: Sequence[BenchRecord], b: Sequence[BenchRecord]) -> list[dict[str, Any]]:
    """A row for every model, thread count and device that both have: medians, B / A, and its 95 % interval.

    Raises UsageError where they have nothing in common.
    """
    others = {_key(record): record for record in b}
    pairs = [(record, others[_key(record)]) for record in a if _key(record) in others]
    pairs = [(x, y) for x, y in pairs if x.samples_ms and y.samples_ms]
    if not pairs:
        raise UsageError("the two files have no measurement of the same model, thread count and device in common")
    return [_comparison(x, y) for x, y in pairs]


def _key(record: BenchRecord) -> tuple[Any, ...]:
    return record.model, record.num_threads, record.device, record.decode


def _comparison(a: BenchRecord, b: BenchRecord) -> dict[str, Any]:
    ratio, low, high = ratio_of_medians(a.samples_ms, b.samples_ms)
    finding = "B is slower" if low > 1 else "B is faster" if high < 1 else "no difference shown"
    verdicts = [name for name, record in (("A", a), ("B", b)) if record.verdict == "INVALID"]
    return {
        "model": a.model,
        "device": a.device,
        "threads": a.num_threads,
        "A runtime": a.runtime,
        "B runtime": b.runtime,
        "A p50_ms": a.summary.p50_ms,
        "B p50_ms": b.summary.p50_ms,
        "B / A": ratio,
        "low": low,
        "high": high,
        "finding": finding + (f" ({' and '.join(verdicts)} INVALID)" if verdicts else ""),
    }
