"""The time model: what a device takes, from what a reference machine takes for the same network.

A line, device_ms = overhead_ms + factor * reference_ms, for each of the two kinds of kernel, float and quantized; and
on it what published models much like this one were off the line, since a width or a family that the device is bad at
stays so: a Gaussian process over the logarithms of time and size (Rasmussen and Williams 2006, eq. 2.25).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from ondevice.timing.arrays import FloatArray
from ondevice.timing.distribution import Distribution

# Which kernels a precision runs on. Dynamic-range files have no published latencies, and run on kernels of neither.
KINDS = {"fp32": "float", "fp16": "float", "weight_only": "float", "int8": "quant", "uint8": "quant"}
# Two parameters need more than two points, or there is nothing to leave out.
MIN_MODELS = 4
# The Gaussian process, chosen beforehand and not tuned: a model twice as fast or as large is about as far as likeness
# goes; architectures scatter by 15 % about the line; latencies are published, and measured, to about 5 %.
RANGE, SCATTER, NOISE = 0.7, 0.15, 0.05
# Fewer parts would make the draws predictable; with more, 50 runs (what `ondevice bench` makes) could miss the tails.
STRATA = 20


class Line(NamedTuple):
    """device_ms = overhead_ms + factor * reference_ms."""

    overhead_ms: float
    factor: float

    def __call__(self, reference_ms: Any) -> Any:
        """The device's ms for the reference machine's."""
        return self.overhead_ms + self.factor * reference_ms


def fit(reference_ms: Sequence[float] | FloatArray, device_ms: Sequence[float] | FloatArray) -> Line:
    """The line with the least sum of squared relative errors; overhead and factor are never below 0.

    Relative, because a millisecond matters for a network of 3 ms and not for one of 500.
    """
    x, y = np.asarray(reference_ms, float), np.asarray(device_ms, float)
    overhead, factor = np.linalg.lstsq(np.column_stack([1 / y, x / y]), np.ones(len(y)), rcond=None)[0].tolist()
    if overhead < 0:
        return Line(0.0, _alone(x / y))
    return Line(overhead, factor) if factor >= 0 else Line(_alone(1 / y), 0.0)


def _alone(regressor: FloatArray) -> float:
    """The least squares of one coefficient, its products to be 1."""
    return float(np.sum(regressor) / np.sum(regressor**2))


class Point(NamedTuple):
    """A published model: what it takes on the reference machine, its file's size, and what it takes on the device."""

    reference_ms: float
    size_mb: float
    device_ms: float


class TimeModel:
    """Predicts the device's time: `model(reference_ms, size_mb)`. points: what it is fitted on, at least two."""

    def __init__(self, points: Sequence[Point]) -> None:
        reference, size, device = np.array(points, float).T
        self.line = fit(reference, device)
        self._known = np.log([reference, size]).T
        covariance = _covariance(self._known, self._known) + NOISE**2 * np.eye(len(points))
        self._weights = np.linalg.solve(covariance, np.log(device / self.line(reference)))

    def __call__(self, reference_ms: float, size_mb: float) -> float:
        """The device's ms."""
        model = np.log([[reference_ms, size_mb]])
        off = float((_covariance(model, self._known) @ self._weights)[0])
        return float(self.line(reference_ms)) * float(np.exp(off))


def _covariance(a: FloatArray, b: FloatArray) -> FloatArray:
    """Of the logarithms of device time over line, between models at a [n, 2] and b [m, 2] (log ms, log MB)."""
    distance2 = ((a[:, None] - b[None]) ** 2).sum(axis=2)
    return np.asarray(SCATTER**2 * np.exp(-distance2 / (2 * RANGE**2)))


def left_out(points: Sequence[Point], groups: Sequence[object] | None = None) -> FloatArray:
    """Relative errors [n] of every model, predicted by a fit without it: (predicted - published) / published.

    groups: models of the same group are left out together, for errors on architectures never seen.
    """
    keys = list(range(len(points))) if groups is None else list(groups)
    errors = []
    for point, key in zip(points, keys, strict=True):
        others = TimeModel([p for p, k in zip(points, keys, strict=True) if k != key])
        errors.append(others(point.reference_ms, point.size_mb) / point.device_ms - 1)
    return np.array(errors)


Draw = Callable[[], float]


def drawer(times: Distribution, rng: np.random.Generator) -> Draw:
    """Draws single times, ms.

    Every STRATA draws take each part of the distribution once, in random order: a short run has the right mean, too.
    """
    chances = _chances(rng)
    return lambda: float(times.quantile_ms(next(chances)))


def _chances(rng: np.random.Generator) -> Iterator[float]:
    while True:
        yield from ((rng.permutation(STRATA) + rng.random(STRATA)) / STRATA).tolist()
