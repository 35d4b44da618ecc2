"""Replicas of the endpoint on a simulated clock: the endpoint's own choice, admission and schedule, but no processes.

What a worker begins takes what is drawn for it. Requests go to the replica with the fewest under way, as Ray's HAProxy
sends them; a replica that is asked for serves after the time that a start takes.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, NamedTuple
from unittest import mock

import numpy as np

from ondevice.cloud.backends.backend import Backend, BackendQueue, BackendTimes, InferenceResult, Others
from ondevice.cloud.backends.schedule import Outlook, Schedule
from ondevice.cloud.backends.states import ModelState
from ondevice.cloud.backends.ticket import Ticket, TurnTimes
from ondevice.cloud.select import expectations
from ondevice.cloud.select.admitted import AdmittedTicket
from ondevice.cloud.select.arrival import Arrival
from ondevice.cloud.select.choice import Choice
from ondevice.cloud.select.parameters import RequestParameters
from ondevice.cloud.select.rules import Rules
from ondevice.cloud.select.selector import Selector
from ondevice.errors import RefusedError
from ondevice.protocol.metadata import TensorMetadata
from ondevice.protocol.picture import PictureHead
from ondevice.protocol.served import ServedModel, Work
from ondevice.timing.arrays import FloatArray
from ondevice.timing.distribution import Distribution
from ondevice.timing.profile import Profile
from ondevice.timing.table import LatencyTable


class Timed(NamedTuple):
    """A model: its accuracy, and what decoding and inference take, mean and deviation, ms."""

    name: str
    top1: float
    mean_ms: float
    std_ms: float


# Four quantized MobileNets on 60 photos each, decoded, one thread of a 2-core Xeon that had nothing else to do.
MODELS = (
    Timed("v1_0.25_128", 0.395, 3.24, 0.72), Timed("v1_0.5_160", 0.572, 4.95, 0.75),
    Timed("v1_0.75_192", 0.661, 8.68, 0.90), Timed("v2_1.0_224", 0.708, 11.75, 1.65),
)  # fmt: skip
_TENSOR = TensorMetadata("in", "INT8", (1, 4, 4, 1))
# So many times are drawn beforehand, again and again in turn: enough that no pattern meets the arrivals'.
_DRAWN = 4096


class Outcome(NamedTuple):
    """Of a request that was let in. top1: the accuracy of the model that answered it."""

    refused: bool = False
    late: bool = False
    top1: float = 0.0


class SimulatedClock:
    """In the place of perf_counter."""

    now = 0.0

    def __call__(self) -> float:
        """What it is told to be, s."""
        return self.now


CLOCK = SimulatedClock()


def on_the_clock() -> AbstractContextManager[Any]:
    """While this holds the endpoint's choices are made on the simulated clock, which begins at 0."""
    CLOCK.now = 0.0
    return mock.patch.object(expectations, "perf_counter", CLOCK)


@dataclass(eq=False)
class Waiting:
    """A request in a replica's queue."""

    ticket: AdmittedTicket
    choice: Choice
    came: float
    mean_ms: dict[str, float]
    overtaken_ms: float = 0.0

    @property
    def due(self) -> float:
        """When it must be done."""
        return self.ticket.due

    @property
    def latest(self) -> float:
        """When it must begin."""
        return self.ticket.latest

    @property
    def expected_ms(self) -> float:
        """For how long it is at work."""
        return self.mean_ms[self.ticket.model]


class Worker(Backend, BackendQueue, BackendTimes):
    """One worker and its queue. told: called with when a request came, and what came of it."""

    def __init__(self, seed: int, told: Callable[[float, Outcome], None]) -> None:
        self.name, self.free, self._told = "simulated", -math.inf, told
        self.models = [ServedModel(m.name, ("a",), m.top1, "", "int8", 1, "here", _TENSOR, _TENSOR) for m in MODELS]
        rng = np.random.default_rng(seed)
        drawn = {m.name: np.maximum(rng.normal(m.mean_ms, m.std_ms, _DRAWN), m.mean_ms / 2) for m in MODELS}
        self._takes_ms = {name: itertools.cycle(takes_ms.tolist()) for name, takes_ms in drawn.items()}
        self._top1 = {m.name: m.top1 for m in MODELS}
        self._mean_ms = {m.name: m.mean_ms for m in MODELS}
        self.table = LatencyTable(len(MODELS))
        for row, takes_ms in enumerate(drawn.values()):
            self.table.write(row, Distribution.of(takes_ms.tolist()))
        self.queue, self.times, self.schedule = self, self, Schedule[Waiting]()
        self._seen: tuple[object, Outlook] = None, Schedule[Waiting]().outlook([0.0], 0.0)
        self.selector = Selector([self], Rules(), rng)

    @property
    def under_way(self) -> int:
        """How many requests are here."""
        return len(self.schedule) + (self.free > CLOCK.now)

    def ask(self, sla_ms: float) -> bool:
        """A request comes now; whether it is let in."""
        arrival = Arrival(RequestParameters(sla_ms=sla_ms), 0.0, None, CLOCK.now)
        try:
            choice = self.selector.choose(arrival)
        except RefusedError:
            return False
        ticket = self.selector.ticket(choice, arrival, Work(b"", True, 1, False, CLOCK.now))
        queued = Waiting(ticket, choice, CLOCK.now, self._mean_ms)
        for other in self.schedule.add(queued):
            other.overtaken_ms += queued.expected_ms
        self.free = max(self.free, CLOCK.now)
        self.work_until(CLOCK.now)
        return True

    def work_until(self, end: float) -> None:
        """Do what there is to do, in its order, up to that time."""
        while self.schedule and self.free <= end:
            CLOCK.now = self.free
            self._begin(self.schedule.pop())
        CLOCK.now = end

    def _begin(self, one: Waiting) -> None:
        now, outlook = CLOCK.now, self._outlook
        try:
            one.ticket.reconsider(TurnTimes(0.0, 0.0, outlook.room_ms(-math.inf), outlook.fill))
        except RefusedError:
            self._told(one.came, Outcome(refused=True))
            return
        model = one.ticket.model
        took_ms = next(self._takes_ms[model])
        self.free = now + took_ms / 1e3
        result = InferenceResult(
            model, [], queue_ms=(now - one.came) * 1e3, infer_ms=took_ms, overtaken_ms=one.overtaken_ms
        )
        self.selector.expectations.observe(one.choice, result, (self.free - one.came) * 1e3)
        self._told(one.came, Outcome(late=self.free > one.due, top1=self._top1[model]))

    @property
    def _outlook(self) -> Outlook:
        key = CLOCK.now, self.free, len(self.schedule)
        if self._seen[0] != key:
            self._seen = key, self.schedule.outlook([max(self.free, CLOCK.now)], CLOCK.now)
        return self._seen[1]

    def wait_ms(self, picture: PictureHead | None, due: float = math.inf) -> FloatArray:
        """As the outlook has it."""
        return np.full(len(self.models), (self._outlook.start(due) - CLOCK.now) * 1e3)

    def others(self, due: float) -> Others:
        """What waits."""
        return Others(self._outlook.room_ms(due), self._outlook.fill)

    def work_ms(self, picture: PictureHead | None) -> FloatArray:
        """Decoding is in the models' times."""
        return np.zeros(len(self.models))

    @property
    def saturated(self) -> bool:
        """Whether new work has to wait."""
        return self.under_way > 0

    @property
    def waiting(self) -> int:
        """Requests in the queue."""
        return len(self.schedule)

    @property
    def room(self) -> int:
        """Whether it is idle."""
        return int(not self.under_way)

    async def start(self) -> None:
        """Nothing to start."""

    def close(self) -> None:
        """Nothing to end."""

    def ready(self) -> bool:
        """Always."""
        return True

    def state(self, model: str) -> ModelState:
        """Always there."""
        return ModelState.AVAILABLE

    async def load(self, model: str) -> None:
        """Nothing to load."""

    def unload(self, model: str) -> None:
        """Nothing to let go."""

    def tick(self) -> None:
        """Nothing to do."""

    def profile(self, model: str) -> Profile:
        """Not asked for."""
        raise NotImplementedError

    async def run(self, ticket: Ticket) -> InferenceResult:
        """Not asked for."""
        raise NotImplementedError
