"""What pictures can be sent as to the models that are served, and what that leaves of their accuracies."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from statistics import fmean
from typing import Any

from ondevice.errors import UsageError
from ondevice.protocol.rung import SIDES, Rung
from ondevice.protocol.served import ServedModel
from ondevice.selection.ladder import UploadLadder, ladder, usual_kept

# Of what strangers may name so much is remembered: more than any ladder has, and little memory.
_KEPT = 256
# A picture's channels, by which the two sides are told from them.
_CHANNELS = (1, 3)


class OfferedUploads:
    """Of these models; of several with one name the first tells. No model sees less of a picture than it should, so the
    largest crop is sent, and of a model with a smaller one the side counts that the whole of it would have.
    """

    def __init__(self, models: Iterable[ServedModel]) -> None:
        first: dict[str, ServedModel] = {}
        for served in models:
            first.setdefault(served.name, served)
        sides = {name: side for name, served in first.items() if (side := _side(served))}
        self._crop = max((first[name].crop for name in sides), default=1.0)
        wanted = {name: round(side * self._crop / first[name].crop) for name, side in sides.items()}
        self._sides = {name: min(side, SIDES[1]) for name, side in wanted.items()}
        self._ladder = self._measured([first[name] for name in sides]) if sides else None
        self._known = lru_cache(_KEPT)(self._worked_out)

    def kept(self, upload: Rung) -> Mapping[str, float]:
        """The share of its accuracy that each model has on such a picture; of one that is not there nothing is known.

        What is not in the ladder leaves what is usual.
        """
        return self._known(upload)

    def published(self, names: Sequence[str]) -> dict[str, Any] | None:
        """The ladder of these models as JSON takes it; None where the input of one does not tell its side."""
        try:
            return self._ladder.of(names).as_dict() if self._ladder and names else None
        except UsageError:
            return None

    def _worked_out(self, upload: Rung) -> Mapping[str, float]:
        if self._ladder and upload in self._ladder.rungs:
            row = self._ladder.kept[self._ladder.rungs.index(upload)]
            return dict(zip(self._ladder.names, row.tolist(), strict=True))
        return {name: usual_kept(upload, side) for name, side in self._sides.items()}

    def _measured(self, models: Sequence[ServedModel]) -> UploadLadder:
        """What was measured with another crop than is sent, or larger than any model takes, tells nothing here."""
        measured: dict[str, dict[Rung, float]] = {}
        sizes: dict[Rung, list[float]] = {}
        largest = max(self._sides.values())
        for served in models:
            steps = served.uploads.each if served.uploads and served.crop == self._crop else ()
            for rung, size_bytes, kept in steps:
                if rung.side <= largest:
                    measured.setdefault(served.name, {})[rung] = kept
                    sizes.setdefault(rung, []).append(size_bytes)
        return ladder(self._sides, measured, {rung: fmean(seen) for rung, seen in sizes.items()}, self._crop)


def _side(served: ServedModel) -> int:
    """The side of its input, square or nothing; 0 where the shape does not tell."""
    picture = served.input.shape[-3:]
    if len(picture) < 3:
        return 0
    height, width = picture[:2] if picture[2] in _CHANNELS else picture[1:]
    return height if height == width and SIDES[0] <= height <= SIDES[1] else 0
