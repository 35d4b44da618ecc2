"""How long things take here, learned while serving: each model's inference, decoding pictures, loading models.

No clock is read in here: who adds a sample says what it was, and where it matters, when.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from ondevice.profile import LEVELS, Profile

_Vector = np.ndarray[Any, np.dtype[np.float64]]

# A sample weighs half as much after so many newer ones, and nothing after SIZE. The cut counts: with it, 40 samples
# after a slow-down less than 4 % of the old remain (with 64: 8 %), while one outlier still weighs only 6 %.
HALF_LIFE, SIZE = 12, 48
_KEEP = 0.5 ** (1 / HALF_LIFE)
# By age, the oldest first: the last n are the weights of n samples.
_WEIGHTS = _KEEP ** np.arange(SIZE - 1, -1, -1)
# By the number of samples: the sum of their weights, and of the squares.
_SUMS = [(float(w.sum()), float(w @ w)) for w in (_WEIGHTS[SIZE - n :] for n in range(SIZE + 1))]
# Quantiles become samples in this order: steps of a golden section, so that none of the young ones stand together.
_ORDER = np.arange(len(LEVELS)) * 8 % len(LEVELS)
_TOP = int(np.argmax(_ORDER))

# Two pictures, in bytes, and what decoding them takes, in ms: digits and photos on a 2-core x86 server.
Line = tuple[tuple[float, float], tuple[float, float]]
PRIOR: Line = ((2_000.0, 0.5), (1_000_000.0, 17.0))
# From sizes that differ less than this, as a share of their mean, no slope is learned: it would be noise.
_SPREAD = 0.05
# Of the newest load in the average.
_LOAD_SHARE = 0.3


class _Figures(NamedTuple):
    mean_ms: float
    std_ms: float
    quantiles_ms: _Vector


class Recent:
    """The last SIZE samples of a time, in ms, the recent ones weighing more. count: how many there have ever been.

    Its figures raise ValueError before the first sample.
    """

    def __init__(self, samples_ms: Iterable[float] = ()) -> None:
        # Every sample is written twice, SIZE apart: so the last ones always lie in one piece.
        self._ring, self._written, self.count = np.zeros(2 * SIZE), 0, 0
        self._known: _Figures | None = None
        for ms in samples_ms:
            self.add(ms)

    @classmethod
    def seeded(cls, profile: Profile) -> Recent:
        """Start from a measurement or a saved profile: its 21 quantiles are the first samples, its n their count.

        The largest was one of n runs and not one of 21: it is lowered, to the 95th percentile at most, until the mean
        is the profile's.
        """
        samples = np.array(profile.quantiles_ms, float)[_ORDER]
        weights = _WEIGHTS[-len(samples) :]
        excess_ms = (weights @ samples - profile.mean_ms * weights.sum()) / weights[_TOP]
        samples[_TOP] -= min(max(excess_ms, 0.0), samples[_TOP] - profile.quantiles_ms[-2])
        recent = cls(samples.tolist())
        recent.count = profile.n
        return recent

    def add(self, ms: float) -> None:
        """Take one more sample. Raises ValueError for what is no time."""
        self._write(_time(ms))
        self.count += 1

    def renew(self, samples_ms: Sequence[float]) -> None:
        """Take a new measurement of what has not run for long: it weighs at least as two half-lives of samples.

        So what was learned before keeps a fifth of the weight, and nothing after the second renewal, however few the
        samples. Raises ValueError for none, and for what is no time.
        """
        samples = [_time(ms) for ms in samples_ms]
        if not samples:
            raise ValueError("no samples to renew from")
        for ms in samples * math.ceil(2 * HALF_LIFE / len(samples)):
            self._write(ms)
        self.count += len(samples)

    @property
    def mean_ms(self) -> float:
        """The weighted mean."""
        return self._figures().mean_ms

    @property
    def std_ms(self) -> float:
        """The weighted standard deviation, of the population that was sampled; 0 for one sample."""
        return self._figures().std_ms

    @property
    def quantiles_ms(self) -> _Vector:
        """The weighted quantiles at `ondevice.profile.LEVELS`, [21], non-decreasing, read-only."""
        return self._figures().quantiles_ms

    def _write(self, ms: float) -> None:
        at = self._written % SIZE
        self._ring[at] = self._ring[at + SIZE] = ms
        self._written += 1
        self._known = None

    def _figures(self) -> _Figures:
        if self._known is None:
            self._known = _figures(self._window())
        return self._known

    def _window(self) -> _Vector:
        """The samples kept, the oldest first."""
        if not self._written:
            raise ValueError("no time is known: add a sample first")
        end = (self._written - 1) % SIZE + SIZE + 1
        return self._ring[end - min(self._written, SIZE) : end]


def _figures(samples: _Vector) -> _Figures:
    weights = _WEIGHTS[-len(samples) :]
    total, squares = _SUMS[len(samples)]
    mean = float(weights.dot(samples)) / total
    from_mean = samples - mean
    # Unbiased for weights of reliability: with equal ones this is the n - 1 of the textbooks.
    freedom = total - squares / total
    variance = float(weights.dot(from_mean * from_mean)) / freedom if len(samples) > 1 else 0.0
    return _Figures(mean, math.sqrt(variance), _quantiles(samples, weights))


def _quantiles(samples: _Vector, weights: _Vector) -> _Vector:
    """Linear between samples, each standing at the middle of its weight, the smallest at 0 and the largest at 1.

    With equal weights these are numpy's, type 7 of Hyndman and Fan (The American Statistician 50, 1996).
    """
    order = samples.argsort()
    values, weights = samples[order], weights[order]
    if len(values) > 1:
        at = np.add.accumulate(weights)  # a third of the time of `cumsum`
        at -= 0.5 * weights
        at -= at[0]
        at /= at[-1]
        values = np.interp(LEVELS, at, values)
    else:
        values = np.repeat(values, len(LEVELS))
    values.setflags(write=False)
    return values


def _time(ms: float) -> float:
    if not 0 <= ms < math.inf:
        raise ValueError(f"{ms} is no time in ms")
    return ms


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
        """Take one more sample. Raises ValueError for what is no size or no time."""
        if not 0 < size_bytes < math.inf:
            raise ValueError(f"{size_bytes} is no size in bytes")
        self._gather(size_bytes, _time(ms))
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
        self.load_ms = _time(ms) if self.load_ms is None else self.load_ms + _LOAD_SHARE * (_time(ms) - self.load_ms)

    def renew(self, samples_ms: Sequence[float]) -> None:
        """Take a new measurement after a time without use, as `Recent.renew` does. Raises ValueError."""
        self.invoke.renew(samples_ms)

    def stale(self, now: float, after_s: float) -> bool:
        """Whether it has not run for so long at the time `now`."""
        return now - self.used_at > after_s

    def profile(self, host: str, runtime: str, threads: int) -> Profile:
        """Its inference time, as it is published and saved. Raises ValueError before the first sample."""
        times = self.invoke
        quantiles = tuple(times.quantiles_ms.tolist())
        return Profile(self.model, times.mean_ms, times.std_ms, quantiles, times.count, host, runtime, threads)
