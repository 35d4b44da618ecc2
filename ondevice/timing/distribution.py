"""What is known of a time: its mean, deviation and quantiles; and of many times at once."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from ondevice.timing.arrays import FloatArray, IndexArray
from ondevice.timing.quantiles import LEVELS, chance, lowered, normal, time_at, weighted_quantiles
from ondevice.timing.window import Weights

# A quantile function of straight lines has the mean of their middles: so its ends weigh half.
_LINES = np.concatenate([[0.5], np.ones(len(LEVELS) - 2), [0.5]])
# A normal distribution has no ends: it is cut at the thousandth parts, beyond which a thousand runs show about one.
_NORMAL = normal(np.clip(LEVELS, 1e-3, 1 - 1e-3))
# Published times are rounded: means and quantiles that contradict each other by a thousandth are taken as they are.
_ROUNDED = 1e-3
# Known quantiles are put on a grid of tenths of a percent, the finest that is published of times.
_TENTHS = 1000
# Between two supports on the common axis of many distributions, and beyond each end, in ms; any width does.
_MARGIN_MS = 1.0


class Distribution(NamedTuple):
    """A time's mean, standard deviation (of what was sampled) and quantiles, in ms.

    quantiles_ms [k]: evenly spaced from 0 to 1, never falling; at LEVELS, unless `shaped` was given more or fewer.
    """

    mean_ms: float
    std_ms: float
    quantiles_ms: FloatArray

    @classmethod
    def of(cls, samples_ms: FloatArray | Sequence[float], weights: Weights | None = None) -> Distribution:
        """From samples [n] in ms, at least one, weighted or all alike. Raises ValueError for none.

        The deviation is unbiased for weights of reliability: with equal ones it is the n - 1 of the textbooks. It is 0
        for one sample.
        """
        samples = np.asarray(samples_ms, float)
        if not len(samples):
            raise ValueError("no samples, so nothing is known of the time")
        each, total, squares = Weights.of(np.ones(len(samples))) if weights is None else weights
        mean = float(each.dot(samples)) / total
        from_mean = samples - mean
        freedom = total - squares / total
        variance = float(each.dot(from_mean * from_mean)) / freedom if len(samples) > 1 else 0.0
        return cls(mean, math.sqrt(variance), weighted_quantiles(samples, each))

    @classmethod
    def normal(cls, mean_ms: float, std_ms: float) -> Distribution:
        """A normal distribution, what is below 0 taken for 0."""
        return cls(mean_ms, std_ms, np.maximum(mean_ms + std_ms * _NORMAL, 0.0))

    @classmethod
    def shaped(cls, quantiles: Sequence[float] | FloatArray, mean_ms: float) -> Distribution:
        """With the shape of quantiles [k], k at least 2, evenly spaced from 0 to 1, and straight lines between them."""
        shape = np.asarray(quantiles, float)
        ms = shape * (mean_ms / _mean(shape))
        low, high = ms[:-1], ms[1:]
        variance = float((low * low + low * high + high * high).mean()) / 3 - mean_ms * mean_ms
        return cls(mean_ms, math.sqrt(max(variance, 0.0)), ms)

    @classmethod
    def through(cls, known_ms: Mapping[float, float], mean_ms: float) -> Distribution:
        """Through known quantiles {share from 0 to 1: ms, never falling}, and with this mean.

        Between two of them it is a straight line, bent towards the one or the other, all lines by the same part of what
        is possible, until the mean holds: so shares are kept as they are, to a tenth of a percent, whatever was
        published of the ends. Below the lowest and above the highest it is level. Raises ValueError where no times
        with these quantiles have this mean.
        """
        low, line, high = _between(sorted(known_ms.items()))
        wanted, bound = (mean_ms - _mean(line), high if mean_ms > _mean(line) else low)
        room = _mean(bound) - _mean(line)
        if abs(wanted) > abs(room) + _ROUNDED * mean_ms:
            raise ValueError(f"no times with these quantiles have a mean of {mean_ms:g} ms")
        part = min(wanted / room, 1.0) if room else 0.0
        return cls.shaped((1 - part) * line + part * bound, mean_ms)

    @property
    def figures(self) -> tuple[float, float, tuple[float, ...]]:
        """Mean, deviation and quantiles as a `Profile` holds them."""
        return self.mean_ms, self.std_ms, tuple(self.quantiles_ms.tolist())

    @property
    def median_ms(self) -> float:
        """The time that every other one exceeds."""
        return float(self.quantile_ms(0.5))

    @property
    def longest_ms(self) -> float:
        """The largest quantile: the longest time that was seen."""
        return float(self.quantiles_ms[-1])

    def cdf(self, x_ms: FloatArray | float) -> FloatArray:
        """P(time <= x) for x_ms [...]; see `Distributions` for the formula."""
        return chance(self.quantiles_ms, x_ms)

    def quantile_ms(self, share: FloatArray | float) -> FloatArray:
        """The time that this share, from 0 to 1, [...], of all times does not exceed: the inverse of `cdf`."""
        return time_at(self.quantiles_ms, share)

    def sample(self, n: int, rng: np.random.Generator) -> FloatArray:
        """[n]: independent draws, uniform between two quantiles. Their mean is `mean_ms` after `lowered`."""
        return self.quantile_ms(rng.random(n))

    def shifted(self, by_ms: float) -> Distribution:
        """Of times that take so much longer each; by_ms must not take any below 0."""
        return Distribution(self.mean_ms + by_ms, self.std_ms, self.quantiles_ms + by_ms)

    def lowered(self) -> Distribution:
        """With the largest quantile lowered, where it is an outlier, until draws have the mean: see `quantiles`."""
        return Distribution(self.mean_ms, self.std_ms, lowered(self.quantiles_ms, self.mean_ms, _LINES))


def _mean(quantiles_ms: FloatArray) -> float:
    """That of a quantile function of straight lines is that of their middles."""
    return float((quantiles_ms[1:] + quantiles_ms[:-1]).mean()) / 2


def _between(known: Sequence[tuple[float, float]]) -> FloatArray:
    """[3, 1001]: the least, straight and greatest quantile function through (share, ms), by rising share."""
    shares, ms = np.array(known).T
    at, grid = np.rint(shares * _TENTHS), np.arange(_TENTHS + 1)
    last = len(at) - 1
    below = np.clip(np.searchsorted(at, grid, "right") - 1, 0, last)
    above = np.clip(np.searchsorted(at, grid, "left"), 0, last)
    return np.array([ms[below], np.interp(grid, at, ms), ms[above]])


class Distributions:
    """The distributions of m times at once. quantiles_ms [m, 21]: at LEVELS, never falling.

    Between two quantiles a time is taken as uniform, so that

        F(x) = mean over j of clip((x - q_j) / (q_j+1 - q_j), 0, 1)

    and where quantiles coincide F steps up, its value there being that above the step.
    """

    def __init__(self, quantiles_ms: FloatArray) -> None:
        self.quantiles_ms = quantiles_ms
        # The supports are laid end to end on one axis, so that a single interpolation serves all.
        self._low, self._high = quantiles_ms[:, 0] - _MARGIN_MS, quantiles_ms[:, -1] + _MARGIN_MS
        length = self._high - self._low
        self._shift = np.cumsum(length + _MARGIN_MS) - length - self._low
        knots = np.empty((len(quantiles_ms), len(LEVELS) + 2))
        knots[:, 0], knots[:, 1:-1], knots[:, -1] = self._low, quantiles_ms, self._high
        knots += self._shift[:, None]
        self._knots = knots.ravel()
        self._heights = _heights(len(quantiles_ms))

    @classmethod
    def of(cls, each: Sequence[Distribution]) -> Distributions:
        """These, at least one, in their order."""
        return cls(np.array([known.quantiles_ms for known in each]))

    def cdf(self, x_ms: FloatArray) -> FloatArray:
        """P(time <= x) [..., m] for x_ms [..., m] or [..., 1]; any finite x_ms will do."""
        within_ms = np.minimum(np.maximum(x_ms, self._low), self._high)
        return np.interp(within_ms + self._shift, self._knots, self._heights)

    def quantile_ms(self, share: FloatArray, row: IndexArray) -> FloatArray:
        """The times that shares in [0, 1] of the times in these rows do not exceed; share and row broadcast."""
        at = share * (len(LEVELS) - 1)
        below = np.minimum(at.astype(np.intp), len(LEVELS) - 2)
        low_ms = self.quantiles_ms[row, below]
        times_ms: FloatArray = low_ms + (at - below) * (self.quantiles_ms[row, below + 1] - low_ms)
        return times_ms


@lru_cache(maxsize=64)
def _heights(count: int) -> FloatArray:
    """The value of F at each knot: 0 on the margin before, the levels, 1 on the margin after."""
    return np.tile(np.concatenate([[0.0], LEVELS, [1.0]]), count)
