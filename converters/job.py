"""What one conversion is to do, and what came of it; both travel between processes as JSON."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ondevice.errors import UsageError
from ondevice.models.card import nameable
from ondevice.models.overrides import Overrides

PRECISIONS = ("fp32", "fp16", "dynamic", "weight_only", "int8")
IO = ("int8", "uint8", "float")
RANDOM = "random"
_NO_CALIBRATION = (
    "int8 needs --calibration DIR: the ranges of the activations are read off real pictures; where answers do not "
    "matter, --calibration random says so by name"
)


@dataclass(frozen=True)
class ConversionJob:
    """Convert one source.

    source: an architecture's name, a .keras or .h5 file, a SavedModel folder, a .pt2 file, or what builds a PyTorch
    network, `package.module:function`. weights: `imagenet`, `none` or a file, of an architecture or of what builds a
    network; empty: its own. io: what an int8 file takes and gives. calibration: a folder of pictures, `random`, or
    empty. check: a folder of pictures to compare with the source on; empty: those of `calibration` that were not
    calibrated on. side: the input's, in pixels. value_range, or mean and std in pixel units, bgr, crop, labels: how
    pictures are prepared, and the classes' names; empty or None: as network or architecture say. signature: of a
    SavedModel; empty: `serving_default`, or the only one.
    Raises UsageError for what cannot be done.
    """

    source: str
    out: str
    name: str = ""
    weights: str = "imagenet"
    precisions: tuple[str, ...] = ("fp32",)
    io: str = "int8"
    calibration: str = ""
    calibration_size: int = 100
    check: str = ""
    side: int | None = None
    value_range: tuple[float, float] | None = None
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    bgr: bool | None = None
    signature: str = ""
    crop: float | None = None
    labels: str = ""
    licence: str = "unknown"
    seed: int = 0
    force: bool = False

    def __post_init__(self) -> None:
        unknown = [p for p in self.precisions if p not in PRECISIONS]
        crop = 1.0 if self.crop is None else self.crop
        for wrong, message in (
            (unknown or not self.precisions, f"--precision takes {','.join(PRECISIONS)}, not '{','.join(unknown)}'"),
            (self.io not in IO, f"--io is one of {', '.join(IO)}, not '{self.io}'"),
            (not 1 <= self.calibration_size <= 10_000, "--calibration-size must be from 1 to 10000"),
            (not 8 <= (self.side or 8) <= 4096, "--size must be from 8 to 4096 pixels"),
            (not 0 < crop <= 1, f"--crop must be over 0 and at most 1, not {crop:g}"),
            ("int8" in self.precisions and not self.calibration, _NO_CALIBRATION),
        ):
            if wrong:
                raise UsageError(message)
        self._said()

    @property
    def normalization(self) -> tuple[tuple[float, ...], tuple[float, ...]] | None:
        """Mean and std in pixel units, where the job says them or a range."""
        return self._said().normalization

    def _said(self) -> Overrides:
        return Overrides(value_range=self.value_range, mean=self.mean, std=self.std)

    def check_name(self) -> None:
        """Raise UsageError where no card can have the files' name."""
        if self.stem != (better := nameable(self.stem)):
            raise UsageError(f"'{self.stem}' cannot be a model's name: give another, such as --name {better}")

    @property
    def stem(self) -> str:
        """The files' name, before the precision."""
        if self.name:
            return self.name
        name = Path(self.source).name.rpartition(":")[2]
        return name.removesuffix(".keras").removesuffix(".pt2").removesuffix(".h5").removesuffix(".weights")

    def path(self, precision: str) -> Path:
        """Where the file of this precision goes; its card lies beside it."""
        return Path(self.out) / f"{self.stem}_{precision}.tflite"

    def as_dict(self) -> dict[str, Any]:
        """The fields as JSON takes them; `records.read` makes a job of them again."""
        return dataclasses.asdict(self)


@dataclass(frozen=True)
class ConversionResult:
    """One file, or with precision `source` the network it is from.

    n: pictures that were compared; agreement: the share of them with the source's best class. mean_error, worst_error:
    of the outputs; error_of_spread: the root mean square error of the logits over their own deviation. top1 where there
    are labels, and its difference to the source's, paired, with the 95 % interval. failed: why the file was not put in
    place. latency_ms, latency_verdict: of one thread here, as `ondevice bench` gives them. transposes: operators that
    only turn tensors round; float_operators, float_kinds: of int8 files, those that compute in floats.
    """

    model: str
    precision: str
    path: str = ""
    size_bytes: int | None = None
    parameters: int | None = None
    n: int = 0
    agreement: float | None = None
    mean_error: float | None = None
    worst_error: float | None = None
    error_of_spread: float | None = None
    top1: float | None = None
    top1_difference: float | None = None
    difference_low: float | None = None
    difference_high: float | None = None
    seconds: float | None = None
    peak_bytes: int | None = None
    latency_ms: float | None = None
    latency_verdict: str = ""
    verdict: str = ""
    failed: str = ""
    transposes: int | None = None
    float_operators: int | None = None
    float_kinds: str = ""
