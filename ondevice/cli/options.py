"""The arguments and flags that several commands have, in one wording, and what becomes of their texts."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, TypeAlias

import typer

from ondevice.cli import console
from ondevice.cli.console import Format

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
        "--scaled-decode/--full-decode", help="Decode JPEGs at the smallest scale that suffices, or always in full."
    ),
]
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
