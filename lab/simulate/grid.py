"""Many cases: every combination, run one after the other or in several processes, and their results as rows."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping, Sequence
from itertools import product
from statistics import fmean
from typing import Any, NamedTuple

from ondevice.errors import UsageError
from ondevice.lab.simulate import upload_rules, upload_table
from ondevice.lab.simulate.arrivals import Arrivals
from ondevice.lab.simulate.jobs import shared_out
from ondevice.lab.simulate.legs import NetworkModel
from ondevice.lab.simulate.modelset import ModelSet
from ondevice.lab.simulate.outcomes import IntervalEstimate, OutcomeCounts
from ondevice.lab.simulate.queueing import simulate
from ondevice.lab.simulate.simulation import DEVICE, Case, QueueView, SimulationSettings
from ondevice.lab.simulate.upload_rules import CHOOSING_BOTH
from ondevice.lab.simulate.upload_table import PictureSettings, UploadFacts, UploadTable
from ondevice.protocol.rung import Rung
from ondevice.timing.bounds import BELIEVABLE_MS

Row = dict[str, Any]
# The measures that have an interval.
MEASURES = ("top1", "attainment", "effective_top1", "device_share")
SHARE_PREFIX, UPLOAD_PREFIX = "share_", "upload_"
# More deadlines are a slip of the pen in a step: a figure is 1000 pixels wide.
_MOST_DEADLINES = 10_000


class UploadPlan(NamedTuple):
    """Which rules choose what is sent, and for each model set, by its name, what may be sent."""

    rules: Sequence[str]
    tables: Mapping[str, UploadTable]

    @classmethod
    def of(cls, rules: Sequence[str], sets: Sequence[ModelSet], settings: PictureSettings) -> UploadPlan:
        """Raises UsageError for a rule that there is not, and for a model whose input side is not known."""
        more = [rung for rung in map(upload_rules.check, rules) if rung]
        return cls(rules, {each.name: _table(each, settings, more) for each in sets})


class Grid(NamedTuple):
    """What a simulation combines, each with each: model sets, networks, loads, deadlines, policies, and uploads."""

    models: Sequence[ModelSet]
    networks: Sequence[NetworkModel]
    loads: Sequence[Arrivals]
    slas_ms: Sequence[float]
    policies: Sequence[str]
    queues: Sequence[QueueView] = (QueueView.BLIND,)
    workers: int = 1
    uploads: UploadPlan | None = None

    def cases(self) -> list[Case]:
        """All combinations. What is known of the queue makes cases only where there is one, and what is sent only where
        the policy does not choose it.
        """
        return [
            Case(models, network, sla_ms, policy, load, self.workers, queue, self._table(models), upload)
            for models, network, load in product(self.models, self.networks, self.loads)
            for queue in (self.queues if load.queued and not self.uploads else self.queues[:1])
            for policy in self.policies
            for upload, sla_ms in product(self._rules(policy), self.slas_ms)
        ]

    def _table(self, models: ModelSet) -> UploadTable | None:
        return self.uploads.tables[models.name] if self.uploads else None

    def _rules(self, policy: str) -> Sequence[str]:
        """The rules of what is sent beside a policy."""
        return self.uploads.rules if self.uploads and policy not in (DEVICE, *CHOOSING_BOTH) else ("",)


class CaseResult(NamedTuple):
    """A case that was simulated. number: of the case in its list."""

    number: int
    case: Case
    outcomes: OutcomeCounts

    def row(self, settings: SimulationSettings) -> Row:
        """The case and its measures as one flat record; `share_MODEL`: how often that model was chosen,
        `upload_NAME`: how often that was sent."""
        case, found = self.case, self.outcomes
        queued = case.queued
        estimates = (found.top1_chosen, found.attainment, found.effective_top1, found.device_share)
        return {
            "models": case.models.name,
            "network": case.network.text,
            "load": case.arrivals.text,
            "workers": case.workers if queued else None,
            "queue": str(case.queue) if queued else None,
            "device": settings.device.name if settings.device else None,
            "duplication": settings.device is not None and settings.duplication,
            "knows": None if case.table else str(settings.estimate),
            "sla_ms": float(case.sla_ms),
            "policy": case.policy,
            "upload": case.upload or None,
            "requests": settings.requests,
            "seed": settings.seed,
            **{key: value for name, each in zip(MEASURES, estimates, strict=True) for key, value in _cells(name, each)},
            "mean_ms": found.answer_times.mean_ms,
            **{f"p{level:g}_ms": found.answer_times.quantile_ms(level / 100) for level in (50, 90, 95, 99)},
            "server_ms": found.server_ms,
            "wait_ms": found.wait_ms,
            "sent_bytes": None if case.table is None else found.sent_bytes,
            **self._shares(),
            **self._upload_shares(),
        }

    def _shares(self) -> Row:
        """How often each model was chosen, the least accurate first, and last the device alone."""
        models, shares = self.case.models.models, self.outcomes.shares.tolist()
        by_name = {SHARE_PREFIX + models.names[i]: shares[i] for i in models.top1.argsort(kind="stable")}
        return by_name | {SHARE_PREFIX + DEVICE: shares[-1]}

    def _upload_shares(self) -> Row:
        """How often each upload was sent, smallest first; nothing where there is only one."""
        table = self.case.table
        if table is None:
            return {}
        if self.case.policy == DEVICE:
            return {UPLOAD_PREFIX + name: 0.0 for name in table.names}
        shares = self.outcomes.upload_shares.tolist()
        return {UPLOAD_PREFIX + name: share for name, share in zip(table.names, shares, strict=True)}


def _table(models: ModelSet, settings: PictureSettings, more: Sequence[Rung]) -> UploadTable:
    sides = upload_table.sides_of(models.models.names, models.sides)
    measured = {name: each.kept for name, each in models.uploads.items() if name in sides}
    sizes: dict[Rung, list[float]] = {}
    for each in models.uploads.values():
        for rung, size in each.sizes.items():
            sizes.setdefault(rung, []).append(size)
    facts = UploadFacts(sides, measured, {rung: fmean(seen) for rung, seen in sizes.items()})
    return UploadTable.of(facts, settings, more)


def _cells(name: str, estimate: IntervalEstimate) -> Iterator[tuple[str, float]]:
    yield name, estimate.value
    yield f"{name}_low", estimate.low
    yield f"{name}_high", estimate.high


def run(cases: Sequence[Case], settings: SimulationSettings, jobs: int = 1) -> Generator[CaseResult, None, None]:
    """Simulate the cases, in this process or in `jobs` of their own, and give each as it is done.

    Whatever the jobs, a case's outcome is the same. Closed before its end, it ends the processes. Raises OnDeviceError
    where one of them dies.
    """
    if jobs == 1 or len(cases) == 1:
        for number, case in enumerate(cases):
            yield CaseResult(number, case, simulate(case, settings))
        return
    for number, outcomes in shared_out(cases, settings, min(jobs, len(cases))):
        yield CaseResult(number, cases[number], outcomes)


def deadlines(texts: Sequence[str]) -> list[float]:
    """Deadlines, ms, ascending, from `150,200` and `100-300:10` (from, to, step). Raises UsageError."""
    found: set[float] = set()
    for text in texts:
        for part in filter(None, (part.strip() for part in text.split(","))):
            found |= set(_deadlines(part))
    if not found:
        raise UsageError("no deadline: give --sla MS,MS or --sla FROM-TO:STEP")
    return sorted(found)


def _deadlines(text: str) -> list[float]:
    span, colon, step = text.partition(":")
    low, dash, high = span.partition("-")
    try:
        first, last, by = float(low), float(high) if dash else float(low), float(step) if colon else 1.0
        if not (0 < first <= last <= BELIEVABLE_MS and by > 0 and bool(dash) == bool(colon)):
            raise ValueError
    except ValueError as error:
        raise UsageError(f"--sla takes ms above 0, such as 150,200 or 100-300:10, not '{text[:40]}'") from error
    count = int((last - first) / by + 1e-9) + 1
    if count > _MOST_DEADLINES:
        raise UsageError(f"--sla {text[:40]}: that is {count} deadlines; take a larger step")
    return [first + i * by for i in range(count)]
