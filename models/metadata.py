"""What a .tflite file says of itself: TFLite Metadata's normalization and label file.

The file is a FlatBuffer, and so is the metadata in one of its buffers. Label files lie in an appended ZIP archive.
"""

from __future__ import annotations

import struct
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path

from ondevice.models.flatbuffer import FlatTable

_MODEL_BUFFERS, _MODEL_METADATA = 4, 6  # fields of tflite/schema.fbs
_ENTRY_NAME, _ENTRY_BUFFER = 0, 1  # fields of its Metadata
_SUBGRAPH_METADATA, _INPUT_METADATA, _PROCESS_UNITS = 3, 2, 4  # fields of metadata_schema.fbs
_UNIT_KIND, _UNIT_OPTIONS, _NORMALIZATION = 0, 1, 1  # fields of its ProcessUnit, and one of its ProcessUnitOptions
# The names of all 21,841 classes of ImageNet fit several times; a file that claims more would fill the memory.
_LARGEST_LABEL_FILE = 4 * 1024 * 1024


@dataclass(frozen=True)
class Embedded:
    """mean and std in pixel units, empty where the file does not say; label_lines, where a label file is in it."""

    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    label_lines: tuple[str, ...] = ()


def read(path: Path, classes: int) -> Embedded:
    """The metadata of a .tflite file with `classes` outputs; what is absent or malformed is left out."""
    try:
        mean, std = _normalization(path.read_bytes())
    except (struct.error, IndexError, UnicodeDecodeError, OSError):
        mean, std = (), ()
    return Embedded(mean, std, _label_lines(path, classes))


def _label_lines(path: Path, classes: int) -> tuple[str, ...]:
    try:
        with zipfile.ZipFile(path) as archive:
            for info in archive.infolist():
                if not info.filename.endswith(".txt") or info.file_size > _LARGEST_LABEL_FILE:
                    continue
                if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                    continue  # bz2 and LZMA unpack without bounds
                with archive.open(info) as file:
                    lines = file.read(info.file_size).decode().splitlines()  # a bound: there may be more than it says
                if len(lines) == classes:
                    return tuple(lines)
    except (zipfile.BadZipFile, zlib.error, OSError, ValueError, RuntimeError, EOFError):
        return ()
    return ()


def _normalization(buffer: bytes) -> tuple[tuple[float, ...], tuple[float, ...]]:
    model = FlatTable.root(buffer)
    for entry in model.tables(_MODEL_METADATA):
        if entry.content(_ENTRY_NAME) == b"TFLITE_METADATA":
            buffers = model.tables(_MODEL_BUFFERS)
            return _from_metadata(buffers[entry.number(_ENTRY_BUFFER, "I")].content(0))
    return (), ()


def _from_metadata(buffer: bytes) -> tuple[tuple[float, ...], tuple[float, ...]]:
    first_input = FlatTable.root(buffer).tables(_SUBGRAPH_METADATA)[0].tables(_INPUT_METADATA)[0]
    for unit in first_input.tables(_PROCESS_UNITS):
        if unit.number(_UNIT_KIND, "B") == _NORMALIZATION:
            options = unit.table(_UNIT_OPTIONS)
            return options.floats(0), options.floats(1)
    return (), ()
