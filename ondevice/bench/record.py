"""The record of one measurement: raw samples, and all that is needed to judge them. Every printer prints this one."""

from __future__ import annotations

import dataclasses
import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ondevice import reading, records, words
from ondevice.bench.mlperf.result import ScenarioResult
from ondevice.bench.samples import Summary, summary
from ondevice.devices.emulation import Emulation
from ondevice.errors import UsageError

SCHEMA = 1
# In `input`, between what the runs were given and its sizes.
SIZED = ": "
# What a run that ended early has not measured; JSON has null for it.
_MAY_BE_NAN = ("init_ms", "warmup_first_ms", "warmup_avg_ms")


@dataclass(frozen=True)
class BenchRecord:
    """One model on one thread count, measured once.

    input: `random`, or how many pictures; behind a colon the inputs with their sizes, but for an image classifier of
    one size. Fields are named after TFLite's own benchmark tools (`init_ms`, `warmup_first_ms`, `num_runs`, …).
    samples_ms: each steady run, in order: the inference alone, or with `decode` picture to tensor and inference;
    decode_samples_ms then has the first part of each. init_ms: making the interpreter and allocating its tensors.
    init_mem_bytes, overall_mem_bytes: how far the child process's peak resident memory rose over what it was before
    loading, until loaded and until the end. cpu_per_wall: CPU seconds of the measuring process a second of the steady
    runs (None where they were spaced or stretched). other_cpu: processors that other programs kept busy meanwhile
    (None: not shown).
    emulation: None, or what the emulated times rest on. scenario: None, or MLPerf LoadGen's result.
    """

    model: str
    precision: str
    path: str
    sha256: str
    model_size_bytes: int
    runtime: str
    num_threads: int
    device: str
    emulated: bool
    input: str
    decode: bool
    interval_ms: float
    init_ms: float
    warmup_first_ms: float
    warmup_avg_ms: float
    num_warmup_runs: int
    init_mem_bytes: int | None
    overall_mem_bytes: int | None
    cpu_per_wall: float | None
    other_cpu: float | None
    verdict: str
    reasons: tuple[str, ...]
    started: str
    version: str
    limits: dict[str, Any]
    host: dict[str, Any]
    emulation: dict[str, Any] | None = None
    scenario: dict[str, Any] | None = None
    samples_ms: tuple[float, ...] = ()
    decode_samples_ms: tuple[float, ...] = ()
    summary: Summary = field(init=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "summary", summary(self.samples_ms))

    @property
    def input_ends(self) -> str:
        """The inputs and their sizes; "" for an image classifier of one size."""
        return self.input.partition(SIZED)[2]

    @property
    def num_runs(self) -> int:
        """How many steady runs were timed."""
        return len(self.samples_ms)

    def as_dict(self) -> dict[str, Any]:
        """Everything, as JSON takes it; the summary's figures stand beside the samples they come from."""
        fields = {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.name != "summary"}
        tail = {name: fields.pop(name) for name in ("limits", "host", "samples_ms", "decode_samples_ms")}
        row = {"schema": SCHEMA, **fields, "num_runs": self.num_runs, **self.summary._asdict(), **tail}
        return {name: None if value != value else value for name, value in row.items()}  # NaN, which JSON lacks

    @classmethod
    def from_dict(cls, table: dict[str, Any]) -> BenchRecord:
        """The record that `as_dict` wrote. Raises ValueError for anything else."""
        if not isinstance(table, dict) or table.get("schema") != SCHEMA:
            raise ValueError("not a benchmark record of this version")
        nulls = {name: math.nan for name in _MAY_BE_NAN if table.get(name, 0) is None}
        for name, kind in (("emulation", Emulation), ("scenario", ScenarioResult)):
            if table.get(name) is not None:
                records.read(kind, table[name])
        return records.read(cls, table | nulls, surplus=True)


def read(path: Path) -> list[BenchRecord]:
    """The records of a file that `--format json` or `jsonl` made. Raises UsageError."""
    try:
        text = reading.text(path)
        lines = json.loads(text) if text.lstrip().startswith("[") else [json.loads(line) for line in text.splitlines()]
        found = [BenchRecord.from_dict(line) for line in lines]
    except OSError as error:
        raise UsageError(f"{path}: {words.reason(error)}") from error
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{path}: {error}; give a file from `ondevice bench … --format json`") from error
    if not found:
        raise UsageError(f"{path}: no benchmark record in it")
    return found
