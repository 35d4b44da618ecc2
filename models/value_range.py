"""Which range of pixels a network wants, by the numbers that it first scales them with.

A network that begins with real = x * scale + offset was trained on x of 0..255, 0..1 or -1..1, and what comes out of
the scaling is of one of few kinds: 0..1, -1..1 and their like, the mean taken out and the deviation made 1, or 0..255
with or without the mean. So each of the three ranges is put through the scaling, and those that give nothing of the
kind are out. Where two are left, the published means of well-known pictures decide, then the conventional ends, then
what mean and deviation pictures have. Where these do not tell clearly either, nobody knows, and the user is asked.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

Range = tuple[float, float]

# What pictures are kept in: bytes, shares of the full light, and those with the middle taken out.
PIXELS: Range = (0.0, 255.0)
UNIT: Range = (0.0, 1.0)
SYMMETRIC: Range = (-1.0, 1.0)
RANGES = (PIXELS, UNIT, SYMMETRIC)

# How wide the values are that networks compute with: from -0.5..0.5, and half of that, to those of pictures without
# contrast, whose deviation of a tenth was made 1; or as wide as pixels, which tools scale by 255, 256 or 127.5.
_WIDTHS = ((0.4, 12.0), (100.0, 300.0))
# Ends as people write them: 1/256 for 1/255, or 127 for 127.5, are 0.8 % off; none is moved from zero.
_CONVENTIONAL = ((0.0, 1.0), (-1.0, 1.0), (-0.5, 0.5), (0.0, 255.0), (-127.5, 127.5))
_ROUNDING, _ROUNDING_OF_ZERO = 0.01, 0.001  # of the width
# Means of 0..1 as they are published: ImageNet's, CIFAR-10's, CIFAR-100's; MNIST's, Fashion-MNIST's. By the mean alone,
# for deviations are published in several ways, and given for variances.
_PUBLISHED = (
    (0.485, 0.456, 0.406),
    (0.4914, 0.4822, 0.4465),
    (0.5071, 0.4867, 0.4408),
    (0.1307,),
    (0.2860,),
)
_SAME_MEAN = 0.002  # they are published with three or four digits
# Of sets of pictures, as shares of the range: the mean, its spread; the deviation, and the spread of its logarithm. The
# published ones lie from 0.13 (MNIST) to 0.51, and from 0.2 (SVHN) to 0.35 (Fashion-MNIST).
_MEAN, _MEAN_SPREAD, _DEVIATION, _LOG_SPREAD = 0.45, 0.2, 0.25, 0.35
# One range must be this much likelier than the other, as a difference of squared distances: e² times.
_CLEARLY = 4.0


# Mean and std in pixel units, one value or one a channel, as `Input` has them.
MeanAndStd = tuple[tuple[float, ...], tuple[float, ...]]


def normalization(pixels: Range) -> MeanAndStd:
    """Mean and std with which pixels 0 and 255 become the ends of a range."""
    low, high = pixels
    std = 255 / (high - low)
    return (0.0 - low * std,), (std,)  # not -0.0


class Affine(NamedTuple):
    """real = x * scale + offset; each one value, or one a channel."""

    scale: tuple[float, ...] = (1.0,)
    offset: tuple[float, ...] = (0.0,)

    @classmethod
    def of(cls, scale: float | Sequence[float], offset: float | Sequence[float] = 0.0) -> Affine:
        """From numbers or sequences of them."""
        return cls(_values(scale), _values(offset))

    @classmethod
    def normalizing(cls, mean: float | Sequence[float], std: float | Sequence[float]) -> Affine:
        """(x - mean) / std. Raises ZeroDivisionError for a std of 0."""
        scale = _values(std)
        scale = tuple(1 / value for value in scale)
        return cls(scale, _each(lambda m, s: -m * s, _values(mean), scale))

    def then(self, after: Affine) -> Affine:
        """This one first, `after` on what comes of it. Raises ValueError for other numbers of channels."""
        offset = _each(lambda o, s: o * s, self.offset, after.scale)
        return Affine(
            _each(lambda a, b: a * b, self.scale, after.scale), _each(lambda a, b: a + b, offset, after.offset)
        )

    def channels(self) -> list[tuple[float, float]]:
        """(scale, offset) of every channel; one pair where all have the same."""
        return list(zip(*_alike(self.scale, self.offset), strict=True))


def wanted_range(scaling: Affine) -> Range | None:
    """One of RANGES: what the network was given whose input is scaled so; None where the numbers do not tell."""
    channels = scaling.channels()
    if not all(math.isfinite(s) and math.isfinite(o) and s for s, o in channels):
        return None
    possible = [pixels for pixels in RANGES if all(_is_usual(_ends(pixels, *channel)) for channel in channels)]
    if len(possible) < 2 or not any(offset for _, offset in channels):
        return possible[0] if len(possible) == 1 else None  # a scale alone does not say where the values began
    if UNIT in possible and _has_published_mean(channels):
        return UNIT
    conventional = [pixels for pixels in possible if all(_is_conventional(_ends(pixels, *c)) for c in channels)]
    if conventional:
        return conventional[0] if len(conventional) == 1 else None
    return _likeliest(possible, channels)


def _ends(pixels: Range, scale: float, offset: float) -> Range:
    low, high = sorted(value * scale + offset for value in pixels)
    return low, high


def _is_usual(ends: Range) -> bool:
    """Whether networks compute with such values: as wide, and with zero among them."""
    low, high = ends
    slack = (high - low) * _ROUNDING_OF_ZERO
    return any(least <= high - low <= most for least, most in _WIDTHS) and low - slack <= 0 <= high + slack


def _is_conventional(ends: Range) -> bool:
    width = ends[1] - ends[0]
    return any(
        all(abs(a - b) <= width * (_ROUNDING if b else _ROUNDING_OF_ZERO) for a, b in zip(ends, known, strict=True))
        for known in _CONVENTIONAL
    )


def _has_published_mean(channels: list[tuple[float, float]]) -> bool:
    means = [-offset / scale for scale, offset in channels]
    return any(
        len(known) == len(means) and all(abs(a - b) <= _SAME_MEAN for a, b in zip(means, known, strict=True))
        for known in _PUBLISHED
    )


def _likeliest(possible: list[Range], channels: list[tuple[float, float]]) -> Range | None:
    """The range whose pictures have the mean and deviation that the scaling takes out, if one clearly does."""
    distances = sorted((_distance(pixels, channels), pixels) for pixels in possible)
    (best, pixels), (second, _) = distances[:2]
    return pixels if second - best >= _CLEARLY else None


def _distance(pixels: Range, channels: list[tuple[float, float]]) -> float:
    """How far from pictures' usual mean and deviation, squared, in spreads; infinite where no picture has them."""
    total = 0.0
    for scale, offset in channels:
        low, high = _ends(pixels, scale, offset)
        mean, deviation = -low / (high - low), 1 / (high - low)
        if deviation**2 > mean * (1 - mean) * (
            1 + _ROUNDING
        ):  # Bhatia and Davis 2000: no values between ends vary more
            return math.inf
        total += ((mean - _MEAN) / _MEAN_SPREAD) ** 2 + (math.log(deviation / _DEVIATION) / _LOG_SPREAD) ** 2
    return total / len(channels)


def _values(given: float | Sequence[float]) -> tuple[float, ...]:
    return (float(given),) if isinstance(given, int | float) else tuple(map(float, given))


def _alike(*columns: tuple[float, ...]) -> list[tuple[float, ...]]:
    """Columns of one length: those of one value are repeated."""
    n = max(map(len, columns))
    return [column * n if len(column) == 1 else column for column in columns]


def _each(f: Callable[[float, float], float], a: tuple[float, ...], b: tuple[float, ...]) -> tuple[float, ...]:
    return tuple(f(x, y) for x, y in zip(*_alike(a, b), strict=True))
