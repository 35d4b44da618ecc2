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

# What a picture with these shares of a model's side (rows), at these qualities (columns), leaves of its accuracy, by
# measuring four MobileNets (sides 128 to 224) on 500 photos: their mean. Between them it is taken to be linear.
_SHARES, _KEPT_QUALITIES = np.array([0.4, 0.57, 0.71, 0.86, 1.0, 1.2]), np.array([20.0, 40.0, 75.0, 90.0])
_KEPT = np.array([
    [0.35, 0.45, 0.52, 0.55],
    [0.50, 0.64, 0.73, 0.76],
    [0.62, 0.76, 0.83, 0.86],
    [0.72, 0.85, 0.91, 0.93],
    [0.78, 0.88, 0.94, 0.97],
    [0.80, 0.90, 0.95, 0.98],
])  # fmt: skip
# A file's bytes, as measured on the same photos: its head, and so many a pixel at these qualities.
_HEAD_BYTES = 1000.0
_BYTES_A_PIXEL = {  # of the same photos
    Compression.JPEG: np.array([0.065, 0.1, 0.175, 0.28]),
    Compression.WEBP: np.array([0.063, 0.093, 0.145, 0.22]),
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
    model's accuracy that is left, from 0 to 1, never falling with the size. crop: the share of a picture's shorter side
    that is sent, which is what the models look at. measured: those models of which it is known by measuring.
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

    sides: the models' input sides. measured: of models, what rungs leave of the accuracy. sizes: of rungs, bytes.
    """
    names, largest = tuple(sides), max(sides.values())
    among = {rung for shares in measured.values() for rung in shares}
    # What was measured of smaller models alone has nothing of use to the largest.
    if largest > max((sides[name] for name, shares in measured.items() if shares), default=0):
        among |= set(rungs_for(largest))
    size = {rung: sizes.get(rung, usual_bytes(rung)) for rung in among if rung.side <= largest}
    rungs = sorted(size, key=lambda rung: (size[rung], rung))
    columns = [[measured.get(name, {}).get(rung, usual_kept(rung, sides[name])) for rung in rungs] for name in names]
    kept = np.minimum(np.array([rising(column) for column in columns]).T, 1.0)
    worth = _worth(kept)
    size_bytes = np.array([size[rungs[row]] for row in worth], float)
    known = tuple(name for name in names if measured.get(name))
    return UploadLadder(names, tuple(rungs[row] for row in worth), size_bytes, kept[worth], crop, known)


def rungs_for(side: int) -> tuple[Rung, ...]:
    """What is tried of a model of this input side, and what is offered where nothing was measured."""
    own = min(max(side, SIDES[0]), SIDES[1])
    steps = [each for each in _SIDES if _SMALLEST * own <= each < own]
    smaller = [Rung(each, quality, how) for each in steps for how, all_ in _QUALITIES.items() for quality in all_]
    return (*smaller, *(Rung(own, quality, how) for how in Compression for quality in _OWN_QUALITIES))


def usual_kept(rung: Rung, side: int) -> float:
    """The share of its accuracy that a model of this input side usually has on such an upload."""
    at_quality = [np.interp(rung.quality, _KEPT_QUALITIES, row) for row in _KEPT]
    return float(np.interp(rung.side / side, _SHARES, at_quality))


def usual_bytes(rung: Rung) -> float:
    """The usual size of such an upload, bytes."""
    a_pixel = np.interp(rung.quality, _KEPT_QUALITIES, _BYTES_A_PIXEL[rung.compression])
    return float(_HEAD_BYTES + a_pixel * rung.side**2)


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
