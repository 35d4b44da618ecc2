"""Distributions of pairs: what an upload and its reply take, ms."""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import NamedTuple, Protocol

import numpy as np

from ondevice.lab.simulate import spec
from ondevice.lab.simulate.spec import Bounds
from ondevice.timing.arrays import FloatArray

# A distribution is told by so many equally likely points.
POINTS = 21
LEVELS = (np.arange(POINTS) + 0.5) / POINTS
_NORMAL_POINTS = np.array([NormalDist().inv_cdf(level) for level in LEVELS])
_ABOVE_0 = Bounds(open=True)


class Pairs(Protocol):
    """A distribution of pairs of legs."""

    def draw(self, n: int, rng: np.random.Generator) -> tuple[FloatArray, FloatArray]:
        """Uploads [n] and replies [n], ms."""

    def reply_points(self, upload_ms: FloatArray) -> FloatArray:
        """[n or 1, POINTS]: equally likely replies, given the uploads [n]."""

    @property
    def leg_ms(self) -> float:
        """The mean of one leg."""


class Normal(NamedTuple):
    """Both legs take the same: one normal draw, again where it is not above 0. mean_ms, std_ms: before that.

    Source: the authors' simulation (cake-lab/MDInference), one draw for both; drawing again is this reading.
    """

    mean_ms: float
    std_ms: float

    def draw(self, n: int, rng: np.random.Generator) -> tuple[FloatArray, FloatArray]:
        """The same array twice."""
        leg_ms = positive_normal(np.full(n, self.mean_ms), self.std_ms, rng)
        return leg_ms, leg_ms

    def reply_points(self, upload_ms: FloatArray) -> FloatArray:
        """Known for certain."""
        return np.broadcast_to(upload_ms[:, None], (len(upload_ms), POINTS))

    @property
    def leg_ms(self) -> float:
        """Of what is left above 0: the mean of the truncated normal."""
        if self.mean_ms > 10 * self.std_ms:
            return self.mean_ms
        z, standard = self.mean_ms / self.std_ms, NormalDist()
        return self.mean_ms + self.std_ms * standard.pdf(z) / standard.cdf(z)


class Lognormal(NamedTuple):
    """Legs with this mean and deviation each. correlation: of their logarithms."""

    mean_ms: float
    std_ms: float
    correlation: float

    def draw(self, n: int, rng: np.random.Generator) -> tuple[FloatArray, FloatArray]:
        """From two normal draws a request."""
        up, own = rng.standard_normal((2, n))
        return self._leg_ms(up), self._leg_ms(self.correlation * up + self._rest * own)

    def reply_points(self, upload_ms: FloatArray) -> FloatArray:
        """Given the upload, the reply's logarithm is normal, too."""
        mu, sigma = self._of_log
        if not self.correlation or not sigma:
            return self._leg_ms(_NORMAL_POINTS)[None]
        up = (np.log(upload_ms) - mu) / sigma
        return self._leg_ms(self.correlation * up[:, None] + self._rest * _NORMAL_POINTS)

    @property
    def leg_ms(self) -> float:
        """As it was given."""
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


class Floor(NamedTuple):
    """Legs that take min_ms at the least, most of them little more and some much: min_ms + a Lomax draw.

    tail_ms: that draw's mean. shape: the chance of more than x falls off as x^-shape; the smaller, the heavier the
    tail. Both legs are independent.
    """

    min_ms: float
    tail_ms: float
    shape: float

    def draw(self, n: int, rng: np.random.Generator) -> tuple[FloatArray, FloatArray]:
        """By the inverse of the distribution function."""
        up, down = self._leg_ms(rng.random((2, n)))
        return up, down

    def reply_points(self, upload_ms: FloatArray) -> FloatArray:
        """The same whatever the upload took."""
        return self._leg_ms(LEVELS)[None]

    @property
    def leg_ms(self) -> float:
        """The floor, and the mean of what is above it."""
        return self.min_ms + self.tail_ms

    def _leg_ms(self, level: FloatArray) -> FloatArray:
        leg_ms: FloatArray = self.min_ms + self.tail_ms * (self.shape - 1) * ((1 - level) ** (-1 / self.shape) - 1)
        return leg_ms


class _Form(NamedTuple):
    """How a kind is written: its settings, in the order of its fields."""

    kind: type[Normal] | type[Lognormal] | type[Floor]
    bounds: dict[str, Bounds]


FORMS = {
    "normal": _Form(Normal, {"mean": _ABOVE_0, "std": Bounds()}),
    "lognormal": _Form(Lognormal, {"mean": _ABOVE_0, "std": Bounds(), "correlation": Bounds(-1, 1, 0.0)}),
    # Below a shape of 1 the tail has no mean.
    "floor": _Form(Floor, {"min": Bounds(), "tail": Bounds(), "shape": Bounds(1, 100, 2.0, open=True)}),
}


def of(text: str, kind: str, settings: dict[str, str]) -> Pairs:
    """The distribution of a kind of FORMS with the settings of `text`. Raises UsageError."""
    form = FORMS[kind]
    return form.kind(*spec.numbers(text, settings, form.bounds).values())


def positive_normal(mean_ms: FloatArray, std_ms: FloatArray | float, rng: np.random.Generator) -> FloatArray:
    """Normal draws in the shape of mean_ms, those at most 0 drawn again; mean_ms must be above 0."""
    drawn: FloatArray = mean_ms + std_ms * rng.standard_normal(mean_ms.shape)
    while (low := drawn <= 0).any():
        again = mean_ms + std_ms * rng.standard_normal(mean_ms.shape)
        drawn = np.where(low, again, drawn)
    return drawn
