"""Quantiles at 21 levels, which is how a distribution is kept: from weighted samples, as chances, and as draws."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from statistics import NormalDist

import numpy as np

from ondevice.timing.arrays import FloatArray

# Quantiles are kept at 0, 5, …, 100 %: the ends, the median, and P90 and P95 are among them, and the few dozen samples
# that are remembered could not tell finer ones.
LEVELS = np.linspace(0, 1, 21)
# Where these stand among LEVELS.
MEDIAN, P90 = 10, 18
# As many points that are equally likely, so that they can be added to quantiles one by one.
POINTS = len(LEVELS)
MIDDLES = (np.arange(POINTS) + 0.5) / POINTS  # the middles of so many equal parts
# Of POINTS points by size, an order in which neighbours stand apart: steps of 8 are a golden section of 21.
SCATTERED = np.arange(POINTS) * 8 % POINTS


def weighted_quantiles(values: FloatArray, weights: FloatArray) -> FloatArray:
    """[21] at LEVELS, read-only: linear between values, each at the middle of its weight, the ends at 0 and 1.

    values [n], weights [n], n at least 1. With equal weights these are numpy's, type 7 of Hyndman and Fan (The American
    Statistician 50, 1996).
    """
    values, at, _ = _standing(values, weights)
    if len(values) > 1:
        at -= at[0]
        at /= at[-1]
        quantiles = np.interp(LEVELS, at, values)
    else:
        quantiles = np.repeat(values, len(LEVELS))
    quantiles.setflags(write=False)
    return quantiles


def weighted_points(values: FloatArray, weights: FloatArray) -> FloatArray:
    """[21] at MIDDLES, each as likely: linear between values, each at the middle of its weight, and level beyond them.

    values [n], weights [n], n at least 1. With equal weights it is Hazen's form, type 5 of Hyndman and Fan: unlike type
    7 it does not take the outermost of few values for the ends of what can happen.
    """
    values, at, total = _standing(values, weights)
    return np.interp(MIDDLES * total, at, values)


def points_of_rows(rows: FloatArray, weights: FloatArray) -> FloatArray:
    """[u, 21]: `weighted_points` of each of the rows [u, n], with the same weights [n], for hardly more than one.

    Laid end to end the rows are one line that rises: each takes a unit of it and is a gap away from the next, in which
    no level falls.
    """
    order = rows.argsort(axis=1)
    weights = weights[order]
    at = np.add.accumulate(weights, axis=1)
    total = at[:, -1:].copy()
    at -= 0.5 * weights
    at /= total
    starts = 2.0 * np.arange(len(rows))[:, None]
    # Level beyond a row's ends, as between it and the next the line rises.
    wanted = np.clip(MIDDLES, at[:, :1], at[:, -1:])
    return np.interp(wanted + starts, (at + starts).ravel(), np.take_along_axis(rows, order, axis=1).ravel())


def _standing(values: FloatArray, weights: FloatArray) -> tuple[FloatArray, FloatArray, float]:
    """The values by size, the middle of each one's weight on an axis of all weights, and that axis's length."""
    order = values.argsort()
    weights = weights[order]
    at = np.add.accumulate(weights)  # a third of the time of `cumsum`
    total = at[-1]
    at -= 0.5 * weights
    return values[order], at, total


@lru_cache
def levels(count: int) -> FloatArray:
    """[count]: evenly spaced from 0 to 1, LEVELS where they are 21. Read-only."""
    even = np.linspace(0, 1, count)
    even.setflags(write=False)
    return even


def chance(quantiles_ms: FloatArray, x_ms: FloatArray | float) -> FloatArray:
    """P(time <= x) for x_ms [...], the time being uniform between two of the quantiles [k], evenly spaced from 0 to 1.

    Where quantiles coincide it steps up, its value there being that above the step.
    """
    return np.asarray(np.interp(x_ms, quantiles_ms, levels(len(quantiles_ms))))


def time_at(quantiles_ms: FloatArray, share: FloatArray | float) -> FloatArray:
    """The time that a share [...] of times do not exceed: the inverse of `chance`."""
    return np.asarray(np.interp(share, levels(len(quantiles_ms)), quantiles_ms))


def lowered(quantiles_ms: FloatArray, mean_ms: float, weights: FloatArray) -> FloatArray:
    """The quantiles [21], the largest lowered, to the 95th percentile at most, until their weighted mean is mean_ms.

    The largest was one of all samples, and not one of 21: taken for one of 21, a single outlier would move the mean.
    """
    excess_ms = float(weights.dot(quantiles_ms) - mean_ms * np.add.reduce(weights)) / weights[-1]
    quantiles_ms = quantiles_ms.copy()
    quantiles_ms[-1] -= min(max(excess_ms, 0.0), quantiles_ms[-1] - quantiles_ms[-2])
    return quantiles_ms


def normal(levels: FloatArray | Sequence[float]) -> FloatArray:
    """The standard normal distribution's quantiles at levels within (0, 1), in their shape."""
    levels = np.asarray(levels, float)
    return np.array([NormalDist().inv_cdf(level) for level in levels.ravel().tolist()]).reshape(levels.shape)
