"""How many replicas are wanted: by what a worker's time is worth to those who ask, not by how long a queue is.

A queue is kept short here by cheaper models and by refusing, so its length says little. What a replica more would bring
is seen from the price of a worker's time, which is the share of that replica's time that would be made use of, and from
what was crowded out. Both ways it is the old question whether to rent or to buy (Karlin et al., Competitive snoopy
caching, 1988): whoever waits until what was lost comes to what the change costs pays at most twice what could have been
paid by one who had known.

- up: what a missing replica would have brought, less what it takes, is summed up; when the sum comes to what a start
  takes, one is started, or as many as what was crowded out would fill;
- down: a replica goes that was not needed for as long as another start, and what would be lost meanwhile, are worth.

Nothing is read here but what is given; times are seconds by the caller's clock. An operator sets the bounds alone:
`ondevice serve --ray --replicas 1..4`, one number for a fixed count.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from ondevice.errors import UsageError

# A second of a replica that is made full use of is worth so many of one that idles: operators accept that a tenth of
# what they pay for is made use of, at the least, before they would rather refuse.
WORTH = 10.0
# Before a start was seen it is taken to last as long as most do on two cores, with Ray's own processes warm: 6 to 10 s.
_START_S = 8.0
# Longer starts wait for a machine, which may never come: because of that a replica is kept for two hours at the most.
_LONGEST_START_S = 600.0
# Of starts the newest counts half: they differ by what the machine is doing.
_NEWEST = 0.5
# So much of their time the replicas that are left may be at work. With deadlines as short as two inferences a worker's
# time costs over a tenth at 0.7 (60 a second in benchmarks/scaling.py): below that by as much as a load varies.
_FULL = 0.6
# More are a slip of the finger.
_MOST = 256
# Who has not been heard of for so long is not known of: reports come every two seconds.
_SILENT_S = 10.0
# What is seen is at least so old before it is compared: in less there are too few requests.
_LEAST_S = 1.0


class ReplicaReport(NamedTuple):
    """What a replica says of itself: when, by its own clock, s, and sums since its start, as `Traffic` has them.

    worked_s: of all its workers together, divided by their number.
    """

    at: float
    admitted: float
    crowded_out: float
    price: float
    worked_s: float


@dataclass(frozen=True)
class ScalingRules:
    """How many replicas there may be, and what they are worth.

    worth: so many seconds of a replica that idles are worth one of a replica that is made full use of. Raises
    UsageError for what cannot be obeyed.
    """

    least: int
    most: int
    worth: float = WORTH

    def __post_init__(self) -> None:
        if not 1 <= self.least <= self.most:
            raise UsageError(f"must be from 1 up, the lower bound first, not {self.least}..{self.most}")
        if not self.worth > 1:
            raise UsageError(f"a replica in use must be worth more than one that idles, not {self.worth:g} times")

    @classmethod
    def read(cls, text: str) -> ScalingRules:
        """From one number, or two with dots between: `2`, `1..4`. Raises UsageError."""
        least, dots, most = text.partition("..")
        try:
            rules = cls(int(least), int(most if dots else least))
        except ValueError as error:
            raise UsageError(f"must be a number, or bounds such as 1..4, not {text[:40]!r}") from error
        if rules.most > _MOST:
            raise UsageError(f"must be {_MOST} at the most, not {rules.most}: more are set in Ray's own files")
        return rules

    @property
    def fixed(self) -> bool:
        """Whether there is nothing to decide."""
        return self.least == self.most

    def within(self, count: int) -> int:
        """The count nearest to this one that is allowed."""
        return min(max(count, self.least), self.most)


class Fleet(NamedTuple):
    """What there is at this moment. running: the names of those that serve. target: how many there are to be.

    reports: the newest of each, of those that have any.
    """

    now: float
    running: frozenset[str]
    target: int
    reports: Mapping[str, ReplicaReport]

    @property
    def coming(self) -> int:
        """How many are being started."""
        return max(self.target - len(self.running), 0)


class _Rates(NamedTuple):
    """What one replica does, a second of its time; heard: when that was learned."""

    heard: float
    admitted: float
    crowded_out: float
    price: float
    busy: float


class FleetLoad(NamedTuple):
    """All that is asked, in replicas. busy: those that would be kept at work by what is admitted.

    crowded_out: those that would be filled by what is not. price: the share of one more that would be made use of.
    known: whether all were heard of.
    """

    busy: float
    crowded_out: float
    price: float
    known: bool

    def missing(self, coming: int) -> float:
        """How many more would be made use of than those that are coming: what these leave of the price nobody knows."""
        return max(self.crowded_out - coming, 0.0) if coming else self.crowded_out + self.price


@dataclass(frozen=True)
class ScalingState:
    """What is remembered from one look to the next.

    at, running: the last look, and who served then. reports, rates: of each replica, the last one compared, and what it
    did since the one before; what was seen of other replicas than are there now says nothing of these. lost_s: what a
    missing replica would have brought, in seconds of one that idles. needed: when the first, second, … was last needed.
    start_s: how long a start takes. asked: when more were wanted, and how many; None: all are there.
    """

    at: float
    running: frozenset[str] = frozenset()
    reports: Mapping[str, ReplicaReport] = field(default_factory=dict)
    rates: Mapping[str, _Rates] = field(default_factory=dict)
    lost_s: float = 0.0
    needed: tuple[float, ...] = ()
    start_s: float = _START_S
    asked: tuple[float, int] | None = None

    def keep_s(self, worth: float) -> float:
        """For how long a replica is kept that is not needed: what another start takes, and what it would lose."""
        return self.start_s * (1 + worth)


def wanted(state: ScalingState | None, fleet: Fleet, rules: ScalingRules) -> tuple[int, ScalingState]:
    """How many replicas there are to be, as the rules have it, and what is to be given at the next look.

    state: None at the first look. Called as often as anybody likes: only what has changed counts.
    """
    state = _looked(state or ScalingState(fleet.now), fleet)
    load = fleet_load(state, fleet)
    state = _losing(state, load, fleet, rules.worth)
    more = _more(state, load, fleet, rules)
    state = _needing(state, load, fleet, fleet.target + more)
    count = rules.within(fleet.target + more if more else _fewer(state, fleet, rules.worth))
    return count, _asking(state, fleet, count)


def fleet_load(state: ScalingState, fleet: Fleet) -> FleetLoad:
    """What all replicas do, those that were not heard of as the others in the mean."""
    heard = [r for name, r in state.rates.items() if name in fleet.running and fleet.now - r.heard <= _SILENT_S]
    if not heard:
        return FleetLoad(0.0, 0.0, 0.0, False)
    count = len(fleet.running)
    admitted, crowded_out, price, busy = (sum(r[i] for r in heard) for i in range(1, 5))
    busy *= count / len(heard)
    # What is refused would take as much as what is not, and comes again: no more than as much as there is at a time.
    crowded = min(busy * crowded_out / admitted, count) if admitted else float(count if crowded_out else 0)
    return FleetLoad(busy, crowded, price / admitted if admitted else 0.0, len(heard) == count)


def _looked(state: ScalingState, fleet: Fleet) -> ScalingState:
    """With what is new in the reports, and with how long a start took that is over."""
    same = state.running == fleet.running
    reports, rates = (dict(state.reports), dict(state.rates)) if same else ({}, {})
    for name in fleet.running & fleet.reports.keys():
        new = fleet.reports[name]
        old = reports.setdefault(name, new)
        if new.at - old.at >= _LEAST_S:
            rates[name] = _rates(old, new, fleet.now)
            reports[name] = new
    return _started(replace(state, running=fleet.running, reports=reports, rates=rates), fleet)


def _rates(old: ReplicaReport, new: ReplicaReport, now: float) -> _Rates:
    seconds = new.at - old.at
    return _Rates(now, *((after - before) / seconds for before, after in zip(old[1:], new[1:], strict=True)))


def _started(state: ScalingState, fleet: Fleet) -> ScalingState:
    if state.asked is None or len(fleet.running) < state.asked[1]:
        return state
    took_s = min(fleet.now - state.asked[0], _LONGEST_START_S)
    return replace(state, asked=None, start_s=state.start_s + _NEWEST * (took_s - state.start_s))


def _losing(state: ScalingState, load: FleetLoad, fleet: Fleet, worth: float) -> ScalingState:
    """With what the time since the last look has cost for want of a replica: more than that takes, or less."""
    gain = worth * min(load.missing(fleet.coming), 1.0) - 1
    lost_s = state.lost_s + gain * max(fleet.now - state.at, 0.0)
    return replace(state, at=fleet.now, lost_s=min(max(lost_s, 0.0), state.start_s))


def _more(state: ScalingState, load: FleetLoad, fleet: Fleet, rules: ScalingRules) -> int:
    """How many are to be started now."""
    if state.lost_s < state.start_s or fleet.target >= rules.most:
        return 0
    return max(math.ceil(load.crowded_out) - fleet.coming, 1)


def _needing(state: ScalingState, load: FleetLoad, fleet: Fleet, target: int) -> ScalingState:
    """With how many are needed now: all, where not all are heard of, or one more would be worth a start.

    What a moment costs is no reason to keep one: of the few requests of a quiet time some always meet another.
    """
    least = math.ceil(load.busy / _FULL)
    if not load.known or state.lost_s >= state.start_s:
        least = target
    needed = [fleet.now if place < least else at for place, at in enumerate(state.needed[:target])]
    needed += [fleet.now] * (target - len(needed))  # those that are new
    return replace(state, needed=tuple(needed), lost_s=state.lost_s if target == fleet.target else 0.0)


def _fewer(state: ScalingState, fleet: Fleet, worth: float) -> int:
    """How many are left without those that were not needed for long."""
    kept = [place for place, at in enumerate(state.needed, 1) if fleet.now - at < state.keep_s(worth)]
    return max(kept, default=0)


def _asking(state: ScalingState, fleet: Fleet, count: int) -> ScalingState:
    """With when more were asked for, where they are, or are asked for now."""
    if count <= len(fleet.running):
        return replace(state, asked=None)
    if count == fleet.target and state.asked is not None:
        return state
    return replace(state, asked=(fleet.now, count) if count > fleet.target else state.asked)
