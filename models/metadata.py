"""What a .tflite file says of itself: TFLite Metadata's normalization and label file.

The file is a FlatBuffer (https://flatbuffers.dev/internals): a table's fields are found through its vtable, by the
numbers that the schemas (tflite/schema.fbs, metadata_schema.fbs) give them. Label files lie in an appended ZIP archive.
"""

from __future__ import annotations

import struct
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path

# Field numbers in the two schemas.
_MODEL_BUFFERS, _MODEL_METADATA = 4, 6
_ENTRY_NAME, _ENTRY_BUFFER = 0, 1
_SUBGRAPH_METADATA, _INPUT_METADATA, _PROCESS_UNITS = 3, 2, 4
_UNIT_KIND, _UNIT_OPTIONS, _NORMALIZATION = 0, 1, 1
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


def _normalization(data: bytes) -> tuple[tuple[float, ...], tuple[float, ...]]:
    model = _Table.root(data)
    for entry in model.tables(_MODEL_METADATA):
        if entry.vector(_ENTRY_NAME, "s") == b"TFLITE_METADATA":
            buffers = model.tables(_MODEL_BUFFERS)
            return _from_metadata(buffers[entry.number(_ENTRY_BUFFER, "I")].vector(0, "s"))
    return (), ()


def _from_metadata(data: bytes) -> tuple[tuple[float, ...], tuple[float, ...]]:
    first_input = _Table.root(data).tables(_SUBGRAPH_METADATA)[0].tables(_INPUT_METADATA)[0]
    for unit in first_input.tables(_PROCESS_UNITS):
        if unit.number(_UNIT_KIND, "B") == _NORMALIZATION:
            options = unit.table(_UNIT_OPTIONS)
            return options.floats(0), options.floats(1)
    return (), ()


class _Table:
    """A table in a FlatBuffer. Reads outside the data raise struct.error; a missing field reads as 0 or empty."""

    def __init__(self, data: bytes, at: int) -> None:
        self._data, self._at = data, at

    @classmethod
    def root(cls, data: bytes) -> _Table:
        return cls(data, _unpack("I", data, 0))

    def number(self, field: int, kind: str) -> int:
        at = self._field(field)
        return _unpack(kind, self._data, at) if at else 0

    def table(self, field: int) -> _Table:
        at = self._field(field)
        return _Table(self._data, at + _unpack("I", self._data, at))

    def tables(self, field: int) -> list[_Table]:
        start, count = self._vector(field)
        if count * 4 > len(self._data):
            raise struct.error("a vector longer than the file")
        slots = range(start, start + 4 * count, 4)
        return [_Table(self._data, slot + _unpack("I", self._data, slot)) for slot in slots]

    def vector(self, field: int, kind: str) -> bytes:
        start, count = self._vector(field)
        return bytes(struct.unpack_from(f"<{count}{kind}", self._data, start)[0])

    def floats(self, field: int) -> tuple[float, ...]:
        start, count = self._vector(field)
        return struct.unpack_from(f"<{min(count, 4)}f", self._data, start)

    def _vector(self, field: int) -> tuple[int, int]:
        at = self._field(field)
        if not at:
            return 0, 0
        start = at + _unpack("I", self._data, at)
        return start + 4, _unpack("I", self._data, start)

    def _field(self, field: int) -> int:
        vtable = self._at - _unpack("i", self._data, self._at)
        slot = 4 + 2 * field
        if vtable < 0 or slot >= _unpack("H", self._data, vtable):
            return 0
        offset = _unpack("H", self._data, vtable + slot)
        return self._at + offset if offset else 0


def _unpack(kind: str, data: bytes, at: int) -> int:
    if at < 0:
        raise struct.error("an offset before the file")
    return int(struct.unpack_from(f"<{kind}", data, at)[0])
