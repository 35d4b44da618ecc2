"""What a .tflite file says of how to feed it: TFLite Metadata's normalization and label file.

The metadata is a FlatBuffer in one of the file's buffers. Label files lie in an appended ZIP archive.
"""

from __future__ import annotations

import struct
import zipfile
from dataclasses import dataclass
from pathlib import Path

from ondevice.errors import ModelError
from ondevice.models import archive, graph
from ondevice.models.flatbuffer import FlatBuffer

_SUBGRAPH_METADATA, _INPUT_METADATA, _PROCESS_UNITS = 3, 2, 4  # fields of metadata_schema.fbs
_UNIT_KIND, _UNIT_OPTIONS, _NORMALIZATION = 0, 1, 1  # fields of its ProcessUnit, and one of its ProcessUnitOptions
# Normalization has one mean, or one for each channel.
_MOST_CHANNELS = 4


@dataclass(frozen=True)
class Embedded:
    """mean and std in pixel units, empty where the file does not say; label_lines, where a label file is in it."""

    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    label_lines: tuple[str, ...] = ()


def read(path: Path, classes: int) -> Embedded:
    """The metadata of a .tflite file with `classes` outputs; what is absent or malformed is left out."""
    try:
        mean, std = _normalization(graph.entry(path, "TFLITE_METADATA"))
    except (ModelError, struct.error, IndexError):
        mean, std = (), ()
    return Embedded(mean, std, _label_lines(path, classes))


def _label_lines(path: Path, classes: int) -> tuple[str, ...]:
    try:
        with archive.opened(path) as opened:
            for info in opened.infolist():
                if not info.filename.endswith(".txt") or info.file_size > archive.LARGEST_FILE_BYTES:
                    continue
                if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                    continue  # bz2 and LZMA unpack without bounds
                with opened.open(info) as file:
                    lines = file.read(info.file_size).decode().splitlines()  # a bound: there may be more than it says
                if len(lines) == classes:
                    return tuple(lines)
    except archive.ERRORS:
        return ()
    return ()


def _normalization(content: bytes) -> tuple[tuple[float, ...], tuple[float, ...]]:
    first_input = FlatBuffer(content).root().tables(_SUBGRAPH_METADATA)[0].tables(_INPUT_METADATA)[0]
    for unit in first_input.tables(_PROCESS_UNITS):
        options = unit.table(_UNIT_OPTIONS) if unit.number(_UNIT_KIND, "B") == _NORMALIZATION else None
        if options is not None:
            return options.floats(0, _MOST_CHANNELS), options.floats(1, _MOST_CHANNELS)
    return (), ()
