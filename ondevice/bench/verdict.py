"""VALID or INVALID, with the reasons, as MLPerf gives: whether a measurement can be trusted."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np

from ondevice.bench.record import BenchRecord
from ondevice.host import Throttling
from ondevice.host.clocks import MAX_OTHERS

MIN_RUNS = 50  # benchmark_model's default: the least that is called a distribution here
MAX_DRIFT = 0.10  # between the medians of the first and the second half
MAX_SPREAD = 0.5  # (p90 - p10) / p50
MAX_LATE = 0.01  # of the emulated inferences, for which the host itself took longer than the device would


def judged(record: BenchRecord, before: Throttling | None, after: Throttling | None, interrupted: bool) -> BenchRecord:
    """The record with its verdict. before, after: the machine's throttling before and after the runs."""
    reasons = tuple(_reasons(record, before, after, interrupted))
    return dataclasses.replace(record, verdict="INVALID" if reasons else "VALID", reasons=reasons)


def _reasons(
    record: BenchRecord, before: Throttling | None, after: Throttling | None, interrupted: bool
) -> Iterator[str]:
    if interrupted:
        yield f"interrupted after {record.num_runs} runs"
    if record.scenario is not None:
        yield from record.scenario["reasons"]
    else:
        yield from _of_samples(record)
    yield from _of_machine(record, before, after)


def _of_samples(record: BenchRecord) -> Iterator[str]:
    if record.num_runs < MIN_RUNS:
        yield f"too few runs: {record.num_runs} of {MIN_RUNS}"
    if record.num_runs < 2:
        return
    values = np.asarray(record.samples_ms)
    first, second = (float(np.median(half)) for half in np.array_split(values, 2))
    drift = second / first - 1
    if abs(drift) > MAX_DRIFT:
        yield f"unstable: the second half's median is {drift:+.0%} off the first's"
    p10, p50, p90 = np.percentile(values, (10, 50, 90)).tolist()
    # Decoding takes longer for a larger picture, emulated spread is the device's own, and a quota stops some runs.
    scattered = record.decode or record.emulated or "cpu_quota" in record.limits
    if not scattered and (p90 - p10) / p50 > MAX_SPREAD:
        yield f"unstable: p10 to p90 spans {(p90 - p10) / p50:.0%} of the median"


def _of_machine(record: BenchRecord, before: Throttling | None, after: Throttling | None) -> Iterator[str]:
    if record.other_cpu is not None and record.other_cpu > MAX_OTHERS * record.host["cores"]:
        yield f"busy machine: other programs kept {record.other_cpu:.2f} of {record.host['cores']} processors busy"
    if after is not None and before is not None:
        new = set(after.since_boot) - set(before.since_boot)
        if throttled := [*dict.fromkeys([*before.now, *after.now, *sorted(new)])]:
            yield f"throttled: {', '.join(throttled)}"
    late = (record.emulation or {}).get("late", 0.0)
    if late > MAX_LATE:
        yield f"host too slow: {late:.0%} of the inferences took longer here than on the emulated device"
