"""A time that changes: its recent samples, and what they say of the next. No clock is read here."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from ondevice.timing.arrays import FloatArray
from ondevice.timing.profile import LEVELS, Profile

# A sample weighs half as much after so many newer ones, and nothing after SIZE. The cut counts: with it, 40 samples
# after a slow-down less than 4 % of the old remain (with 64: 8 %), while one outlier still weighs only 6 %.
HALF_LIFE, SIZE = 12, 48
KEEP = 0.5 ** (1 / HALF_LIFE)
# By age, the oldest first: the last n are the weights of n samples.
_WEIGHTS = KEEP ** np.arange(SIZE - 1, -1, -1)
# By the number of samples: the sum of their weights, and of the squares.
_SUMS = [(float(w.sum()), float(w @ w)) for w in (_WEIGHTS[SIZE - n :] for n in range(SIZE + 1))]
# Quantiles become samples in this order: steps of a golden section, so that none of the young ones stand together.
_ORDER = np.arange(len(LEVELS)) * 8 % len(LEVELS)
_TOP = int(np.argmax(_ORDER))


class _Figures(NamedTuple):
    mean_ms: float
    std_ms: float
    quantiles_ms: FloatArray


class Recent:
    """The last SIZE samples of a time, in ms, the recent ones weighing more. count: how many there have ever been.

    Its figures raise ValueError before the first sample.
    """

    def __init__(self, samples_ms: Iterable[float] = ()) -> None:
        self._samples: deque[float] = deque(maxlen=SIZE)
        self.count = 0
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
        self._samples.append(time_ms(ms))
        self.count += 1
        self._known = None

    def renew(self, samples_ms: Sequence[float]) -> None:
        """Take a new measurement of what has not run for long: it weighs at least as two half-lives of samples.

        So what was learned before keeps a fifth of the weight, and nothing after the second renewal, however few the
        samples. Raises ValueError for none, and for what is no time.
        """
        samples = [time_ms(ms) for ms in samples_ms]
        if not samples:
            raise ValueError("no samples to renew from")
        self._samples.extend(samples * math.ceil(2 * HALF_LIFE / len(samples)))
        self.count += len(samples)
        self._known = None

    @property
    def mean_ms(self) -> float:
        """The weighted mean."""
        return self._figures().mean_ms

    @property
    def std_ms(self) -> float:
        """The weighted standard deviation, of the population that was sampled; 0 for one sample."""
        return self._figures().std_ms

    @property
    def quantiles_ms(self) -> FloatArray:
        """The weighted quantiles at `ondevice.timing.profile.LEVELS`, [21], non-decreasing, read-only."""
        return self._figures().quantiles_ms

    def profile(self, model: str, host: str, runtime: str, threads: int) -> Profile:
        """The samples as those of a model, as it is published and saved. Raises ValueError before the first sample."""
        quantiles_ms = tuple(self.quantiles_ms.tolist())
        return Profile(model, self.mean_ms, self.std_ms, quantiles_ms, self.count, host, runtime, threads)

    def _figures(self) -> _Figures:
        if self._known is None:
            if not self._samples:
                raise ValueError("no time is known: add a sample first")
            self._known = _figures(np.array(self._samples, float))
        return self._known


def _figures(samples: FloatArray) -> _Figures:
    weights = _WEIGHTS[-len(samples) :]
    total, squares = _SUMS[len(samples)]
    mean = float(weights.dot(samples)) / total
    from_mean = samples - mean
    # Unbiased for weights of reliability: with equal ones this is the n - 1 of the textbooks.
    freedom = total - squares / total
    variance = float(weights.dot(from_mean * from_mean)) / freedom if len(samples) > 1 else 0.0
    return _Figures(mean, math.sqrt(variance), quantiles(samples, weights))


def quantiles(samples: FloatArray, weights: FloatArray) -> FloatArray:
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


def time_ms(ms: float) -> float:
    """It, if it is a time. Raises ValueError for what is none."""
    if not 0 <= ms < math.inf:
        raise ValueError(f"{ms} is no time in ms")
    return ms
