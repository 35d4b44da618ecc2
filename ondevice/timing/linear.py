"""A time that depends on a size, learned by a line through recent samples. No clock is read here."""

from __future__ import annotations

import math

from ondevice.timing.bounds import time_ms
from ondevice.timing.recent import HALF_LIFE

# Two sizes, in bytes, and what they take, in ms.
Line = tuple[tuple[float, float], tuple[float, float]]
# Decoding before the first picture: a small drawing and a photo of a megabyte, on a 2-core x86 server.
PRIOR: Line = ((2_000.0, 0.5), (1_000_000.0, 17.0))
# From sizes that differ less than this, as a share of their mean, no slope is learned: it would be noise.
_SPREAD = 0.05
# Of all weights, with each new sample: inference and decoding slow down together, and are forgotten alike.
_KEEP = 0.5 ** (1 / HALF_LIFE)


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
        kept = _KEEP * self._weight
        self._weight = kept + 1.0
        from_size, from_ms = size - self._size, ms - self._ms
        self._size += from_size / self._weight
        self._ms += from_ms / self._weight
        share = kept / self._weight
        self._size_size = _KEEP * self._size_size + share * from_size * from_size
        self._size_ms = _KEEP * self._size_ms + share * from_size * from_ms
