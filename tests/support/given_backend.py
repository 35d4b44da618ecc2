"""A backend whose times, queue and loading are given, and a selector among such."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from clock import Clock

from ondevice.cloud.backends.backend import Backend, BackendQueue, BackendTimes, InferenceResult, Others
from ondevice.cloud.backends.learning import Learned
from ondevice.cloud.backends.states import ModelState
from ondevice.cloud.backends.ticket import Ticket
from ondevice.cloud.select.arrival import Arrival
from ondevice.cloud.select.parameters import RequestParameters
from ondevice.cloud.select.rules import Rules
from ondevice.cloud.select.selector import Selector
from ondevice.protocol.metadata import TensorMetadata
from ondevice.protocol.picture import PictureHead
from ondevice.protocol.served import ServedModel
from ondevice.timing.arrays import FloatArray
from ondevice.timing.profile import Profile
from ondevice.timing.recent import Recent
from ondevice.timing.table import LatencyTable

TENSOR = TensorMetadata("in", "INT8", (1, 4, 4, 1))
TOP1 = {"small": 0.5, "middle": 0.7, "large": 0.9}
CLOCK = Clock()
TIME_MS = {"small": 1.0, "middle": 10.0, "large": 100.0}


def model(name: str, top1: float | None = 0.5, labels: Sequence[str] = ("a", "b")) -> ServedModel:
    return ServedModel(name, tuple(labels), top1, "", "int8", 1000, "given", TENSOR, TENSOR)


class GivenQueue(BackendQueue):
    """A queue that is as it is set here."""

    def __init__(self, models: int) -> None:
        self.models, self.waits_ms, self.is_crowded, self.idle = models, 0.0, False, 2
        self.met, self.waits = Others(math.inf, 0.0), 0

    def wait_ms(self, picture: PictureHead | None, due: float = math.inf) -> FloatArray:
        return np.full(self.models, self.waits_ms)

    def others(self, due: float) -> Others:
        return self.met

    @property
    def waiting(self) -> int:
        return self.waits

    @property
    def saturated(self) -> bool:
        return self.is_crowded

    @property
    def room(self) -> int:
        return self.idle


class GivenTimes(BackendTimes):
    """Times that are as they are set here."""

    def __init__(self, models: Sequence[ServedModel]) -> None:
        self.learned = [Learned(m.name, Recent([TIME_MS.get(m.name, 5.0)] * 20)) for m in models]
        self.table = LatencyTable(len(models))
        for row, known in enumerate(self.learned):
            self.table.write(row, known.invoke.distribution)
        self.cold_ms, self.own_ms = np.zeros(len(models)), 0.0

    def work_ms(self, picture: PictureHead | None) -> FloatArray:
        return self.cold_ms + (picture.size_bytes / 1000 if picture else 0.0)

    def loading_ms(self) -> FloatArray:
        return self.cold_ms

    @property
    def way_ms(self) -> float:
        return self.own_ms

    def profile(self, model: str) -> Profile:
        known = next(known for known in self.learned if known.model == model)
        return known.profile("host", "runtime", 1)


class Given(Backend):
    """Models whose times, queue and loading are given; it runs nothing."""

    queue: GivenQueue
    times: GivenTimes

    def __init__(self, name: str = "given", models: Sequence[ServedModel] | None = None) -> None:
        self.name = name
        self.models = [model(name, top1) for name, top1 in TOP1.items()] if models is None else models
        self.queue, self.times = GivenQueue(len(self.models)), GivenTimes(self.models)
        self.is_ready, self.counts_demand = True, False
        self.off: set[str] = set()
        self.wanted: list[str] = []

    async def start(self) -> None: ...

    def close(self) -> None: ...

    def ready(self) -> bool:
        return self.is_ready

    def state(self, model: str) -> ModelState:
        return ModelState.GONE if model in self.off else ModelState.AVAILABLE

    async def load(self, model: str) -> None:
        self.off.discard(model)

    def unload(self, model: str) -> None:
        self.off.add(model)

    def tick(self) -> None: ...

    def record_demand(self, model: str) -> None:
        self.wanted.append(model)

    async def run(self, ticket: Ticket) -> InferenceResult:
        return InferenceResult(ticket.model, [])


def selector(*backends: Backend, **rules: Any) -> Selector:
    return Selector(backends or [Given()], Rules(**rules), np.random.default_rng(0))


def arrival(upload_ms: float = 0.0, size_bytes: int = 0, **asked: Any) -> Arrival:
    return Arrival(RequestParameters(**asked), upload_ms, PictureHead.guessed(size_bytes), CLOCK())


def chosen(of: Selector, **asked: Any) -> str:
    return of.choose(arrival(**asked)).served.name
