"""Where inferences can run, behind one face: in this process's workers, or at another server."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from ondevice.cloud.backends.states import ModelState
from ondevice.cloud.backends.ticket import Ticket
from ondevice.protocol.picture import PictureHead
from ondevice.protocol.served import ServedModel
from ondevice.timing.arrays import FloatArray
from ondevice.timing.profile import Profile
from ondevice.timing.table import LatencyTable


@dataclass
class InferenceResult:
    """What came of it. top: (index, score), best first. Times in ms; infer_ms is the inference, and for another server
    the whole round trip. overtaken_ms: what it waited for others that came after it.
    """

    model: str
    top: list[tuple[int, float]]
    raw: bytes = b""
    queue_ms: float = 0.0
    decode_ms: float = 0.0
    infer_ms: float = 0.0
    load_ms: float = 0.0
    overtaken_ms: float = 0.0


class Others(NamedTuple):
    """What waits in a backend's queue besides new work.

    room_ms: how long new work may take without making late what it would come before. fill: the largest share of the
    time that it has left to begin that anything there will have waited, from 0 to 1.
    """

    room_ms: float
    fill: float


class BackendQueue(ABC):
    """The work that waits for a backend, as new work would meet it."""

    @property
    @abstractmethod
    def waiting(self) -> int:
        """How much work waits."""

    @property
    @abstractmethod
    def saturated(self) -> bool:
        """Whether new work would have to wait, or make other work wait."""

    @property
    @abstractmethod
    def room(self) -> int:
        """How many inferences could begin at once now; 0 where that is not known."""

    @abstractmethod
    def wait_ms(self, picture: PictureHead | None, due: float = math.inf) -> FloatArray:
        """For each model, how long new work waits for its turn; ms, [m].

        picture: None for a tensor. due: when it must be done, by perf_counter.
        """

    def others(self, due: float) -> Others:
        """What new work that is due then would meet."""
        return Others(math.inf, 0.0)


class BackendTimes(ABC):
    """How long a backend's models take, as learned so far. table: their inferences, one row each."""

    table: LatencyTable

    @abstractmethod
    def work_ms(self, picture: PictureHead | None) -> FloatArray:
        """For each model, what a worker does for it beside the inference, decoding and loading; ms, [m]."""

    @property
    def way_ms(self) -> float:
        """What the way through this process adds, for which no worker is kept."""
        return 0.0

    def loading_ms(self) -> FloatArray:
        """For each model, how much of that is loading."""
        return np.zeros(len(self.table.mean_ms))

    @abstractmethod
    def profile(self, model: str) -> Profile:
        """The model's times here."""


class Backend(ABC):
    """Holds some models and runs them. models, queue, times: from its start on."""

    name: str
    models: Sequence[ServedModel]
    queue: BackendQueue
    times: BackendTimes
    # Whether it cannot hold all its models at once, and is to be told which are wanted.
    counts_demand: bool = False
    # Whether an inference keeps one of this process's workers.
    infers_here: bool = True

    @abstractmethod
    async def start(self) -> None:
        """Become able to serve. Raises OnDeviceError."""

    @abstractmethod
    def close(self) -> None:
        """Let everything go."""

    @abstractmethod
    def tick(self) -> None:
        """What is done between requests; called a few times a second."""

    @abstractmethod
    def ready(self) -> bool:
        """Whether any of its models can be run now."""

    @abstractmethod
    def state(self, model: str) -> ModelState:
        """What the model is now, and why it cannot be asked for."""

    def available(self, model: str) -> bool:
        """Whether the model can be asked for now."""
        return self.state(model) is ModelState.AVAILABLE

    @abstractmethod
    async def load(self, model: str) -> None:
        """Load the model, and let it be asked for. Raises ModelError, ServeError."""

    @abstractmethod
    def unload(self, model: str) -> None:
        """Let the model go; it is not available until it is loaded again."""

    def record_demand(self, model: str) -> None:  # noqa: B027  # only some care
        """Count that this model would be best, were it loaded."""

    @abstractmethod
    async def run(self, ticket: Ticket) -> InferenceResult:
        """Do the work in its turn. Raises ImageError, ModelError, ServeError, RefusedError."""
