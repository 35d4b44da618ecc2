"""How often a model is right on what is sent of pictures, beside their whole files: each picture at every rung."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np

from ondevice.answer import Outcome
from ondevice.errors import ImageError, UsageError
from ondevice.evaluate import wilson
from ondevice.image import ImageSource, describe
from ondevice.models.uploads import MeasuredUploads
from ondevice.protocol.rung import Rung
from ondevice.runner import Runner
from ondevice.timing.arrays import BoolArray, FloatArray
from ondevice.upload import centre, compress

# What the row of the pictures as they are is called.
FILE = "file"


class SentPicture(NamedTuple):
    """One picture, sent in one way: whether the answer is right, its bytes, and how long making it took, ms."""

    right: bool
    size_bytes: float
    made_ms: float


@dataclass(frozen=True, eq=False)
class RungAccuracy:
    """One model on n pictures at u rungs, smallest first.

    right, size_bytes, made_ms [n, 1 + u]: of every picture its whole file, then what is sent at each rung; making that
    takes decoding, scaling and compressing, as on the device that sends. failed: pictures that could not be read, which
    are in nothing else.
    """

    model: str
    runtime: str
    rungs: tuple[Rung, ...]
    right: BoolArray
    size_bytes: FloatArray
    made_ms: FloatArray
    failed: int

    @property
    def n(self) -> int:
        """How many pictures were answered."""
        return len(self.right)

    def records(self) -> list[dict[str, Any]]:
        """A flat record for the whole files and one for each rung: top-1 with its 95 % interval, mean bytes."""
        return [self._record(at, name) for at, name in enumerate([FILE, *(rung.text for rung in self.rungs)])]

    def _record(self, at: int, name: str) -> dict[str, Any]:
        low, high = wilson(int(self.right[:, at].sum()), self.n)
        whole, top1 = self._top1(0), self._top1(at)
        size = _mean(self.size_bytes[:, at])
        return {
            "model": self.model, "sent": name, "n": self.n, "failed": self.failed,
            "bytes": None if math.isnan(size) else round(size), "top1": top1, "top1_low": low, "top1_high": high,
            "kept": top1 / whole if whole else math.nan,
            "encode_p50_ms": float(np.median(self.made_ms[:, at])) if at and self.n else None,
        }  # fmt: skip

    def _top1(self, at: int) -> float:
        return _mean(self.right[:, at])

    def uploads(self, data: str) -> MeasuredUploads:
        """What a card says of it. data: in words, on what. Raises UsageError where no picture was answered rightly."""
        if not self.n or not self._top1(0):
            raise UsageError(f"{self.model} was right on none of the pictures: what is sent of them says nothing of it")
        each = range(1, 1 + len(self.rungs))
        sizes = tuple(round(_mean(self.size_bytes[:, at])) for at in each)
        shares = tuple(round(self._top1(at), 4) for at in each)
        texts = tuple(rung.text for rung in self.rungs)
        return MeasuredUploads(texts, sizes, shares, round(self._top1(0), 4), self.n, data)


def evaluate_uploads(
    runner: Runner,
    pictures: Sequence[tuple[ImageSource, int]],
    rungs: Sequence[Rung],
    on_outcome: Callable[[Outcome], None],
) -> RungAccuracy:
    """Classify each picture as it is and as it is sent at each of `rungs`, telling `on_outcome` of each picture.

    pictures: each with the index of its class. What is sent of one is what the model looks at, and it looks at all of
    that. A picture that fails in any way counts in `failed` alone.
    """
    ordered, found = sorted({*rungs}), []
    for picture, truth in pictures:
        try:
            answer, sent = runner.classify(picture, 1), [*_each(runner, picture, truth, ordered)]
        except ImageError as error:
            on_outcome(Outcome(describe(picture), error))
        else:
            on_outcome(Outcome(describe(picture), answer))
            found.append([SentPicture(answer.index == truth, _size(picture), 0.0), *sent])
    return _by_bytes(runner, ordered, found, len(pictures) - len(found))


def _by_bytes(
    runner: Runner, rungs: Sequence[Rung], found: Sequence[Sequence[SentPicture]], failed: int
) -> RungAccuracy:
    """The rungs in order of their mean bytes; of each picture in `found`, its file comes first."""
    values = np.array(found, float).reshape(len(found), 1 + len(rungs), len(SentPicture._fields))
    sizes = values[:, 1:, 1]
    order = np.argsort(sizes.mean(axis=0), kind="stable") if found else np.arange(len(rungs))
    right, size_bytes, made_ms = np.moveaxis(values[:, [0, *(order + 1)]], 2, 0)
    steps = tuple(rungs[at] for at in order)
    return RungAccuracy(runner.name, str(runner.model.runtime), steps, right == 1, size_bytes, made_ms, failed)


def _each(runner: Runner, picture: ImageSource, truth: int, rungs: Sequence[Rung]) -> Iterator[SentPicture]:
    """At rungs in order of their side: decoded once for each side, at the scale at which who sends it decodes it."""
    crop = runner.input.crop
    for side, group in itertools.groupby(rungs, key=lambda rung: rung.side):
        start = perf_counter()
        image = centre(picture, side, crop)
        scaled_ms = (perf_counter() - start) * 1e3
        for rung in group:
            start = perf_counter()
            body = compress(image, rung)
            made_ms = scaled_ms + (perf_counter() - start) * 1e3
            stored = runner.model.invoke(runner.prepare(body, crop))
            yield SentPicture(runner.best(stored, 1)[0].index == truth, len(body), made_ms)


def _size(picture: ImageSource) -> float:
    """The bytes of its file; nan where it is not one."""
    if isinstance(picture, str | Path):
        return Path(picture).stat().st_size
    return len(picture) if isinstance(picture, bytes) else math.nan


def _mean(values: np.ndarray[Any, Any]) -> float:
    return float(values.mean()) if len(values) else math.nan
