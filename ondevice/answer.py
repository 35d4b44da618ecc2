"""The answer to one picture, and the outcome of one picture in a batch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from ondevice.errors import OnDeviceError


class Prediction(NamedTuple):
    """One class: its index in the label list, its name, and the model's score for it."""

    index: int  # type: ignore[assignment]  # hides tuple.index, which nobody needs on three fields
    label: str
    score: float


@dataclass(frozen=True)
class Answer:
    """What a model said of one picture, and how long each part took.

    top: the best classes, best first; `index` counts in the model set's common label list, or in the model's own output
    where it has no card. decode_ms: from the source to the input tensor. invoke_ms: the inference. total_ms: the whole
    call, so a little more than all parts together. device: the emulated device whose inference time that is, or None
    for this machine; decoding is never emulated.

    Where a client chose the place: where: `device` or `cloud`; of an answer from the cloud, queue_ms is its wait there,
    network_ms all that the way took, and runtime and threads are its server's own affair, "" and 0. on_time: whether
    the deadline held, or None where there was none. why: why this place, in a few words. sent_bytes: what was sent for
    it, wherever the answer came from; upload: what that was, `file` or as in `192,40`.
    """

    top: tuple[Prediction, ...]
    model: str
    runtime: str
    threads: int
    decode_ms: float
    invoke_ms: float
    total_ms: float
    device: str | None = None
    where: str = "device"
    queue_ms: float = 0.0
    network_ms: float = 0.0
    on_time: bool | None = None
    why: str = ""
    sent_bytes: int = 0
    upload: str = ""

    @property
    def emulated(self) -> bool:
        """Whether the times are another device's, emulated here."""
        return self.device is not None

    @property
    def index(self) -> int:
        """The best class's index."""
        return self.top[0].index

    @property
    def label(self) -> str:
        """The best class's name."""
        return self.top[0].label

    @property
    def score(self) -> float:
        """The best class's score."""
        return self.top[0].score


class Outcome(NamedTuple):
    """One picture of a batch: its name, and its answer or the error that it alone costs."""

    image: str
    result: Answer | OnDeviceError

    @property
    def ok(self) -> bool:
        """Whether there is an answer."""
        return isinstance(self.result, Answer)

    def get(self) -> Answer:
        """The answer; raises the error where there is none."""
        if isinstance(self.result, Answer):
            return self.result
        raise self.result
