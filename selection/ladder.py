"""The ladder of uploads: what a picture can be sent as, and what that leaves of each model's accuracy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from ondevice import records
from ondevice.errors import UsageError
from ondevice.protocol.rung import SIDES, Compression, Rung
from ondevice.timing.arrays import FloatArray

# Sides that are tried of a model: steps of a fifth to a third, as published classifiers' inputs have them.
_SIDES = (24, 32, 48, 64, 96, 128, 160, 192, 224, 256, 299, 331, 384, 448, 512, 600)
# At each smaller side a small file and a good one. Lower qualities are not worth their bytes: a smaller side at these
# leaves more.
_QUALITIES = {Compression.JPEG: (40, 75), Compression.WEBP: (40, 60)}
# At the model's own side there is more to be had: each of these is half as large again as the one before.
_OWN_QUALITIES = (40, 60, 75, 90)
# Smaller than this share of a model's side nothing is worth sending: under half of the accuracy is left.
_SMALLEST = 0.4
# A rung that costs more bytes has to leave some model so much more accuracy.
_MIN_GAIN = 0.002

# What was measured of four MobileNets of sides 128 to 224 on 500 photos (`benchmarks/uploads.py`): at these shares of a
# model's side, the first of which has nothing in it,
_SHARES = np.array([0, 0.4, 0.5, 0.6, 0.7, 0.85, 1.0, 1.25, 1.6])
# and at these qualities,
_AT_QUALITIES = np.array([20.0, 40.0, 60.0, 75.0, 90.0])
# a model of side 192 keeps so much of its accuracy: their mean; shares are rows, qualities columns.
_KEPT = {
    Compression.JPEG: np.array([
        [0.00, 0.00, 0.00, 0.00, 0.00],
        [0.27, 0.41, 0.46, 0.51, 0.58],
        [0.36, 0.50, 0.55, 0.60, 0.67],
        [0.45, 0.60, 0.64, 0.69, 0.75],
        [0.55, 0.67, 0.71, 0.76, 0.81],
        [0.65, 0.76, 0.80, 0.83, 0.89],
        [0.72, 0.83, 0.88, 0.91, 0.96],
        [0.78, 0.86, 0.90, 0.91, 0.96],
        [0.80, 0.88, 0.92, 0.93, 0.96],
    ]),
    Compression.WEBP: np.array([
        [0.00, 0.00, 0.00, 0.00, 0.00],
        [0.34, 0.46, 0.51, 0.54, 0.62],
        [0.43, 0.55, 0.60, 0.63, 0.69],
        [0.53, 0.63, 0.68, 0.71, 0.77],
        [0.59, 0.70, 0.74, 0.77, 0.83],
        [0.67, 0.77, 0.82, 0.84, 0.90],
        [0.73, 0.85, 0.90, 0.92, 0.96],
        [0.78, 0.86, 0.90, 0.92, 0.96],
        [0.79, 0.87, 0.90, 0.93, 0.97],
    ]),
}  # fmt: skip
# At the same share of their side smaller models keep less: this, to a power of the sides' ratio. Each of the four is
# then foretold from the other three within 0.02 to 0.04 (root mean square), for 0.04 to 0.10 without.
_USUAL_SIDE, _EXPONENT = 192, 0.75
# A file's bytes are these, at these qualities, times a power of its side, as fitted to the same photos.
_BYTES = {
    Compression.JPEG: (np.array([0.962, 1.416, 1.808, 2.304, 3.67]), 1.53),
    Compression.WEBP: (np.array([0.518, 0.726, 0.917, 1.082, 1.947]), 1.63),
}


@dataclass(frozen=True)
class LadderFields:
    """A ladder as an endpoint publishes it: `rungs` and `bytes` [u], for each model the shares `kept` [u]."""

    rungs: list[str]
    bytes: list[float]
    kept: dict[str, list[float]]
    crop: float
    measured: list[str]


@dataclass(frozen=True, eq=False)
class UploadLadder:
    """names: m models. rungs: u, growing in size_bytes [u], the mean size of a picture. kept [u, m]: the share of a
    model's accuracy that is left, from 0 to 1, never falling with the size within a compression. crop: the share of a
    picture's shorter side that is sent, which is what the models look at. measured: those models of which it is known
    by measuring.
    """

    names: tuple[str, ...]
    rungs: tuple[Rung, ...]
    size_bytes: FloatArray
    kept: FloatArray
    crop: float
    measured: tuple[str, ...]

    def __post_init__(self) -> None:
        shape = len(self.rungs), len(self.names)
        if self.size_bytes.shape != shape[:1] or self.kept.shape != shape or not self.rungs:
            raise UsageError("the ladder of uploads has not a size for each rung, and a share for each of its models")
        sound = (np.diff(self.size_bytes) >= 0).all() and (self.size_bytes > 0).all()
        if not (sound and (self.kept >= 0).all() and (self.kept <= 1).all() and 0 < self.crop <= 1):
            raise UsageError("the ladder of uploads has sizes that do not grow, or shares that are not from 0 to 1")

    @classmethod
    def from_dict(cls, told: Any) -> UploadLadder:
        """From what `as_dict` gives. Raises ValueError or UsageError for what cannot be meant."""
        fields = records.read(LadderFields, told, surplus=True)
        rungs = tuple(Rung.parse(text) for text in fields.rungs)
        kept = np.array(list(fields.kept.values()), float).T
        return cls(tuple(fields.kept), rungs, np.array(fields.bytes, float), kept, fields.crop, tuple(fields.measured))

    def as_dict(self) -> dict[str, Any]:
        """As JSON takes it."""
        kept = {
            name: [round(share, 4) for share in column.tolist()]
            for name, column in zip(self.names, self.kept.T, strict=True)
        }
        sizes = [round(size) for size in self.size_bytes.tolist()]
        return asdict(LadderFields([rung.text for rung in self.rungs], sizes, kept, self.crop, list(self.measured)))

    def of(self, names: Sequence[str]) -> UploadLadder:
        """With these models in this order. Raises UsageError for one that it does not know."""
        if missing := [name for name in names if name not in self.names]:
            raise UsageError(f"the ladder of uploads says nothing of {missing[0]}")
        columns = [self.names.index(name) for name in names]
        known = tuple(name for name in names if name in self.measured)
        return UploadLadder(tuple(names), self.rungs, self.size_bytes, self.kept[:, columns], self.crop, known)


def ladder(
    sides: Mapping[str, int], measured: Mapping[str, Mapping[Rung, float]], sizes: Mapping[Rung, float], crop: float
) -> UploadLadder:
    """The ladder of a set of models: what was measured of each, and what is usual in place of what was not.

    sides: the models' input sides. measured: of models, what rungs leave of the accuracy. sizes: of rungs, bytes. What
    is not worth its bytes is left out before the rest is evened out, which it would make worse than it is.
    """
    names, largest = tuple(sides), max(sides.values())
    among = {rung for shares in measured.values() for rung in shares}
    # What was measured of smaller models alone has nothing of use to the largest.
    if largest > max((sides[name] for name, shares in measured.items() if shares), default=0):
        among |= set(rungs_for(largest))
    size = {rung: sizes.get(rung, usual_bytes(rung)) for rung in among if rung.side <= largest}
    rungs = sorted(size, key=lambda rung: (size[rung], rung))
    found = np.array([_kept(rungs, sides[name], measured.get(name, {})) for name in names]).T
    kept = _evened(rungs, found)
    offered = tuple(rung for rung in rungs if rung in kept)
    size_bytes = np.array([size[rung] for rung in offered], float)
    known = tuple(name for name in names if measured.get(name))
    return UploadLadder(names, offered, size_bytes, np.array([kept[rung] for rung in offered]), crop, known)


def _evened(rungs: Sequence[Rung], found: FloatArray) -> dict[Rung, FloatArray]:
    """Those of the rungs, in order of their bytes, that are worth them, and what each leaves [m], evened out.

    found: [u, m], as measured. WebP has to be better than JPEG, which takes less time to make; JPEG is not left out for
    WebP, which not every client can make.
    """
    made: dict[Rung, FloatArray] = {}
    for how in Compression:
        rows = np.array([row for row, rung in enumerate(rungs) if rung.compression in (Compression.JPEG, how)], int)
        worth = [row for row in rows[_worth(found[rows])].tolist() if rungs[row].compression is how]
        columns = [rising(column) for column in found[worth].T.tolist()]
        made |= zip((rungs[row] for row in worth), np.minimum(np.array(columns).T, 1.0), strict=True)
    return made


def _kept(rungs: Sequence[Rung], side: int, measured: Mapping[Rung, float]) -> list[float]:
    """What each rung leaves of a model's accuracy, of which some was measured."""
    return [measured[rung] if rung in measured else _estimated(rung, side, measured) for rung in rungs]


def _estimated(rung: Rung, side: int, measured: Mapping[Rung, float]) -> float:
    """At a rung that was not measured: what is usual, as far as the model is, at the rung most like it.

    What keeps less than that one keeps as much less as is usual, and what keeps more loses as much less.
    """
    usual = usual_kept(rung, side)
    if not measured:
        return usual
    like = min(measured, key=lambda other: abs(usual_kept(other, side) - usual))
    known, known_usual = min(measured[like], 1.0), usual_kept(like, side)
    if usual <= known_usual:
        return known * usual / known_usual if known_usual else 0.0
    return 1 - (1 - known) * (1 - usual) / (1 - known_usual)


def rungs_for(side: int) -> tuple[Rung, ...]:
    """What is tried of a model of this input side, and what is offered where nothing was measured."""
    own = min(max(side, SIDES[0]), SIDES[1])
    steps = [each for each in _SIDES if _SMALLEST * own <= each < own]
    smaller = [Rung(each, quality, how) for each in steps for how, all_ in _QUALITIES.items() for quality in all_]
    return (*smaller, *(Rung(own, quality, how) for how in Compression for quality in _OWN_QUALITIES))


def usual_kept(rung: Rung, side: int) -> float:
    """The share of its accuracy that a model of this input side usually has on such an upload."""
    at_quality = [np.interp(rung.quality, _AT_QUALITIES, row) for row in _KEPT[rung.compression]]
    kept = float(np.interp(rung.side / side, _SHARES, at_quality))
    return float(kept ** ((_USUAL_SIDE / side) ** _EXPONENT))


def usual_bytes(rung: Rung) -> float:
    """The usual size of such an upload, bytes."""
    scale, power = _BYTES[rung.compression]
    return float(np.interp(rung.quality, _AT_QUALITIES, scale) * rung.side**power)


def rising(values: Sequence[float]) -> list[float]:
    """The non-decreasing sequence nearest to these, by least squares (pool adjacent violators)."""
    blocks: list[tuple[float, int]] = []  # sums and lengths
    for value in values:
        total, count = value, 1
        while blocks and blocks[-1][0] / blocks[-1][1] > total / count:
            before, length = blocks.pop()
            total, count = total + before, count + length
        blocks.append((total, count))
    return [total / count for total, count in blocks for _ in range(count)]


def _worth(kept: FloatArray) -> list[int]:
    """The rungs that leave some model more accuracy than all smaller ones."""
    best, worth = np.full(kept.shape[1], -1.0), []
    for number, row in enumerate(kept):
        if (row >= best + _MIN_GAIN).any():
            worth.append(number)
            best = np.maximum(best, row)
    return worth
