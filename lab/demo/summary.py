"""What the modes' runs amount to: a row each, and what the rows mean in words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ondevice.client.planning.plan import Mode
from ondevice.lab.demo.run import Run
from ondevice.lab.demo.scenario import Scenario

Row = dict[str, Any]
# On an idle machine a request begins at most a few ms late; so late its deadline of 250 ms is a tenth shorter.
_LATE_MS = 25.0


def row(run: Run, scenario: Scenario) -> Row:
    """A mode's line of the table.

    attainment: the share of requests answered on time. effective top1: right and on time (MDInference's effective
    accuracy). top1 answered: right, of all answers. cloud: the share answered there. A request without an answer
    counts in the percentiles with the time for which it was waited. device busy: of the time.
    """
    records = run.records
    count, answered = len(records), [record for record in records if record.where]
    p50_ms, p95_ms = np.percentile([record.total_ms for record in records], (50, 95))
    return {
        "mode": str(run.mode),
        "attainment": sum(record.on_time for record in records) / count,
        "effective top1": effective(run) / count,
        "top1 answered": sum(record.right for record in answered) / len(answered) if answered else None,
        "cloud": sum(record.where == "cloud" for record in records) / count,
        "p50_ms": float(p50_ms),
        "p95_ms": float(p95_ms),
        "sent kB": round(sum(record.sent_bytes for record in records) / 1e3),
        "device busy": run.busy_ms / (count * scenario.every_ms),
    }


def effective(run: Run) -> int:
    """How many answers were right and on time."""
    return sum(record.right and record.on_time for record in run.records)


def meaning(runs: Sequence[Run]) -> str:
    """The table in plain words: what choosing for each picture brought."""
    by_mode = {run.mode: run for run in runs}
    right = {mode: effective(run) for mode, run in by_mode.items()}
    auto = by_mode[Mode.AUTO].records
    missed = sum(not record.on_time for record in auto)
    cloud, device = (sum(record.where == where for record in auto) for where in ("cloud", "device"))
    return (
        f"Of {len(auto)} pictures, auto had {right[Mode.AUTO]} right and on time, the phone alone "
        f"{right[Mode.DEVICE]}, the cloud alone {right[Mode.CLOUD]}, hedge {right[Mode.HEDGE]}: {_verdict(right)}. "
        f"It had {cloud} answers from the cloud and {device} from the phone, and {_missed(missed)}."
    )


def begun_late(runs: Sequence[Run], scenario: Scenario) -> int:
    """How many requests began much after their time, for this machine was busy with something else."""
    records = (record for run in runs for record in run.records)
    return sum(record.at_ms > scenario.due_ms(record.number) + _LATE_MS for record in records)


def _verdict(right: dict[Mode, int]) -> str:
    best = max(Mode.DEVICE, Mode.CLOUD, key=right.__getitem__)
    name = {Mode.DEVICE: "the phone alone", Mode.CLOUD: "the cloud alone"}[best]
    gain = right[Mode.AUTO] - right[best]
    if gain > 0:
        return f"choosing for each picture brought {gain} more than {name}, the better of the two places"
    if gain < 0:
        return f"this time {name} was better by {-gain}"
    return f"this time {name} was as good"


def _missed(count: int) -> str:
    return "missed no deadline" if count == 0 else f"missed {count} deadline{'s' * (count > 1)}"
