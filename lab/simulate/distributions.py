"""Distributions of a request's two legs: what its upload and its reply take, ms."""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import NamedTuple, Protocol

import numpy as np

from ondevice.lab.simulate import notation
from ondevice.lab.simulate.notation import Bounds
from ondevice.timing.arrays import FloatArray
from ondevice.timing.quantiles import MIDDLES, POINTS, normal

_NORMAL_POINTS = normal(MIDDLES)
_ABOVE_0 = Bounds(open=True)


class LegDistribution(Protocol):
    """A distribution of both legs of a request, together."""

    def draw(self, n: int, rng: np.random.Generator) -> tuple[FloatArray, FloatArray]:
        """Draw uploads [n] and their replies [n], ms."""

    def reply_points(self, upload_ms: FloatArray) -> FloatArray:
        """Equally likely times of each reply, ms, [n or 1, POINTS], given the uploads [n]."""

    @property
    def leg_ms(self) -> float:
        """The mean of one leg, ms."""


class Normal(NamedTuple):
    """Both legs take the same: one normal draw, again where it is not above 0. mean_ms, std_ms: before that.

    Source: the authors' simulation (cake-lab/MDInference), one draw for both; drawing again is this reading.
    """

    mean_ms: float
    std_ms: float

    def draw(self, n: int, rng: np.random.Generator) -> tuple[FloatArray, FloatArray]:
        """Draw the uploads [n], which are the replies too."""
        leg_ms = positive_normal(np.full(n, self.mean_ms), self.std_ms, rng)
        return leg_ms, leg_ms

    def reply_points(self, upload_ms: FloatArray) -> FloatArray:
        """The upload, as often as there are points: the reply is known for certain."""
        return np.broadcast_to(upload_ms[:, None], (len(upload_ms), POINTS))

    @property
    def leg_ms(self) -> float:
        """The mean of the normal distribution cut off at 0."""
        if self.mean_ms > 10 * self.std_ms:
            return self.mean_ms
        z, standard = self.mean_ms / self.std_ms, NormalDist()
        return self.mean_ms + self.std_ms * standard.pdf(z) / standard.cdf(z)


class Lognormal(NamedTuple):
    """Lognormal legs, each with this mean and deviation. correlation: of their logarithms."""

    mean_ms: float
    std_ms: float
    correlation: float

    def draw(self, n: int, rng: np.random.Generator) -> tuple[FloatArray, FloatArray]:
        """Draw uploads [n] and replies [n] from two normal draws a request."""
        up, own = rng.standard_normal((2, n))
        return self._leg_ms(up), self._leg_ms(self.correlation * up + self._rest * own)

    def reply_points(self, upload_ms: FloatArray) -> FloatArray:
        """Points of the reply given the upload: its logarithm is normal then, too."""
        mu, sigma = self._of_log
        if not self.correlation or not sigma:
            return self._leg_ms(_NORMAL_POINTS)[None]
        up = (np.log(upload_ms) - mu) / sigma
        return self._leg_ms(self.correlation * up[:, None] + self._rest * _NORMAL_POINTS)

    @property
    def leg_ms(self) -> float:
        """The mean that was given."""
        return self.mean_ms

    @property
    def _of_log(self) -> tuple[float, float]:
        """Mean and deviation of the logarithm."""
        variance = float(np.log1p((self.std_ms / self.mean_ms) ** 2))
        return float(np.log(self.mean_ms)) - variance / 2, math.sqrt(variance)

    @property
    def _rest(self) -> float:
        return math.sqrt(1 - self.correlation**2)

    def _leg_ms(self, z: FloatArray) -> FloatArray:
        mu, sigma = self._of_log
        leg_ms: FloatArray = np.exp(mu + sigma * z)
        return leg_ms


class ShiftedLomax(NamedTuple):
    """Legs that take min_ms at the least, most of them little more and some much: min_ms + a Lomax draw.

    tail_ms: that draw's mean. shape: the chance of more than x falls off as x^-shape; the smaller, the heavier the
    tail. Both legs are independent.
    """

    min_ms: float
    tail_ms: float
    shape: float

    def draw(self, n: int, rng: np.random.Generator) -> tuple[FloatArray, FloatArray]:
        """Draw uploads [n] and replies [n] by the inverse of the distribution function."""
        up, down = self._leg_ms(rng.random((2, n)))
        return up, down

    def reply_points(self, upload_ms: FloatArray) -> FloatArray:
        """Points [1, POINTS] of any reply, for the upload tells nothing of it."""
        return self._leg_ms(MIDDLES)[None]

    @property
    def leg_ms(self) -> float:
        """The least time, and the mean of what is above it."""
        return self.min_ms + self.tail_ms

    def _leg_ms(self, level: FloatArray) -> FloatArray:
        leg_ms: FloatArray = self.min_ms + self.tail_ms * (self.shape - 1) * ((1 - level) ** (-1 / self.shape) - 1)
        return leg_ms


class _Kind(NamedTuple):
    """A distribution as it is written: the bounds of its settings, in the order of its fields."""

    distribution: type[Normal] | type[Lognormal] | type[ShiftedLomax]
    bounds: dict[str, Bounds]


KINDS = {
    "normal": _Kind(Normal, {"mean": _ABOVE_0, "std": Bounds()}),
    "lognormal": _Kind(Lognormal, {"mean": _ABOVE_0, "std": Bounds(), "correlation": Bounds(-1, 1, 0.0)}),
    # Below a shape of 1 the tail has no mean.
    "floor": _Kind(ShiftedLomax, {"min": Bounds(), "tail": Bounds(), "shape": Bounds(1, 100, 2.0, open=True)}),
}


def parse(text: str, kind: str, settings: dict[str, str]) -> LegDistribution:
    """The distribution of a kind of KINDS with the settings of `text`. Raises UsageError."""
    made_of = KINDS[kind]
    return made_of.distribution(*notation.parse_numbers(text, settings, made_of.bounds).values())


def positive_normal(mean_ms: FloatArray, std_ms: FloatArray | float, rng: np.random.Generator) -> FloatArray:
    """Normal draws in the shape of mean_ms, those at most 0 drawn again; mean_ms must be above 0."""
    drawn: FloatArray = mean_ms + std_ms * rng.standard_normal(mean_ms.shape)
    while (low := drawn <= 0).any():
        again = mean_ms + std_ms * rng.standard_normal(mean_ms.shape)
        drawn = np.where(low, again, drawn)
    return drawn
