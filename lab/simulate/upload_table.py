"""What may be sent of a picture in a simulation: the rungs of a ladder, what 0.1.0 sends, and the file as it is."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from ondevice import words
from ondevice.errors import UsageError
from ondevice.protocol.rung import Compression, Rung
from ondevice.selection.ladder import UploadLadder, ladder, usual_bytes, usual_kept
from ondevice.timing.arrays import FloatArray

FILE, SCALED = "file", "scaled"
# As 0.1.0 scales: so much of the shorter side is what models look at, and at this quality little is lost to JPEG.
CROP, _QUALITY = 0.875, 90
# How far the sizes of photos vary at one rung: the deviation of their logarithms, of 500 photos of ImageNet. A photo
# that is large at one is large at all (correlation 0.93 and more); its file's size is another matter (0.3), for it
# depends on how it was taken.
_VARIES, _FILE_VARIES = {Compression.JPEG: 0.27, Compression.WEBP: 0.47}, 0.87


class PictureSettings(NamedTuple):
    """file_bytes: the mean size of a picture's file. head_bytes: what goes before each upload. making_ms: what cutting
    out, scaling and compressing take on the device.

    The defaults: a photo of some 500 x 375 pixels; what our client sends; a slow phone.
    """

    file_bytes: int = 100_000
    head_bytes: int = 500
    making_ms: float = 8.0


class UploadConditions(NamedTuple):
    """warm: whether a spare connection is open. client_ms, server_ms: what client and server take for a request beside
    making the upload, the network and the inference. patience_ms: how long after its deadline a request is given up.
    """

    warm: bool = True
    client_ms: float = 0.0
    server_ms: float = 0.0
    patience_ms: float = 0.0


DEFAULT_CONDITIONS = UploadConditions()


class UploadFacts(NamedTuple):
    """What is known of m models. sides: of their inputs. measured: the shares that rungs leave of their accuracies.
    sizes: of rungs, bytes.
    """

    sides: Mapping[str, int]
    measured: Mapping[str, Mapping[Rung, float]] = MappingProxyType({})
    sizes: Mapping[Rung, float] = MappingProxyType({})

    def kept(self, rung: Rung) -> list[float]:
        """The share that a rung leaves of each model's accuracy [m]: as measured, else as is usual."""
        usual = {name: usual_kept(rung, side) for name, side in self.sides.items()}
        return [min(self.measured.get(name, {}).get(rung, share), 1.0) for name, share in usual.items()]

    def size_bytes(self, rung: Rung) -> float:
        """A rung's mean size: as measured, else as is usual."""
        return self.sizes.get(rung, usual_bytes(rung))


@dataclass(frozen=True, eq=False)
class UploadTable:
    """k uploads of m models: first those of their ladder, growing, then the others, last the file.

    names [k], rungs [k]: of the file None. size_bytes [k]: in the mean, without the head. kept [k, m]: the share that
    is left of a model's accuracy. making_ms [k]: see PictureSettings. ladder: of which the first are. sides [m]: of the
    models' inputs. head_bytes: see PictureSettings.
    """

    names: tuple[str, ...]
    rungs: tuple[Rung | None, ...]
    size_bytes: FloatArray
    kept: FloatArray
    making_ms: FloatArray
    ladder: UploadLadder
    sides: tuple[int, ...]
    head_bytes: int

    @classmethod
    def of(
        cls,
        facts: UploadFacts,
        settings: PictureSettings,
        more: Sequence[Rung] = (),
        published: UploadLadder | None = None,
    ) -> UploadTable:
        """more: rungs that are wanted beside the ladder's. Those of the models' own sides at quality 90, and what 0.1.0
        sends, are there in any case. published: the ladder, where it is not to be made of the facts.
        """
        known, sides = published or ladder(*facts, CROP), facts.sides
        own = [Rung(side, _QUALITY) for side in sides.values()]
        beside = [rung for rung in dict.fromkeys((*more, *own)) if rung not in known.rungs]
        scaled = Rung(math.ceil(max(sides.values()) / CROP), _QUALITY)
        rungs: tuple[Rung | None, ...] = (*known.rungs, *beside, scaled, None)
        sizes = [*known.size_bytes, *map(facts.size_bytes, (*beside, scaled)), settings.file_bytes]
        kept = [*known.kept, *map(facts.kept, (*beside, scaled)), np.ones(len(sides))]
        making_ms = [0.0 if rung is None else settings.making_ms for rung in rungs]
        return cls(
            (*(rung.text for rung in (*known.rungs, *beside)), SCALED, FILE), rungs, np.array(sizes, float),
            np.array(kept), np.array(making_ms), known, tuple(sides.values()), settings.head_bytes,
        )  # fmt: skip

    def __len__(self) -> int:
        return len(self.names)

    def row(self, text: str) -> int:
        """Which upload this is: `file`, `scaled` or a rung. Raises UsageError."""
        return self.names.index(words.known(text, self.names, "upload"))

    def draw(self, n: int, rng: np.random.Generator) -> FloatArray:
        """The sizes of n pictures, bytes [n, k], as they vary from photo to photo, whole numbers from 1 up."""
        of_rungs, of_files = rng.standard_normal((2, n, 1))
        varies = np.array([0.0 if rung is None else _VARIES[rung.compression] for rung in self.rungs])
        exponents = of_rungs * varies - varies**2 / 2
        exponents[:, -1:] = of_files * _FILE_VARIES - _FILE_VARIES**2 / 2
        drawn: FloatArray = np.maximum(np.round(self.size_bytes * np.exp(exponents)), 1.0)
        return drawn


def sides_of(names: Sequence[str], known: Mapping[str, int]) -> dict[str, int]:
    """The input sides of these models. Raises UsageError for one of which it is not known."""
    for name in names:
        if not known.get(name):
            raise UsageError(f"--upload: the input side of {name} is not known; give a column `side` in the model set")
    return {name: known[name] for name in names}
