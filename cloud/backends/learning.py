"""How long things take here, learned while serving: each model's inference, decoding pictures, loading models.

No clock is read in here: who adds a sample says what it was, and where it matters, when.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from ondevice.timing.bounds import time_ms
from ondevice.timing.linear import Linear
from ondevice.timing.profile import Profile
from ondevice.timing.recent import Recent

# The share of the newest load in the average: loads are few and differ by what else the disk does.
_LOAD_SHARE = 0.3


@dataclass
class Learned:
    """What is known of one model here. decode: of pictures for its input; models of one input size may share it.

    load_ms: an exponential average of its loads, None before the first. used_at: when it last ran, by the caller's
    clock, in seconds.
    """

    model: str
    invoke: Recent
    decode: Linear = field(default_factory=Linear)
    load_ms: float | None = None
    used_at: float = -math.inf

    def loaded(self, ms: float) -> None:
        """Take the time of one more load. Raises ValueError for what is not a time."""
        self.load_ms = (
            time_ms(ms) if self.load_ms is None else self.load_ms + _LOAD_SHARE * (time_ms(ms) - self.load_ms)
        )

    def renew(self, samples_ms: Sequence[float]) -> None:
        """Take a new measurement after a time without use, as `Recent.renew` does. Raises ValueError."""
        self.invoke.renew(samples_ms)

    def stale(self, now: float, after_s: float) -> bool:
        """Whether it has not run for so long at the time `now`."""
        return now - self.used_at > after_s

    def profile(self, host: str, runtime: str, threads: int) -> Profile:
        """Its inference time, as it is published and saved. Raises ValueError before the first sample."""
        return self.invoke.profile(self.model, host, runtime, threads)
