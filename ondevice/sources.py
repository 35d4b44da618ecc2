"""Which pictures are meant: files, globs and folders."""

from __future__ import annotations

import glob
import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from ondevice import reading, words
from ondevice.errors import ImageError, UsageError
from ondevice.image import MAX_BYTES, SUFFIXES


class Pictures(NamedTuple):
    """The pictures found, in order, and how many files in folders were passed over as none by their names."""

    paths: tuple[str, ...]
    skipped: int = 0


def expand(arguments: Iterable[str]) -> Pictures:
    """Files as they are, globs expanded, folders walked; within a folder only names that end like a picture count.

    Raises UsageError for an empty name, and where no picture is left.
    """
    arguments = list(arguments)
    paths: list[str] = []
    skipped = 0
    for argument in arguments:
        # os.path and glob, for what people type: Path raises on over-long names and refuses absolute patterns.
        if not argument:
            raise UsageError("an empty picture name (an unset variable?); `.` is this folder")
        found = [argument] if os.path.lexists(argument) else sorted(glob.glob(argument, recursive=True))  # noqa: PTH207
        for match in found or [argument]:
            if os.path.isdir(match):  # noqa: PTH112
                inside = _walk(Path(match))
                pictures = [str(p) for p in inside if p.suffix.lower() in SUFFIXES]
                paths += pictures
                skipped += len(inside) - len(pictures)
            else:
                paths.append(match)
    if not paths:
        raise UsageError(f"{', '.join(arguments)}: no picture in it ({skipped} other files)")
    return Pictures(tuple(paths), skipped)


def standard_input() -> bytes:
    """The picture that comes on standard input. Raises ImageError."""
    try:
        return reading.stream(sys.stdin.buffer, MAX_BYTES)
    except OSError as error:
        raise ImageError(f"standard input: {words.reason(error)}; it takes one picture", "-") from error


def _walk(folder: Path) -> list[Path]:
    """All files below the folder, sorted, hidden ones left out."""
    found = (p for p in folder.rglob("*") if p.is_file())
    return sorted(p for p in found if not any(part.startswith(".") for part in p.relative_to(folder).parts))
