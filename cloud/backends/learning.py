"""How long things take here, learned while serving: each model's inference and loads, and the way through this process.

No clock is read in here: who adds a sample says what it was, and where it matters, when.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from ondevice.cloud.backends.decoding import DecodeTimes
from ondevice.timing.bounds import time_ms
from ondevice.timing.profile import Profile
from ondevice.timing.recent import Recent

# The share of the newest load in the average: loads are few and differ by what else the disk does.
_LOAD_SHARE = 0.3
# What was learned of loads is worth half after so long, in s, beside the first: a model that is not loaded because its
# loading once took long could not correct that.
_LOAD_HALF_LIFE_S = 60.0
# The share of a new overhead in the average: it drifts with the load, over some twenty requests.
_OVERHEAD_SHARE = 0.05
# No model is to cost more of the time by being timed again.
_AGAIN_SHARE = 0.01
# The input size of models of which nobody says it: that of most cards.
_USUAL = (224, 224)


@dataclass
class Learned:
    """What is known of one model here. decode: of pictures for its input; models of one input size share it.

    load_ms: an exponential average of its loads, None before the first. first_load_ms: the first. used_at, loaded_at:
    when it last ran, and was last loaded, by the caller's clock, in seconds. sha256: of its file, if that is known.
    """

    model: str
    invoke: Recent
    decode: DecodeTimes = field(default_factory=lambda: DecodeTimes(_USUAL))
    load_ms: float | None = None
    used_at: float = -math.inf
    first_load_ms: float = 0.0
    loaded_at: float = -math.inf
    sha256: str = ""

    def loaded(self, ms: float, now: float) -> None:
        """Take the time of one more load, done at `now`. Raises ValueError for what is not a time."""
        if self.load_ms is None:
            self.load_ms = self.first_load_ms = time_ms(ms)
        else:
            self.load_ms += _LOAD_SHARE * (time_ms(ms) - self.load_ms)
        self.loaded_at = now

    def loading_ms(self, now: float) -> float:
        """The time to expect of a load at `now`: what was learned lately, and ever more the first one; 0 before it."""
        if self.load_ms is None:
            return 0.0
        share = math.exp2((self.loaded_at - now) / _LOAD_HALF_LIFE_S)
        return self.first_load_ms + share * (self.load_ms - self.first_load_ms)

    def renew(self, samples_ms: Sequence[float]) -> None:
        """Take a new measurement after a time without use, as `Recent.renew` does. Raises ValueError."""
        self.invoke.renew(samples_ms)

    def stale(self, now: float, least_s: float, cost_ms: float) -> bool:
        """Whether to time it again at `now`: it has not run for `least_s`, and for long beside what that costs."""
        return now - self.used_at > max(least_s, cost_ms / 1e3 / _AGAIN_SHARE)

    def profile(self, host: str, runtime: str, threads: int) -> Profile:
        """Its inference time, as it is published and saved. Raises ValueError before the first sample."""
        return self.invoke.profile(self.model, host, runtime, threads)


class OwnOverhead:
    """What the way through this process adds to the parts that are measured: `ms`, an average."""

    def __init__(self) -> None:
        # Before the first request: about what a used machine takes.
        self.ms = 0.5

    def add(self, whole_ms: float, parts_ms: float) -> None:
        """Take one more request: how long this backend had it, and what is known of that, ms.

        The whole begins when the backend gets it: what other backends did with it before is none of this one's.
        """
        self.ms += _OVERHEAD_SHARE * (max(whole_ms - parts_ms, 0.0) - self.ms)
