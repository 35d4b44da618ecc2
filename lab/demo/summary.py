"""What the modes' runs amount to: a row each, and what the rows mean in words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ondevice.client.plan import Mode
from ondevice.lab.demo.stream import Course, Scene

Row = dict[str, Any]
# So late a request does not begin on a machine that is not busy.
_LATE_MS = 25.0


def row(course: Course, scene: Scene) -> Row:
    """A mode's line of the table.

    attainment: the share of requests answered on time. effective top1: right and on time (MDInference's effective
    accuracy). top1 answered: right, of all answers. cloud: the share answered there. A request without an answer
    counts in the percentiles with the time for which it was waited. device busy: of the time.
    """
    records = course.records
    count, answered = len(records), [record for record in records if record.where]
    p50_ms, p95_ms = np.percentile([record.total_ms for record in records], (50, 95))
    return {
        "mode": str(course.mode),
        "attainment": sum(record.on_time for record in records) / count,
        "effective top1": effective(course) / count,
        "top1 answered": sum(record.right for record in answered) / len(answered) if answered else None,
        "cloud": sum(record.where == "cloud" for record in records) / count,
        "p50_ms": float(p50_ms),
        "p95_ms": float(p95_ms),
        "sent kB": round(sum(record.sent_bytes for record in records) / 1e3),
        "device busy": course.busy_ms / (count * scene.every_ms),
    }


def effective(course: Course) -> int:
    """How many answers were right and on time."""
    return sum(record.right and record.on_time for record in course.records)


def meaning(courses: Sequence[Course]) -> str:
    """The table in plain words: what choosing for each picture brought."""
    by_mode = {course.mode: course for course in courses}
    right = {mode: effective(course) for mode, course in by_mode.items()}
    auto = by_mode[Mode.AUTO].records
    missed = sum(not record.on_time for record in auto)
    cloud, device = (sum(record.where == where for record in auto) for where in ("cloud", "device"))
    return (
        f"Of {len(auto)} pictures, auto had {right[Mode.AUTO]} right and on time, the phone alone "
        f"{right[Mode.DEVICE]}, the cloud alone {right[Mode.CLOUD]}, hedge {right[Mode.HEDGE]}: {_verdict(right)}. "
        f"It had {cloud} answers from the cloud and {device} from the phone, and {_missed(missed)}."
    )


def begun_late(courses: Sequence[Course], scene: Scene) -> int:
    """How many requests began much after their time, for this machine was busy with something else."""
    records = (record for course in courses for record in course.records)
    return sum(record.at_ms > scene.due_ms(record.number) + _LATE_MS for record in records)


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
