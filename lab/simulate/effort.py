"""What a simulation will take, of time and memory, told before it takes it: a few requests of each kind are tried."""

from __future__ import annotations

import tracemalloc
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from time import perf_counter
from typing import NamedTuple

from ondevice import host
from ondevice.errors import UsageError
from ondevice.lab.simulate.outcomes import BLOCKS
from ondevice.lab.simulate.queueing import simulate
from ondevice.lab.simulate.simulation import CHUNK, DEVICE, Case, SimulationSettings

# Nothing is tried of what takes seconds and megabytes, for trying takes some tenths of a second. The work is counted in
# requests times models that are weighed at once, of which a processor does some tens of millions a second.
_WORK, _CELLS = 1e9, 1e7
# What a request with a queue, or with an upload, costs beside one of these: Python handles it by itself.
_QUEUED, _UPLOADED = 1e3, 1e4
# Tried are so many requests times models, some tenths of a second for each policy; of what Python handles so many with
# a queue, and with an upload.
_TRIED_CELLS, _TRIED_QUEUED, _TRIED_UPLOADS = 1 << 20, 1000, 64
# From here on it is told: longer than anybody waits without a word, and what the usual phone or board does not have.
_LONG_S, _MUCH_BYTES = 60.0, 1e9
# A count of requests [blocks, models and the device, fates] is kept of each case.
_KEPT_BYTES = BLOCKS * 3 * 8


class Effort(NamedTuple):
    """seconds: of the whole. memory_bytes: of all its processes together, beside what Python takes."""

    seconds: float
    memory_bytes: float

    @property
    def is_worth_telling(self) -> bool:
        """Whether a person would want to know it beforehand."""
        return self.seconds > _LONG_S or self.memory_bytes > _MUCH_BYTES

    def __str__(self) -> str:
        return f"about {_span(self.seconds)} and {self.memory_bytes / 1e9:.1f} GB of memory"


def foresee(cases: Sequence[Case], settings: SimulationSettings, jobs: int = 1) -> Effort | None:
    """What the cases will take in so many processes; None where that is little. Simulates a few requests of each."""
    if _is_little(cases, settings):
        return None
    jobs = min(jobs, len(cases))
    kinds = Counter(map(_kind, cases))
    of_kind = {_kind(case): case for case in reversed(cases)}
    tried = {kind: _tried(case, settings) for kind, case in of_kind.items()}
    seconds = sum(tried[kind].seconds * count for kind, count in kinds.items()) / jobs
    kept = sum(_KEPT_BYTES * (len(case.models) + 1) for case in cases)
    return Effort(seconds, kept + jobs * max(each.memory_bytes for each in tried.values()))


def check(effort: Effort, available_bytes: int | None = None) -> None:
    """Raise UsageError where it is more memory than there is: this machine's, unless given, and its limits."""
    if available_bytes is None:
        memory = host.current().memory
        available_bytes = memory.limit_bytes() or memory.total_bytes()
    if effort.memory_bytes > available_bytes:
        raise UsageError(
            f"this would take {effort}, and there are {available_bytes / 1e9:.1f} GB: leave models out with --only or "
            "--without, or give fewer --requests or --jobs"
        )


def _is_little(cases: Sequence[Case], settings: SimulationSettings) -> bool:
    work = sum(settings.requests * _weight(case) for case in cases)
    at_once = max(_at_once(case, settings) * len(case.models) for case in cases)
    kept = sum(_KEPT_BYTES * len(case.models) for case in cases)
    return work <= _WORK and at_once <= _CELLS and kept <= _MUCH_BYTES


def _weight(case: Case) -> float:
    if case.policy == DEVICE:
        return 1.0
    return _UPLOADED if case.table else _QUEUED if case.queued else float(len(case.models))


def _at_once(case: Case, settings: SimulationSettings) -> int:
    """How many requests are in memory at once: with a queue all of them."""
    return settings.requests if case.queued and case.policy != DEVICE else min(CHUNK, settings.requests)


def _kind(case: Case) -> tuple[object, ...]:
    """What cases have in common that take as long as each other, about."""
    return case.models.name, case.policy, case.queued, case.queue, case.upload


def _tried(case: Case, settings: SimulationSettings) -> Effort:
    """What the case will take, by what a few of its requests take."""
    most = _TRIED_UPLOADS if case.table else _TRIED_QUEUED if case.queued else CHUNK
    few = max(1, min(_TRIED_CELLS // len(case.models), most, settings.requests))
    some = replace(settings, requests=few)
    simulate(case, some)  # the first time also makes what all later ones share, and imports what they need
    tracemalloc.start()
    simulate(case, some)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    begun = perf_counter()
    simulate(case, some)
    seconds = perf_counter() - begun
    return Effort(seconds * settings.requests / few, peak * _at_once(case, settings) / few)


def _span(seconds: float) -> str:
    """A time in the unit in which it is a number that people can grasp."""
    for size, unit in ((86400 * 365, "years"), (86400, "days"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:,.0f} {unit}"
    return f"{seconds:.0f} s"
