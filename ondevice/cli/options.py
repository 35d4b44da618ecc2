"""The arguments and flags that several commands have, in one wording, and what becomes of their texts."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from ondevice.cli import console
from ondevice.cli.console import Format

if TYPE_CHECKING:
    from ondevice.models.overrides import Overrides

ModelArgument: TypeAlias = Annotated[
    str,
    typer.Argument(
        metavar="MODEL", help="A name from `ondevice models list`, or a path to any .tflite.", show_default=False
    ),
]
Threads: TypeAlias = Annotated[
    int | None, typer.Option("--threads", "-t", help="Threads of the runtime, 1 or more.", show_default="1")
]
# Where a device can be emulated, which is with the threads of its card.
DeviceThreads: TypeAlias = Annotated[
    int | None,
    typer.Option(
        "--threads",
        "-t",
        help="Threads of the runtime, 1 or more; of an emulated device, a count that its card has.",
        show_default="1, or as --device has",
    ),
]
DeviceName: TypeAlias = Annotated[
    str | None,
    typer.Option("--device", help="Emulate a device of `ondevice devices list`.", show_default="this machine"),
]
RuntimeName: TypeAlias = Annotated[
    str | None,
    typer.Option("--runtime", help="litert, tflite-runtime or tensorflow.", show_default="the first that is installed"),
]
ScaledDecode: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--scaled-decode/--full-decode", help="Decode JPEGs with pixels to spare at a smaller scale, or all in full."
    ),
]
Labels: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--labels",
        help="imagenet, digits, or a text file with one name a line.",
        show_default="from the card, in the file, beside it",
    ),
]
ValueRange: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--range",
        metavar="LOW,HIGH",
        help="What pixels 0 and 255 become.",
        show_default="from the card, the file's metadata, its first layers",
    ),
]

Mean: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--mean",
        metavar="VALUES",
        help="Instead of --range, with --std: one value or one a channel, of pixels 0 to 255.",
        show_default="none",
    ),
]
Std: TypeAlias = Annotated[str | None, typer.Option("--std", metavar="VALUES", help="See --mean.", show_default="none")]


@dataclass(frozen=True)
class DescriptionFlags:
    """What is said of a model, before what its card, its file or convention say."""

    labels: Labels = None
    value_range: ValueRange = None
    mean: Mean = None
    std: Std = None
    crop: Annotated[
        float | None,
        typer.Option(
            "--crop",
            metavar="SHARE",
            help="The share of the shorter side that the centre crop keeps.",
            show_default="from the card, else 0.875 with ImageNet's classes and 1 with others",
        ),
    ] = None
    size: Annotated[
        str | None,
        typer.Option(
            "--size", metavar="PIXELS", help="Such as 224 or 240x320 (height, width): for a file that leaves it open."
        ),
    ] = None
    bgr: Annotated[
        bool | None,
        typer.Option("--bgr/--rgb", help="Whether it takes blue first.", show_default="from the card, else --rgb"),
    ] = None
    background: Annotated[
        bool | None,
        typer.Option(
            "--background/--no-background",
            help="Whether output 0 is a background class.",
            show_default="from the card, else with ImageNet's 1001 outputs",
        ),
    ] = None

    def overrides(self) -> Overrides:
        """What is said, read. Raises UsageError."""
        from ondevice.models.overrides import Overrides

        return Overrides(
            self.labels,
            pixel_range(self.value_range),
            values("--mean", self.mean),
            values("--std", self.std),
            self.crop,
            _size(self.size),
            self.bgr,
            self.background,
        )


OutputFormat: TypeAlias = Annotated[Format, typer.Option("--format", "-f", help="How to print the result.")]


def expanded(pictures: Iterable[str]) -> tuple[str, ...]:
    """The files that files, globs and folders stand for; notes how many others the folders hold. Raises UsageError."""
    from ondevice.sources import expand

    found = expand(pictures)
    if found.skipped:
        console.note(f"skipped {found.skipped} files in folders: by their names they are not pictures")
    return found.paths


def pixel_range(text: str | None) -> tuple[float, float] | None:
    """The numbers of `--range LOW,HIGH`. Raises UsageError."""
    from ondevice.errors import UsageError

    if text is None:
        return None
    try:
        low, high = (float(part) for part in text.split(","))
    except ValueError:
        raise UsageError(f"--range takes LOW,HIGH, such as --range=-1,1 or --range 0,1, not '{text}'") from None
    return low, high


def values(flag: str, text: str | None) -> tuple[float, ...]:
    """The numbers of `--mean 123.7,116.8,103.9`. Raises UsageError."""
    from ondevice.errors import UsageError

    try:
        return () if text is None else tuple(float(part) for part in text.split(","))
    except ValueError:
        raise UsageError(f"{flag} takes one number, or one a channel, such as 127.5, not '{text}'") from None


def _size(text: str | None) -> tuple[int, int] | None:
    """Height and width of `--size 224` or `--size 240x320`. Raises UsageError."""
    from ondevice.errors import UsageError

    if text is None:
        return None
    try:
        sides = [int(part) for part in text.lower().split("x")]
        height, width = sides * 2 if len(sides) == 1 else sides
    except ValueError:
        raise UsageError(f"--size takes pixels, such as 224 or 240x320 (height, width), not '{text}'") from None
    return height, width


def kept_file(flag: str, path: Path | None) -> Path | None:
    """The file that something is kept in, if one is given. Raises UsageError for a pipe or a device."""
    from ondevice import reading
    from ondevice.errors import UsageError

    if path is not None and not reading.ends(path):
        raise UsageError(f"{flag} {path}: is not a file, and keeps nothing")
    return path


def check_secret(flag: str, path: Path) -> None:
    """Note that any user of this machine may read the file, or change it, where that is so."""
    from ondevice.models import files

    if files.is_open_to_others(path):
        console.note(f"{flag} {path} is open to all users of this machine: chmod o-rwx {path}")


def size_bytes(flag: str, text: str) -> int:
    """The bytes of a size such as 16MB. Raises UsageError, which names the flag."""
    from ondevice.errors import naming
    from ondevice.limits.memory import parse_memory

    with naming(flag):
        return parse_memory(text)
