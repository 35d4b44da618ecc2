"""How long things take here, learned while serving: each model's inference, decoding pictures, loading models.

No clock is read in here: who adds a sample says what it was, and where it matters, when.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from ondevice.timing.profile import Profile
from ondevice.timing.recent import KEEP, Recent, time_ms

# Two pictures, in bytes, and what decoding them takes, in ms.
Line = tuple[tuple[float, float], tuple[float, float]]
# Before the first picture: a small drawing and a photo of a megabyte, on a 2-core x86 server.
PRIOR: Line = ((2_000.0, 0.5), (1_000_000.0, 17.0))
# From sizes that differ less than this, as a share of their mean, no slope is learned: it would be noise.
_SPREAD = 0.05
# The share of the newest load in the average: loads are few and differ by what else the disk does.
_LOAD_SHARE = 0.3


class Linear:
    """A time as a line over a size in bytes, learned by least squares that forget: half after HALF_LIFE samples.

    prior: two points on the line to begin with, which count as the first two samples.
    """

    def __init__(self, prior: Line = PRIOR) -> None:
        self._smallest, self._largest = math.inf, 0.0
        self._weight = self._size = self._ms = self._size_size = self._size_ms = 0.0
        self._slope = 0.0
        for size_bytes, ms in prior:
            self.add(size_bytes, ms)

    def add(self, size_bytes: float, ms: float) -> None:
        """Take one more sample. Raises ValueError for what is not a size or not a time."""
        if not 0 < size_bytes < math.inf:
            raise ValueError(f"{size_bytes} is not a size in bytes")
        self._gather(size_bytes, time_ms(ms))
        self._smallest, self._largest = min(self._smallest, size_bytes), max(self._largest, size_bytes)
        if self._size_size > self._weight * (_SPREAD * self._size) ** 2:
            self._slope = self._size_ms / self._size_size

    def expect(self, size_bytes: float) -> float:
        """The time to expect, in ms, never negative.

        A size beyond those seen is taken for the nearest seen: too low an expectation is mended by the first such
        sample, while too high a one may keep that sample from ever coming.
        """
        size = min(max(size_bytes, self._smallest), self._largest)
        # A line through the mean with neither slope nor intercept below 0.
        slope = min(max(self._slope, 0.0), self._ms / self._size)
        return max(self._ms + slope * (size - self._size), 0.0)  # rounding can take it below

    @property
    def line(self) -> Line:
        """What was learned, as the prior of another: the smallest and the largest size, and what to expect there."""
        return (self._smallest, self.expect(self._smallest)), (self._largest, self.expect(self._largest))

    def _gather(self, size: float, ms: float) -> None:
        """The weighted mean of both, and the sums around it, updated in place (West, CACM 22, 1979).

        Raw sums would cancel; these stay good, and their ratio stays as it was, while one size repeats for ever.
        """
        kept = KEEP * self._weight
        self._weight = kept + 1.0
        from_size, from_ms = size - self._size, ms - self._ms
        self._size += from_size / self._weight
        self._ms += from_ms / self._weight
        share = kept / self._weight
        self._size_size = KEEP * self._size_size + share * from_size * from_size
        self._size_ms = KEEP * self._size_ms + share * from_size * from_ms


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
        """Take the time of one more load. Raises ValueError for what is no time."""
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
