"""Model cards: what is known of a model file, as a validated dataclass kept in TOML beside the file."""

from __future__ import annotations

import dataclasses
import json
import math
import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ondevice import reading, records
from ondevice.errors import CardError
from ondevice.models import files
from ondevice.models.output import Meaning
from ondevice.models.uploads import MeasuredUploads

PRECISIONS = ("fp32", "fp16", "dynamic", "weight_only", "int8", "uint8")
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
# With the longest precision behind it, what NAME takes.
_LONGEST_STEM = 80
_SHA256 = re.compile(r"[0-9a-f]{64}")


def nameable(stem: str) -> str:
    """A name that a card can have, and its converted files with their precision behind it, most like `stem`."""
    return re.sub(r"[^A-Za-z0-9._-]+", "_", stem).lstrip("._-")[:_LONGEST_STEM] or "model"


@dataclass(frozen=True)
class Input:
    """How a picture becomes the model's input.

    height, width: pixels. channels: 3 (colour) or 1 (greyscale). mean, std: one value, or one a channel in the order in
    which the model takes them, in pixel units 0..255; the model's real-valued input is (pixel - mean) / std, as TFLite
    Metadata's NormalizationOptions has it. crop: the share of the shorter side that the centre crop keeps (1.0: the
    largest part that has the input's shape). bgr: whether the model takes blue first.
    """

    height: int
    width: int
    channels: int = 3
    mean: tuple[float, ...] = (127.5,)
    std: tuple[float, ...] = (127.5,)
    crop: float = 0.875
    bgr: bool = False

    def __post_init__(self) -> None:
        for name in ("mean", "std"):
            object.__setattr__(self, name, tuple(float(v) for v in getattr(self, name)))
        _require(
            all(type(n) is int and 1 <= n <= 8192 for n in (self.height, self.width)),
            "height and width are pixels, 1 to 8192",
        )
        _require(self.channels in (1, 3), "channels is 1 (greyscale) or 3 (RGB)")
        _require({len(self.mean), len(self.std)} <= {1, self.channels}, "mean and std have one value, or one a channel")
        _require(
            all(map(math.isfinite, (*self.mean, *self.std))) and 0 not in self.std, "mean and std are finite, std not 0"
        )
        _require(0 < self.crop <= 1, "crop is over 0 and at most 1")
        _require(not self.bgr or self.channels == 3, "bgr is for three channels")

    def of_centre(self, share: float) -> Input:
        """For a picture that is the centre of one, this share of its shorter side: as much is seen of the whole."""
        return self if share == 1 else dataclasses.replace(self, crop=min(self.crop / share, 1.0))

    @property
    def value_range(self) -> tuple[float, float]:
        """What pixels 0 and 255 become, over all channels: (lowest, highest)."""
        ends = [(pixel - m) / s for pixel in (0, 255) for m, s in zip(self.mean * 3, self.std * 3, strict=False)]
        return min(ends), max(ends)


@dataclass(frozen=True)
class Accuracy:
    """Top-1 and top-5 as fractions, and in words on what data they were measured, or who published them.

    n: of how many pictures, where that is known.
    """

    top1: float
    data: str
    top5: float | None = None
    n: int | None = None

    def __post_init__(self) -> None:
        shares = [self.top1] if self.top5 is None else [self.top1, self.top5]
        _require(all(0 <= share <= 1 for share in shares), "top1 and top5 are fractions from 0 to 1")
        _require(self.n is None or (type(self.n) is int and self.n > 0), "n is a positive whole number")


@dataclass(frozen=True)
class Conversion:
    """How a converted file came to be, and how it compares with the network that it was converted from.

    recipe, weights, calibration, check: in words. tools: with their versions. agreement: the share of the checked
    pictures with the source's best class. mean_error, worst_error: of the outputs. error_of_spread: with random
    weights, the logits' error over their spread.
    """

    recipe: str
    weights: str
    calibration: str
    check: str
    tools: str
    agreement: float
    mean_error: float
    worst_error: float
    error_of_spread: float | None = None


@dataclass(frozen=True)
class Card:
    """One model file: where it is from, its checksum, its input, labels, accuracy and size.

    precision: one of PRECISIONS. labels: the name of a label list, or of a text file beside the card.
    background: whether output 0 is a background class that the label list does not have.
    output: what the outputs mean, one of `ondevice.models.output.Meaning`; None is a score a class.
    source: the URL it is pulled from, or in words where it came from. sources: where what the card says of the input,
    the labels and the output is known from, as `ondevice.models.description` has it; None in the cards that come with
    ondevice, and in those that version 0.1.0 made. uploads: how often it is right on what is sent of pictures, where
    that was measured.
    """

    name: str
    family: str
    architecture: str
    precision: str
    input: Input
    labels: str
    size_bytes: int
    sha256: str
    licence: str
    source: str
    background: bool = False
    output: str | None = None
    sources: dict[str, str] | None = None
    accuracy: Accuracy | None = None
    conversion: Conversion | None = None
    uploads: MeasuredUploads | None = None

    def __post_init__(self) -> None:
        _require(bool(NAME.fullmatch(self.name)), "name is letters, digits, '.', '_' and '-', at most 100")
        _require(self.precision in PRECISIONS, f"precision is one of {', '.join(PRECISIONS)}")
        _require(bool(_SHA256.fullmatch(self.sha256)), "sha256 is 64 lower-case hex digits")
        _require(self.output in {None, *Meaning}, f"output is one of {', '.join(Meaning)}")
        _require(type(self.size_bytes) is int and self.size_bytes > 0, "size_bytes is a positive whole number")
        _require(
            Path(self.labels).name == self.labels != "", "labels is a list's name, or a file's name beside the card"
        )

    @property
    def file_name(self) -> str:
        """The model file's name, beside the card."""
        return f"{self.name}.tflite"

    @property
    def downloadable(self) -> bool:
        """Whether `source` is a URL."""
        return self.source.startswith(("https://", "http://"))

    @property
    def meaning(self) -> Meaning:
        """What the outputs mean."""
        return Meaning(self.output or Meaning.SCORES)

    @classmethod
    def read(cls, path: Path) -> Card:
        """Read and validate a card. Raises CardError with the file and what is wrong in it."""
        try:
            return records.read(cls, tomllib.loads(reading.text(path)))
        except (OSError, ValueError, OverflowError, RecursionError) as error:
            raise CardError(f"{path}: {error}", str(path)) from error

    def write(self, path: Path) -> None:
        """Write the card as TOML, atomically."""
        filled = {k: v for k, v in dataclasses.asdict(self).items() if v is not None}
        filled["input"] = {k: v for k, v in filled["input"].items() if (k, v) != ("bgr", False)}  # as most are
        lines = _toml({k: v for k, v in filled.items() if not isinstance(v, dict)})
        for section in (k for k, v in filled.items() if isinstance(v, dict)):
            lines += ["", f"[{section}]", *_toml({k: v for k, v in filled[section].items() if v is not None})]
        with files.replacing(path) as out:
            out.write("\n".join([*lines, ""]).encode(errors="replace"))


def _require(holds: bool, rule: str) -> None:
    if not holds:
        raise ValueError(rule)


def _toml(table: dict[str, Any]) -> list[str]:
    """`key = value` lines. JSON's strings, numbers, booleans and lists are TOML's too, but for the DEL character."""
    written = {key: json.dumps(value, ensure_ascii=False) for key, value in table.items()}
    return [f"{key} = {value}".replace("\x7f", "\\u007f") for key, value in written.items()]
