"""How long decoding takes here, learned by format and number of pixels, which a picture's header tells beforehand.

The expectation is a formula's, times a factor that is learned for each format and each doubling of the pixels: so one
huge picture says nothing of photos, and a format nothing of another. No clock is read in here.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import NamedTuple

from ondevice.protocol.picture import MAX_PIXELS, PictureFormat, PictureHead, jpeg_scale
from ondevice.timing.bounds import time_ms
from ondevice.timing.recent import HALF_LIFE

# The formula before anything is learned, from a 2-core x86 server: what any picture takes, ms, …
_EVERY_MS = 0.4
# … nanoseconds for each pixel of a format, …
_PIXEL_NS = {
    PictureFormat.JPEG: 3.0,
    PictureFormat.PROGRESSIVE: 20.0,
    PictureFormat.PNG: 80.0,
    PictureFormat.WEBP: 60.0,
    PictureFormat.GIF: 30.0,
    PictureFormat.OTHER: 10.0,
}
# … for each that is left of a JPEG that is decoded at a half, a quarter or an eighth of its size, …
_SCALED_NS = 17.0
# … and for each byte of a JPEG. More bytes than pixels are not the picture's.
_BYTE_NS = 8.0
# A header may claim any number of pixels. Those of a JPEG take a 256th of a byte at least, two bits for a block of 64;
# those of others hardly less than a thousandth, which is as far as PNG's compression goes.
_PIXELS_PER_BYTE, _JPEG_PIXELS_PER_BYTE = 1000, 256
_JPEGS = (PictureFormat.JPEG, PictureFormat.PROGRESSIVE)
# The share of a picture that models see, of which cards seldom say another.
_CROP = 0.875
# Of the newest sample in an average that forgets half after HALF_LIFE samples, as inferences are forgotten.
_SHARE = 1 - 0.5 ** (1 / HALF_LIFE)
# Inputs of other sizes see the same pictures: what they learn may differ by a quarter, which is the formula's error.
_BAND = math.log(1.25)
# Figures are kept beside a measurement up to this factor: a busy start is a few times slower, other content less.
AGREES = 10.0
# No factor is below a millionth or above a million: what is learned must stay far from overflowing.
_MOST = math.log(1e6)
# A picture's sides have 32 bits each.
_DOUBLINGS = 64
# Of so many pictures the formula's time is remembered, which a request asks for again and again: as many as usually
# wait at once.
_KEPT = 256


def agree(one_ms: float, other_ms: float) -> bool:
    """Whether two figures may be of one thing: neither is more than ten times the other."""
    return max(one_ms, other_ms) <= AGREES * min(one_ms, other_ms)


class DecodeFactor(NamedTuple):
    """A learned factor, as it is saved: for a format and the pixels from 2^(doubling - 1) on, of so many samples."""

    format: str
    doubling: int
    factor: float
    samples: int

    @property
    def sound(self) -> bool:
        """Whether it can be one that was learned; it may come from a damaged file."""
        known = self.format in set(PictureFormat) and 0 < self.doubling <= _DOUBLINGS
        return known and math.exp(-_MOST) <= self.factor <= math.exp(_MOST) and self.samples >= 0


@dataclass
class _Node:
    """The logarithm of a factor, and of how many samples of its own it is the average: 0 where it is hearsay."""

    log: float
    count: int


class _Formula(NamedTuple):
    """What the formula has for a picture, and which doubling of the pixels it is in."""

    ms: float
    doubling: int


class DecodeTimes:
    """Of pictures for inputs of one size, (height, width) in pixels. others: those for other sizes, on this machine."""

    def __init__(self, size: tuple[int, int], others: Iterable[DecodeTimes] = ()) -> None:
        self._size, self._others = size, others
        # Of what is not learned yet: the first measurement's.
        self._speed = 0.0
        self._nodes: dict[PictureFormat, dict[int, _Node]] = {kind: {} for kind in PictureFormat}
        self._formulas: dict[PictureHead, _Formula] = {}

    def expect(self, head: PictureHead | None) -> float:
        """The time to expect for a picture, ms; 0 where there is none to decode."""
        if head is None:
            return 0.0
        nodes, (ms, doubling) = self._nodes[head.format], self._formula(head)
        if doubling in nodes:
            return ms * math.exp(nodes[doubling].log)
        nearest = min(nodes, key=lambda known: abs(known - doubling), default=None)
        return ms * math.exp(self._speed if nearest is None else nodes[nearest].log)

    def add(self, head: PictureHead, ms: float) -> None:
        """Learn what a picture took, and tell those for other sizes. Raises ValueError for what is not a time."""
        log, doubling = self._log(head, ms), self._formula(head).doubling
        node = self._nodes[head.format].setdefault(doubling, _Node(log, 0))
        node.count += 1
        node.log += max(_SHARE, 1 / node.count) * (log - node.log)
        for other in self._others:
            if other is not self:
                other._hear(head.format, doubling, node.log)

    def measured(self, head: PictureHead, samples_ms: Sequence[float]) -> bool:
        """Take a measurement of a picture of ours. Gives whether it contradicts what was known, which is then dropped.

        That is what takes over ten times longer than the formula has it in proportion; too short a figure is mended by
        the first picture. What is not known is expected in proportion. Raises ValueError as `add` does.
        """
        self._speed = self._log(head, median(samples_ms))
        contradicted = [
            (nodes, doubling)
            for nodes in self._nodes.values()
            for doubling, node in nodes.items()
            if node.log > self._speed + math.log(AGREES)
        ]
        for nodes, doubling in contradicted:
            del nodes[doubling]
        self._hear(head.format, head.pixels.bit_length(), self._speed)
        return bool(contradicted)

    def take(self, saved: Iterable[DecodeFactor]) -> None:
        """Begin with what was saved."""
        for known in saved:
            self._nodes[PictureFormat(known.format)][known.doubling] = _Node(math.log(known.factor), known.samples)

    @property
    def factors(self) -> list[DecodeFactor]:
        """What was learned, to be saved."""
        return [
            DecodeFactor(kind, doubling, math.exp(node.log), node.count)
            for kind, nodes in self._nodes.items()
            for doubling, node in nodes.items()
        ]

    def _hear(self, kind: PictureFormat, doubling: int, log: float) -> None:
        """What was learned elsewhere of the same pictures: it mends a figure that is far from it, sample by sample.

        Nothing else would, where this size's models are no longer chosen because of that figure.
        """
        node = self._nodes[kind].setdefault(doubling, _Node(log, 0))
        apart = node.log - log
        if node.count == 0:
            node.log = log
        elif abs(apart) > _BAND:
            node.log -= _SHARE * (apart - math.copysign(_BAND, apart))

    def _log(self, head: PictureHead, ms: float) -> float:
        factor = time_ms(ms) / self._formula(head).ms
        return min(max(math.log(factor), -_MOST), _MOST) if factor else -_MOST

    def _formula(self, head: PictureHead) -> _Formula:
        known = self._formulas.get(head)
        if known is None:
            if len(self._formulas) >= _KEPT:
                self._formulas.clear()
            pixels = head.pixels
            known = self._formulas[head] = _Formula(self._worked_out_ms(head, pixels), pixels.bit_length())
        return known

    def _worked_out_ms(self, head: PictureHead, pixels: int) -> float:
        jpeg, ns = head.format in _JPEGS, _PIXEL_NS[head.format]
        left = 1 / self._scale(head) ** 2 if jpeg else 1.0
        if pixels * left > MAX_PIXELS:
            return _EVERY_MS
        if jpeg:
            ns += _SCALED_NS * left + _BYTE_NS * min(head.size_bytes / pixels, 1.0)
        most = (_JPEG_PIXELS_PER_BYTE if jpeg else _PIXELS_PER_BYTE) * head.size_bytes
        return _EVERY_MS + min(pixels, most) * ns / 1e6

    def _scale(self, head: PictureHead) -> int:
        """By how much a JPEG is made smaller while it is decoded, as `ondevice.image` does."""
        height, width = self._size
        seen = min(_CROP / head.cropped, 1.0)
        return jpeg_scale((head.width, head.height), seen * min(head.width / width, head.height / height))


class Decoding:
    """What is learned for inputs of all sizes on one machine."""

    def __init__(self) -> None:
        self._by_size: dict[tuple[int, int], DecodeTimes] = {}

    def of(self, size: tuple[int, int]) -> DecodeTimes:
        """That for inputs of (height, width) in pixels."""
        if size not in self._by_size:
            self._by_size[size] = DecodeTimes(size, self._by_size.values())
        return self._by_size[size]
