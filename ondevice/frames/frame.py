"""One picture of a stream, and what came of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from time import perf_counter
from typing import NamedTuple

from ondevice.answer import Answer
from ondevice.errors import OnDeviceError
from ondevice.image import ImageSource


@dataclass(frozen=True)
class Frame:
    """A picture, as it came. number: which of all that came, from 1. time: when it came, in UTC. dropped: how many came
    between the frame that was taken before it and this one, and had to give way, because nobody was free for them.
    """

    source: ImageSource
    number: int
    dropped: int = 0
    time: datetime = field(default_factory=lambda: datetime.now(UTC))
    _came_s: float = field(default_factory=perf_counter)  # the wall's clock jumps

    @property
    def age_ms(self) -> float:
        """How long ago it came."""
        return (perf_counter() - self._came_s) * 1e3


class FrameAnswer(NamedTuple):
    """A frame, its answer or the error that it alone costs, and how old the frame was when that was there."""

    frame: Frame
    result: Answer | OnDeviceError
    age_ms: float

    @property
    def ok(self) -> bool:
        """Whether there is an answer."""
        return isinstance(self.result, Answer)

    def get(self) -> Answer:
        """The answer; raises the error where there is none."""
        if isinstance(self.result, Answer):
            return self.result
        raise self.result
