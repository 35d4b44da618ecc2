"""A backend whose models answer what a test says, and a service before it without a socket."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping, Sequence
from time import perf_counter
from typing import Any, cast

import numpy as np

from ondevice.cloud.app.gate import Gate
from ondevice.cloud.app.log import Log
from ondevice.cloud.app.messages import Head, Piece, Response
from ondevice.cloud.app.metrics import Metrics
from ondevice.cloud.app.service import Service
from ondevice.cloud.app.strangers import Strangers
from ondevice.cloud.app.tokens import Tokens
from ondevice.cloud.backends.backend import Backend, BackendQueue, BackendTimes, InferenceResult
from ondevice.cloud.backends.states import ModelState
from ondevice.cloud.backends.ticket import Ticket
from ondevice.cloud.select.rules import Rules
from ondevice.cloud.select.selector import Selector
from ondevice.protocol.metadata import TensorMetadata
from ondevice.protocol.picture import PictureHead
from ondevice.protocol.served import ServedModel
from ondevice.timing.arrays import FloatArray
from ondevice.timing.distribution import Distribution
from ondevice.timing.profile import Profile
from ondevice.timing.table import LatencyTable

PICTURE = "image/png"
_IN = TensorMetadata("in", "INT8", (1, 4, 4, 1))
_OUT = TensorMetadata("out", "FP32", (1, 2))
# What a model's inference takes, ms, unless it is said: so little that it is in time for any deadline of a test.
_USUAL_MS = 0.5


class NoQueue(BackendQueue):
    """Nobody waits."""

    waiting, saturated, room = 0, False, 8

    def __init__(self, count: int) -> None:
        self._nothing = np.zeros(count)

    def wait_ms(self, picture: PictureHead | None, due: float = math.inf) -> FloatArray:
        return self._nothing


class SteadyTimes(BackendTimes):
    """Each model always takes the same, and nothing comes around it."""

    def __init__(self, times_ms: Mapping[str, float]) -> None:
        self.table, self._nothing = LatencyTable(len(times_ms)), np.zeros(len(times_ms))
        self._known = {model: Distribution.of([ms]) for model, ms in times_ms.items()}
        for row, known in enumerate(self._known.values()):
            self.table.write(row, known)

    def work_ms(self, picture: PictureHead | None) -> FloatArray:
        return self._nothing

    def profile(self, model: str) -> Profile:
        return Profile(model, *self._known[model].figures, 20, "here", "given", 1)


class Answering(Backend):
    """Its models, by name with their accuracies, answer, or raise what `errors` has for them; some take their time."""

    def __init__(self, name: str = "given", times_ms: Mapping[str, float] = {}, **top1: float) -> None:
        self.name = name
        self.models = [ServedModel(m, ("cat", "dog"), a, "", "", 0, name, _IN, _OUT) for m, a in top1.items()]
        self._times_ms = {m: times_ms.get(m, _USUAL_MS) for m in top1}
        self.queue, self.times = NoQueue(len(top1)), SteadyTimes(self._times_ms)
        self.errors: dict[str, Exception] = {}
        self.states: dict[str, ModelState] = {}
        self.is_ready = True
        self.done: list[str] = []

    async def start(self) -> None: ...

    def close(self) -> None: ...

    def tick(self) -> None: ...

    def ready(self) -> bool:
        return self.is_ready

    def state(self, model: str) -> ModelState:
        return self.states.get(model, ModelState.AVAILABLE)

    async def load(self, model: str) -> None:
        if model in self.errors:
            raise self.errors[model]
        self.states.pop(model, None)

    def unload(self, model: str) -> None:
        self.states[model] = ModelState.GONE

    async def run(self, ticket: Ticket) -> InferenceResult:
        self.done.append(ticket.model)
        if ticket.model in self.errors:
            raise self.errors[ticket.model]
        ms = self._times_ms[ticket.model]
        await asyncio.sleep(ms / 1e3)
        return InferenceResult(ticket.model, [(1, 0.75), (0, 0.25)], infer_ms=ms)


class Lines(list[dict[str, Any]]):
    """A log that is kept."""

    requests = True

    def event(self, event: str, **fields: Any) -> None:
        self.append({"event": event, **fields})

    def request(self, fields: dict[str, Any]) -> None:
        self.event("request", **fields)

    def named(self, event: str) -> list[dict[str, Any]]:
        return [line for line in self if line["event"] == event]


class Asked:
    """A service before these backends, and its log. may_ask: as for the gate."""

    def __init__(self, *backends: Answering, may_ask: Tokens | Strangers | None = None) -> None:
        self.log, self.metrics = Lines(), Metrics()
        selector = Selector(backends, Rules(), np.random.default_rng(0))
        self.service = Service(selector, cast(Log, self.log), self.metrics, Gate(may_ask))

    def ask(self, method: str, path: str, body: bytes = b"", **headers: str) -> tuple[int, bytes]:
        """The status and the whole body of the reply."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        path, _, query = path.partition("?")
        head = Head(method, path, query, named, len(body), "client", perf_counter())
        return asyncio.run(self._answered(head, body))

    async def _answered(self, head: Head, body: bytes) -> tuple[int, bytes]:
        begun = self.service.begin(head)
        if isinstance(begun, Response):
            return begun.status, cast(bytes, begun.body)
        refused = begun.receive(body)
        response = refused or await begun.answer(perf_counter(), 0.0)
        if isinstance(response.body, bytes):
            return response.status, response.body
        pieces: Sequence[Piece] = [piece async for piece in response.body]
        return response.status, b"".join(piece.data for piece in pieces)
