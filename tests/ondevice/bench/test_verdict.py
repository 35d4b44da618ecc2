"""Whether a measurement can be trusted: every reason against it by itself, and none without it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from ondevice.bench.measure import measure
from ondevice.bench.record import BenchRecord
from ondevice.bench.spec import Spec
from ondevice.bench.verdict import judged
from ondevice.host import Throttling

NOTHING = Throttling((), ())


def steady(count: int = 60) -> tuple[float, ...]:
    return tuple(1 + 0.001 * (i % 7) for i in range(count))


@pytest.fixture(scope="module")
def good() -> BenchRecord:
    """A real record with samples, and a machine, that nothing can be said against."""
    real = measure(Spec("digits_xs_int8", warmup=1, runs=5, min_secs=0))
    return replace(real, samples_ms=steady(), other_cpu=0.1, host={**real.host, "cores": 4})


def reasons(record: BenchRecord, before: Throttling | None = None, after: Throttling | None = None) -> tuple[str, ...]:
    found = judged(record, before, after, interrupted=False)
    assert found.verdict == ("INVALID" if found.reasons else "VALID")
    assert replace(found, verdict=record.verdict, reasons=record.reasons) == record
    return found.reasons


def test_a_good_record_is_valid(good: BenchRecord) -> None:
    assert reasons(good) == ()


def test_the_verdict_before_does_not_count(good: BenchRecord) -> None:
    assert reasons(replace(good, verdict="INVALID", reasons=("of old",))) == ()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"samples_ms": steady(50)}, []),
        ({"samples_ms": steady(49)}, ["too few runs: 49 of 50"]),
        ({"samples_ms": steady(1)}, ["too few runs: 1 of 50"]),
        ({"samples_ms": ()}, ["too few runs: 0 of 50"]),
        ({"samples_ms": (1.0,) * 30 + (1.2,) * 30}, ["unstable: the second half's median is +20% off the first's"]),
        ({"samples_ms": (1.0,) * 30 + (0.8,) * 30}, ["unstable: the second half's median is -20% off the first's"]),
        ({"samples_ms": (1.0,) * 30 + (1.09,) * 30}, []),
        ({"samples_ms": (1.0, 2.0) * 30}, ["unstable: p10 to p90 spans 67% of the median"]),
        ({"samples_ms": (1.0, 1.4) * 30}, []),
        ({"samples_ms": (1.0,) * 59 + (90.0,)}, []),
        ({"samples_ms": (1.0, 2.0) * 30, "decode": True}, []),
        ({"samples_ms": (1.0, 2.0) * 30, "emulated": True}, []),
        ({"samples_ms": (1.0, 2.0) * 30, "limits": {"cpu_quota": 0.5}}, []),
        ({"samples_ms": (1.0, 2.0) * 30, "limits": {"cpus": [0]}}, ["unstable: p10 to p90 spans 67% of the median"]),
        ({"other_cpu": 0.39}, []),
        ({"other_cpu": 0.5}, ["busy machine: other programs kept 0.50 of 4 processors busy"]),
        ({"other_cpu": None}, []),
        ({"emulated": True, "emulation": {"late": 0.01}}, []),
        ({"emulated": True, "emulation": {"late": 0.25}},
         ["host too slow: 25% of the inferences took longer here than on the emulated device"]),
        ({"scenario": {"reasons": []}, "samples_ms": ()}, []),
        ({"scenario": {"reasons": ["min queries"]}, "samples_ms": ()}, ["min queries"]),
    ],
)  # fmt: skip
def test_what_is_said_against_it(good: BenchRecord, changes: dict[str, Any], said: list[str]) -> None:
    assert list(reasons(replace(good, **changes))) == said


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        (None, None, []),
        (NOTHING, NOTHING, []),
        (Throttling(("throttled",), ("throttled",)), Throttling((), ("throttled",)), ["throttled: throttled"]),
        (NOTHING, Throttling(("frequency capped",), ()), ["throttled: frequency capped"]),
        # Between the two looks, and over when the second came.
        (NOTHING, Throttling((), ("under-voltage",)), ["throttled: under-voltage"]),
        (NOTHING, Throttling(("throttled",), ("throttled", "under-voltage")), ["throttled: throttled, under-voltage"]),
        # Long ago: the runs had nothing of it.
        (Throttling((), ("under-voltage",)), Throttling((), ("under-voltage",)), []),
    ],
)
def test_throttling_during_the_runs_alone(
    good: BenchRecord, before: Throttling | None, after: Throttling | None, said: list[str]
) -> None:
    assert list(reasons(good, before, after)) == said


def test_an_interrupted_one_says_how_far_it_came(good: BenchRecord) -> None:
    found = judged(good, None, None, interrupted=True)
    assert (found.verdict, found.reasons) == ("INVALID", ("interrupted after 60 runs",))
    early = judged(replace(good, samples_ms=steady(3)), None, None, interrupted=True)
    assert early.reasons == ("interrupted after 3 runs", "too few runs: 3 of 50")


def test_all_reasons_are_given(good: BenchRecord) -> None:
    bad = replace(good, samples_ms=(1.0,) * 10 + (3.0,) * 10, other_cpu=2.0)
    found = judged(bad, NOTHING, Throttling(("throttled",), ()), interrupted=True)
    starts = ["interrupted", "too few runs", "unstable", "unstable", "busy machine", "throttled"]
    assert [reason.startswith(start) for reason, start in zip(found.reasons, starts, strict=True)] == [True] * 6
