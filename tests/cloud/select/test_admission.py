"""Who is let into a queue with deadlines of all kinds, with which model, and what becomes of them; on a given clock.

The queue is the one before real workers, but what they do takes no time but that which they are said to take.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import given_backend
import numpy as np
import pytest
from clock import Clock

from ondevice.cloud.backends.backend import Backend, BackendQueue, BackendTimes, InferenceResult, Others
from ondevice.cloud.backends.schedule import Outlook, Schedule
from ondevice.cloud.backends.states import ModelState
from ondevice.cloud.backends.ticket import Ticket, TurnTimes
from ondevice.cloud.select.admitted import AdmittedTicket
from ondevice.cloud.select.arrival import Arrival
from ondevice.cloud.select.choice import Choice
from ondevice.cloud.select.parameters import RequestParameters
from ondevice.cloud.select.rules import Rules
from ondevice.cloud.select.selector import Selector
from ondevice.errors import RefusedError
from ondevice.protocol.picture import PictureHead
from ondevice.protocol.served import Work
from ondevice.timing.arrays import FloatArray
from ondevice.timing.distribution import Distribution
from ondevice.timing.profile import Profile
from ondevice.timing.table import LatencyTable

# Two models, by what they take on a machine of two cores.
TIMES_MS, TOP1 = {"thrifty": 1.0, "best": 4.0}, {"thrifty": 0.42, "best": 0.71}
DEADLINES_MS = (20.0, 53.0, 141.0, 376.0, 1000.0)


@dataclass(eq=False)
class Queued:
    """A ticket in the queue. choice: the one with which it was let in. overtaken_ms: as jobs have it."""

    ticket: AdmittedTicket
    came: float
    choice: Choice
    overtaken_ms: float = 0.0

    @property
    def due(self) -> float:
        return self.ticket.due

    @property
    def latest(self) -> float:
        return self.ticket.latest

    @property
    def expected_ms(self) -> float:
        return TIMES_MS[self.ticket.model]


class OneWorker(Backend, BackendQueue, BackendTimes):
    """A worker on a clock: what it begins takes exactly as long as it is said to."""

    def __init__(self, clock: Clock) -> None:
        self.name, self._clock = "one", clock
        self.models = [given_backend.model(name, TOP1[name]) for name in TIMES_MS]
        self.table = LatencyTable(len(self.models))
        for row, ms in enumerate(TIMES_MS.values()):
            self.table.write(row, Distribution.of([ms] * 20))
        self.queue, self.times = self, self
        self.schedule: Schedule[Queued] = Schedule()
        self.free = -math.inf
        # How many times as long as it is said to take anything takes.
        self.stretch = 1.0
        self._seen: tuple[object, Outlook] = None, Schedule[Queued]().outlook([0.0], 0.0)
        # Who was answered, by which model, and when; and who was refused after having been let in.
        self.answered: list[tuple[AdmittedTicket, str, float]] = []
        self.dropped: list[AdmittedTicket] = []
        self.told: Callable[[Choice, InferenceResult, float], None] = lambda choice, result, server_ms: None

    @property
    def outlook(self) -> Outlook:
        key = self._clock(), self.free, len(self.schedule)
        if self._seen[0] != key:
            self._seen = key, self.schedule.outlook([max(self.free, key[0])], key[0])
        return self._seen[1]

    def add(self, queued: Queued) -> None:
        """Put it where it belongs."""
        for other in self.schedule.add(queued):
            other.overtaken_ms += queued.expected_ms

    def work_until(self, end: float) -> None:
        """Do what there is to do, in its order, up to that time."""
        while self.schedule and (at := max(self.free, min(q.came for q in self.schedule))) <= end:
            self._clock.now_s = at
            queued = self.schedule.pop()
            ticket = queued.ticket
            try:
                ticket.reconsider(TurnTimes(0.0, 0.0, self.outlook.room_ms(-math.inf), self.outlook.fill))
            except RefusedError:
                self.dropped.append(ticket)
                continue
            took_ms = TIMES_MS[ticket.model] * self.stretch
            self.free = at + took_ms / 1e3
            self.answered.append((ticket, ticket.model, self.free))
            times_ms = {"queue_ms": (at - queued.came) * 1e3, "infer_ms": took_ms}
            result = InferenceResult(ticket.model, [], overtaken_ms=queued.overtaken_ms, **times_ms)
            self.told(queued.choice, result, (self.free - queued.came) * 1e3)
        self._clock.now_s = end

    def wait_ms(self, picture: PictureHead | None, due: float = math.inf) -> FloatArray:
        return np.full(len(self.models), (self.outlook.start(due) - self._clock()) * 1e3)

    def others(self, due: float) -> Others:
        return Others(self.outlook.room_ms(due), self.outlook.fill)

    def work_ms(self, picture: PictureHead | None) -> FloatArray:
        return np.zeros(len(self.models))

    @property
    def saturated(self) -> bool:
        return bool(self.schedule) or self.free > self._clock()

    @property
    def waiting(self) -> int:
        return len(self.schedule)

    @property
    def room(self) -> int:
        return 0

    async def start(self) -> None: ...

    def close(self) -> None: ...

    def ready(self) -> bool:
        return True

    def state(self, model: str) -> ModelState:
        return ModelState.AVAILABLE

    async def load(self, model: str) -> None: ...

    def unload(self, model: str) -> None: ...

    def tick(self) -> None: ...

    def profile(self, model: str) -> Profile:
        raise AssertionError("a choice asks the table for times")

    async def run(self, ticket: Ticket) -> InferenceResult:
        raise AssertionError("a choice runs nothing")


class Line:
    """Requests that come one after the other to an endpoint with one worker. refused: those that were not let in."""

    def __init__(self, clock: Clock, **rules: Any) -> None:
        self._clock, self.worker = clock, OneWorker(clock)
        self.selector = Selector([self.worker], Rules(**rules), np.random.default_rng(0))
        self.worker.told = self.selector.expectations.observe
        self.refused: list[float] = []

    def comes(self, sla_ms: float, policy: str | None = None) -> AdmittedTicket | None:
        """One more; its ticket, if it is let in."""
        arrival = Arrival(RequestParameters(sla_ms=sla_ms, policy=policy), 0.0, None, self._clock())
        try:
            choice = self.selector.choose(arrival)
        except RefusedError:
            self.refused.append(sla_ms)
            return None
        ticket = self.selector.ticket(choice, arrival, Work(b"", True, 1, False, self._clock()))
        self.worker.add(Queued(ticket, self._clock(), choice))
        self.worker.work_until(self._clock())
        return ticket

    def run(self, seconds: float, rates: dict[float, float], seed: int = 0) -> dict[float, float]:
        """Poisson arrivals, so many a second for each deadline, ms: the share of each that is right and in time."""
        rng, began = np.random.default_rng(seed), self._clock()
        times: list[tuple[float, float]] = []
        for ms, rate in rates.items():
            times += [(float(at), ms) for at in np.cumsum(rng.exponential(1 / rate, int(rate * seconds)))]
        for at, sla_ms in sorted(times):
            self.worker.work_until(began + at)
            self.comes(sla_ms)
        self.worker.work_until(self._clock() + 10.0)
        count = {ms: sum(one == ms for _, one in times) for ms in rates}
        right = dict.fromkeys(rates, 0.0)
        for ticket, model, done in self.worker.answered:
            right[ticket.choice.problem.network.sla_ms] += TOP1[model] * (done <= ticket.due + 1e-9)
        return {ms: right[ms] / count[ms] for ms in rates}

    @property
    def late(self) -> Sequence[AdmittedTicket]:
        return [ticket for ticket, _, done in self.worker.answered if done > ticket.due + 1e-9]


def test_a_hurried_request_is_let_in_before_patient_ones(clock: Clock) -> None:
    line = Line(clock, policy="static-accuracy")
    for _ in range(50):
        line.comes(2000)
    hurried = line.comes(50)
    assert hurried
    line.worker.work_until(clock() + 1.0)
    order = [ticket for ticket, _, _ in line.worker.answered]
    assert order.index(hurried) == 1  # the first had begun
    assert not line.late


def test_nobody_is_let_in_who_would_make_another_late(clock: Clock) -> None:
    """The queue is such that those who wait are just in time: whoever would come before them is refused at once."""
    line = Line(clock, policy="static-accuracy")
    for _ in range(6):
        assert line.comes(24)
    assert line.comes(20) is None
    assert line.comes(24) is None
    assert line.comes(40)  # after them
    line.worker.work_until(clock() + 1.0)
    assert not line.late
    assert not line.worker.dropped


def test_a_thriftier_model_is_taken_where_the_best_would_make_others_late(clock: Clock) -> None:
    line = Line(clock, policy="effective:price=0")
    for _ in range(5):
        assert line.comes(20)  # the last could begin 3 ms later, and be answered by the thrifty one
    hurried = line.comes(15)
    assert hurried
    assert hurried.model == "thrifty"
    line.worker.work_until(clock() + 1.0)
    assert not line.late


@pytest.mark.parametrize("seed", range(3))
def test_whoever_is_let_in_is_not_made_late_by_what_comes_after(clock: Clock, seed: int) -> None:
    """At twice what the best model can carry, with five deadlines: each admitted request is answered by its own."""
    line = Line(clock)
    line.run(2.0, dict.fromkeys(DEADLINES_MS, 100.0), seed)
    assert not line.late
    assert len(line.worker.dropped) <= 0.01 * len(line.worker.answered)


def test_two_deadlines_at_eight_tenths_are_served_as_if_each_were_alone(clock: Clock) -> None:
    rates = {50.0: 100.0, 2000.0: 100.0}
    together = Line(clock).run(4.0, rates)
    for sla_ms, rate in rates.items():
        alone = Line(clock).run(4.0, {sla_ms: rate})[sla_ms]
        assert together[sla_ms] >= 0.95 * alone


def test_at_twice_the_load_no_class_pays_for_another(clock: Clock) -> None:
    """Right and in time: no deadline above 20 ms under nine tenths of the best."""
    shares = Line(clock).run(4.0, dict.fromkeys(DEADLINES_MS, 100.0))
    best = max(shares.values())
    assert all(share >= 0.9 * best for sla_ms, share in shares.items() if sla_ms > 20)


def test_those_who_are_refused_are_paid_for_by_those_who_are_not(clock: Clock) -> None:
    """Patient clients take the thriftier model, too, while hurried ones find no place behind the best one's work."""
    line = Line(clock)
    calm = line.run(2.0, {2000.0: 180.0})
    assert calm[2000.0] == pytest.approx(TOP1["best"], abs=0.02)
    for _ in range(60):
        line.selector.expectations.pressure.refused(50.0)
    _, patient, hurried = line.comes(2000), line.comes(2000), line.comes(50)
    assert patient
    assert hurried
    # A hurried one sees for itself how long the queue is for those like it.
    assert (patient.model, hurried.model) == ("thrifty", "best")


def test_a_deadline_that_no_idle_server_could_meet_costs_nobody_anything(clock: Clock) -> None:
    line = Line(clock)
    line.comes(1000)
    for _ in range(100):
        assert line.comes(0.5) is None
    patient = line.comes(2000)
    assert patient
    assert patient.model == "best"


def test_what_was_refused_by_the_timer_counts_as_well(clock: Clock) -> None:
    line = Line(clock)
    line.comes(1000)
    late = line.comes(1000)
    assert late
    for _ in range(60):
        assert "others came first" in str(late.expired())
    patient = line.comes(2000)
    assert patient
    assert patient.model == "thrifty"


def test_what_patient_requests_wait_in_vain_is_not_expected_by_hurried_ones(clock: Clock) -> None:
    """Everything takes half as long again as it is said to, so that long waits are off by hundreds of ms."""
    line = Line(clock)
    line.worker.stretch = 1.5
    line.run(4.0, dict.fromkeys(DEADLINES_MS, 60.0))
    assert line.refused.count(53.0) < 0.1 * 4.0 * 60.0


def test_a_choice_is_made_again_at_its_turn_where_the_price_has_risen_since(clock: Clock) -> None:
    line = Line(clock)
    line.comes(2000)
    waiting = [line.comes(2000) for _ in range(4)]
    assert [ticket and ticket.model for ticket in waiting] == ["best"] * 4
    for _ in range(60):
        line.selector.expectations.pressure.refused(50.0)
    line.worker.work_until(clock() + 1.0)
    models = [model for _, model, _ in line.worker.answered[1:]]
    assert models == ["thrifty", "thrifty", "thrifty", "best"]  # behind the last nobody waits
