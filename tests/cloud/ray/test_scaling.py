"""How many replicas are wanted, by what they report; on a given clock, with a start that takes 8 s unless said."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ondevice.cloud.ray.scaling import Fleet, FleetLoad, ReplicaReport, ScalingRules, ScalingState, fleet_load, wanted
from ondevice.errors import UsageError

# Looks and reports come so often, s.
LOOK_S, REPORT_S = 0.5, 2.0
# So long a replica is kept that is not needed, at first: a start of 8 s, and ten times that for what it would lose.
KEEP_S = 88.0


@dataclass
class Load:
    """What every replica does, a second of its time."""

    admitted: float = 100.0
    crowded_out: float = 0.0
    price: float = 0.0
    busy: float = 0.1


def shared(demand: float, replicas: int) -> Load:
    """What each of so many does where so many would be filled; the price of their time rises from 0.7 on."""
    each = demand / replicas
    return Load(100.0, 100.0 * max(each - 1, 0.0), min(max((each - 0.7) / 0.3, 0.0), 1.0), min(each, 1.0))


@dataclass
class Watched:
    """A fleet and the rule that says how many there are to be. history: when it began to want how many."""

    rules: ScalingRules
    target: int = 1
    start_s: float = 8.0
    now: float = 0.0
    silent: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.state: ScalingState | None = None
        self.count = self.target
        self.ready = {f"r{n}": 0.0 for n in range(self.target)}
        self.reports: dict[str, ReplicaReport] = {}
        self.history = [(0.0, self.target)]

    @property
    def running(self) -> frozenset[str]:
        return frozenset(name for name, at in self.ready.items() if at <= self.now)

    def spend(self, seconds: float, load: Load | float) -> int:
        """So long with this load on each, or that of so many replicas; gives how many there are to be in the end."""
        end = self.now + seconds
        while self.now < end:
            self._look(load if isinstance(load, Load) else shared(load, len(self.running)))
            self.now += LOOK_S
        return self.target

    def _look(self, load: Load) -> None:
        if self.now % REPORT_S == 0:
            for name in self.running - self.silent:
                old = self.reports.get(name, ReplicaReport(self.now - REPORT_S, 0, 0, 0, 0))
                seconds = self.now - old.at
                self.reports[name] = ReplicaReport(
                    self.now,
                    old.admitted + load.admitted * seconds,
                    old.crowded_out + load.crowded_out * seconds,
                    old.price + load.price * load.admitted * seconds,
                    old.worked_s + load.busy * seconds,
                )
        count, self.state = wanted(self.state, Fleet(self.now, self.running, self.target, self.reports), self.rules)
        for _ in range(count - self.target):
            self.ready[f"r{self.count}"] = self.now + self.start_s
            self.count += 1
        for name in list(self.ready)[count:]:
            del self.ready[name]
        if count != self.target:
            self.target = count
            self.history.append((self.now, count))


IDLE, FULL = Load(busy=0.1), Load(crowded_out=100.0, price=0.5, busy=1.0)


def test_nothing_changes_while_there_is_little_to_do() -> None:
    fleet = Watched(ScalingRules(1, 4))
    assert fleet.spend(1000, Load(price=0.05, busy=0.7)) == 1
    assert fleet.history == [(0.0, 1)]


def test_what_is_crowded_out_starts_a_replica_as_soon_as_it_is_worth_a_start() -> None:
    """As much is refused as let in: a replica would be filled. It is worth ten idle ones, less the one that it takes:
    nine seconds a second, of the eight that a start takes. The first rates are known with the second report, at 2 s.
    """
    fleet = Watched(ScalingRules(1, 4))
    fleet.spend(3, FULL)
    assert fleet.history[1] == (2.0 + LOOK_S, 2)


@pytest.mark.parametrize(("price", "after_s"), [(1.0, 0.5), (0.5, 1.5), (0.3, 3.5), (0.2, 7.5), (0.15, 15.5)])
def test_a_price_is_paid_for_until_it_comes_to_a_start(price: float, after_s: float) -> None:
    """At a price p one more is used for p of its time: (10 p - 1) seconds are lost a second, until that is 8."""
    fleet = Watched(ScalingRules(1, 4))
    fleet.spend(30, Load(price=price, busy=0.8))
    assert fleet.history[1] == (2.0 + after_s, 2)


@pytest.mark.parametrize("price", [0.0, 0.05, 0.1])
def test_a_replica_that_would_be_used_for_a_tenth_is_never_started(price: float) -> None:
    fleet = Watched(ScalingRules(1, 4))
    assert fleet.spend(10_000, Load(price=price, busy=0.8)) == 1


def test_a_burst_that_is_over_before_it_comes_to_a_start_is_forgotten() -> None:
    """Two seconds at a price of 0.3 in each twenty cost four seconds, which the eighteen others wear off."""
    fleet = Watched(ScalingRules(1, 4))
    for _ in range(50):
        fleet.spend(2, Load(price=0.3, busy=0.8))
        assert fleet.spend(18, IDLE) == 1


def test_while_one_is_started_the_same_want_does_not_start_another() -> None:
    fleet = Watched(ScalingRules(1, 4), start_s=60.0)
    fleet.spend(50, FULL)
    assert [count for _, count in fleet.history] == [1, 2]


def test_as_many_are_started_as_what_is_crowded_out_would_fill() -> None:
    """Three quarters of all are refused by two replicas: six more would be filled, two are as many as there are."""
    fleet = Watched(ScalingRules(1, 9), target=2)
    fleet.spend(3, Load(admitted=100.0, crowded_out=300.0, busy=1.0))
    assert fleet.history[1] == (2.0 + LOOK_S, 4)


def test_where_all_are_crowded_out_there_is_as_much_again_to_do() -> None:
    rates = ScalingState(0.0)
    fleet = Fleet(2.0, frozenset("ab"), 2, {name: ReplicaReport(2.0, 0, 50, 0, 0) for name in "ab"})
    first = Fleet(0.0, fleet.running, 2, {name: ReplicaReport(0.0, 0, 0, 0, 0) for name in "ab"})
    _, rates = wanted(rates, first, ScalingRules(1, 4))
    _, rates = wanted(rates, fleet, ScalingRules(1, 4))
    assert fleet_load(rates, fleet) == FleetLoad(0.0, 2.0, 0.0, True)


def test_a_replica_is_kept_for_what_another_start_would_cost() -> None:
    fleet = Watched(ScalingRules(1, 4))
    assert fleet.spend(30, 1.3) == 2
    needed = fleet.now
    assert fleet.spend(200, 0.3) == 1
    # From the last report that had something to do.
    assert needed + KEEP_S - REPORT_S <= fleet.history[-1][0] <= needed + KEEP_S + REPORT_S


def test_a_quiet_time_in_which_some_meet_another_is_quiet_all_the_same() -> None:
    """Each twenty seconds a report has a price at which one more would be worth it, were it so for longer."""
    fleet = Watched(ScalingRules(1, 4), target=2)
    for _ in range(6):
        fleet.spend(18, IDLE)
        fleet.spend(2, Load(price=0.15, crowded_out=1.0, busy=0.2))
    assert [count for _, count in fleet.history] == [2, 1]


def test_what_is_worth_a_start_is_worth_being_kept() -> None:
    """At the upper bound there is none to start, and all are needed, though little of their time is."""
    fleet = Watched(ScalingRules(1, 2), target=2)
    assert fleet.spend(300, Load(price=0.15, busy=0.2)) == 2


def test_all_go_at_once_that_were_not_needed_for_so_long() -> None:
    fleet = Watched(ScalingRules(1, 4), target=4)
    fleet.spend(KEEP_S - 1, Load(busy=0.1))
    assert fleet.target == 4
    fleet.spend(10, Load(busy=0.1))
    assert [count for _, count in fleet.history] == [4, 1]


@pytest.mark.parametrize(("demand", "replicas"), [(0.5, 1), (1.3, 2), (2.5, 4), (3.0, 5), (5.5, 8)])
def test_a_step_of_load_is_followed_to_as_many_as_it_takes(demand: float, replicas: int) -> None:
    fleet = Watched(ScalingRules(1, 9))
    fleet.spend(300, demand)
    assert fleet.target == replicas
    assert demand / replicas <= 0.73
    assert fleet.spend(300, 0.1) == 1


def test_as_many_stay_as_the_load_needs() -> None:
    """Four at 0.4 have 1.6 to do, which keeps three at no more than 0.6 each."""
    fleet = Watched(ScalingRules(1, 4), target=4)
    assert fleet.spend(100, Load(busy=0.4)) == 3


def test_a_load_that_comes_and_goes_is_no_reason_to_start_again_and_again() -> None:
    fleet = Watched(ScalingRules(1, 4))
    for _ in range(20):
        fleet.spend(20, 1.3)
        fleet.spend(40, 0.1)
    assert [count for _, count in fleet.history] == [1, 2]


@pytest.mark.parametrize(("takes_s", "start_s"), [(20.0, 14.0), (8.0, 8.0), (4.0, 6.0)])
def test_what_a_start_takes_is_learned(takes_s: float, start_s: float) -> None:
    fleet = Watched(ScalingRules(1, 2), start_s=takes_s)
    fleet.spend(40, FULL)
    assert fleet.state
    assert fleet.state.start_s == pytest.approx(start_s)
    assert fleet.state.keep_s(10.0) == pytest.approx(11 * start_s)


def test_a_machine_that_never_comes_is_not_waited_for_in_all_that_follows() -> None:
    fleet = Watched(ScalingRules(1, 2), start_s=5000.0)
    fleet.spend(5010, FULL)
    assert fleet.state
    assert fleet.state.start_s == pytest.approx(8 + (600 - 8) / 2)


def test_the_longer_a_start_takes_the_longer_it_is_put_off() -> None:
    fleet = Watched(ScalingRules(1, 4), start_s=40.0)
    fleet.spend(60, Load(price=0.3, busy=0.8))
    (_, first), (asked, _), (again, _) = fleet.history[:3]
    assert first == 1
    # The first after 8 s' worth at 2 a second; the next, once the first was there, after 8 + 16.
    assert (asked, again) == (5.5, pytest.approx(5.5 + 40 + 12, abs=LOOK_S))


def test_who_is_not_heard_of_is_needed() -> None:
    fleet = Watched(ScalingRules(1, 4), target=2, silent={"r1"})
    assert fleet.spend(1000, IDLE) == 2
    fleet.silent.clear()
    assert fleet.spend(100, IDLE) == 1


def test_who_falls_silent_is_needed_again() -> None:
    fleet = Watched(ScalingRules(1, 4), target=2)
    fleet.spend(50, IDLE)
    fleet.silent = {"r1"}
    assert fleet.spend(500, IDLE) == 2


def test_where_nobody_reports_all_stays_as_it_is() -> None:
    fleet = Watched(ScalingRules(1, 4), target=3, silent={"r0", "r1", "r2"})
    assert fleet.spend(1000, FULL) == 3


def test_the_others_are_taken_for_one_that_says_nothing() -> None:
    """Half of three says it is at work: so are all, and what is crowded out is that of all."""
    fleet = Watched(ScalingRules(1, 9), target=2, silent={"r1"})
    fleet.spend(2.5, Load(crowded_out=50.0, price=0.2, busy=0.9))
    there = Fleet(fleet.now, fleet.running, 2, fleet.reports)
    assert fleet.state
    load = fleet_load(fleet.state, there)
    assert (load.busy, load.crowded_out) == (pytest.approx(1.8), pytest.approx(0.9))
    assert (load.price, load.known) == (pytest.approx(0.2), False)


def test_a_replica_that_died_is_not_counted_and_not_asked_for_twice() -> None:
    """Ray starts another in its place: the target is as it was, and what the other cannot do is no reason for more."""
    fleet = Watched(ScalingRules(1, 4), target=2)
    fleet.spend(20, Load(busy=0.5))
    del fleet.ready["r1"]
    fleet.ready["r2"] = fleet.now + 8
    fleet.spend(8, Load(crowded_out=80.0, price=0.9, busy=1.0))
    assert fleet.target == 2
    assert fleet.state
    assert set(fleet.state.rates) == {"r0"}
    assert fleet.spend(20, Load(busy=0.5)) == 2


@pytest.mark.parametrize("rules", [ScalingRules(1, 1), ScalingRules(3, 3), ScalingRules(2, 5)])
def test_there_are_never_more_or_fewer_than_the_bounds_allow(rules: ScalingRules) -> None:
    fleet = Watched(rules, target=rules.least)
    assert fleet.spend(300, FULL) == rules.most
    assert fleet.spend(1000, IDLE) == rules.least


def test_other_bounds_hold_at_once() -> None:
    fleet = Watched(ScalingRules(1, 4), target=4)
    fleet.spend(5, FULL)
    fleet.rules = ScalingRules(1, 2)
    assert fleet.spend(LOOK_S, FULL) == 2
    fleet.rules = ScalingRules(3, 9)
    assert fleet.spend(LOOK_S, IDLE) >= 3


def test_what_was_wanted_at_the_upper_bound_for_long_is_forgotten_as_soon() -> None:
    fleet = Watched(ScalingRules(1, 1))
    fleet.spend(1000, FULL)
    fleet.spend(10, IDLE)
    fleet.rules = ScalingRules(1, 4)
    assert fleet.spend(20, IDLE) == 1


@pytest.mark.parametrize("bounds", [(0, 4), (3, 2), (-1, 1)])
def test_bounds_that_no_count_meets_are_refused(bounds: tuple[int, int]) -> None:
    with pytest.raises(UsageError, match="must be from 1 up"):
        ScalingRules(*bounds)


@pytest.mark.parametrize("worth", [1.0, 0.0, -3.0, math.nan])
def test_a_replica_in_use_is_worth_more_than_one_that_idles(worth: float) -> None:
    with pytest.raises(UsageError, match="worth more"):
        ScalingRules(1, 2, worth)


@pytest.mark.parametrize(("text", "least", "most"), [("2", 2, 2), ("1..4", 1, 4), ("3..3", 3, 3)])
def test_bounds_as_they_are_written(text: str, least: int, most: int) -> None:
    rules = ScalingRules.read(text)
    assert (rules.least, rules.most, rules.fixed) == (least, most, least == most)


@pytest.mark.parametrize("text", ["", "two", "1..", "..4", "1...4", "1-4", "1.5", "4..1", "0", "1..257"])
def test_bounds_that_cannot_be_read_are_told(text: str) -> None:
    with pytest.raises(UsageError, match="must be"):
        ScalingRules.read(text)


COUNTS = st.floats(0, 1e4)
REPORTS = st.builds(ReplicaReport, st.floats(0, 1e3), COUNTS, COUNTS, COUNTS, COUNTS)
LOOKS = st.tuples(
    st.floats(0, 30),
    st.frozensets(st.sampled_from("abcd")),
    st.integers(1, 9),
    st.dictionaries(st.sampled_from("abcd"), REPORTS),
)


@given(st.lists(LOOKS, max_size=30))
def test_whatever_is_reported_the_count_is_within_the_bounds(
    looks: list[tuple[float, frozenset[str], int, dict[str, ReplicaReport]]],
) -> None:
    state, now = None, 0.0
    for after, running, target, reports in looks:
        now += after
        count, state = wanted(state, Fleet(now, running, target, reports), ScalingRules(2, 6))
        assert 2 <= count <= 6
        assert 0 <= state.lost_s <= state.start_s <= 600
