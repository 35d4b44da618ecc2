"""TFLite Metadata in a file made here: which files are labels of its output, in which language, and normalization."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

# AssociatedFileType of metadata_schema.fbs.
DESCRIPTIONS, AXIS_LABELS, VALUE_LABELS, VOCABULARY = 1, 2, 3, 5


class Associated(NamedTuple):
    """A file as the output's metadata has it."""

    name: str
    locale: str = ""
    kind: int = AXIS_LABELS


def describe(
    path: Path,
    associated: Sequence[Associated] | None,
    files: Mapping[str, bytes],
    normalization: tuple[Sequence[float], Sequence[float]] | None = None,
    outputs_before: int = 0,
) -> Path:
    """Adds metadata to a .tflite file (none if `associated` is None), and an archive of `files`, if any, behind it.

    outputs_before: outputs without any file, before the one that has `associated`.
    """
    if associated is not None:
        _add_entry(path, metadata(associated, normalization, outputs_before))
    if files:
        with zipfile.ZipFile(path, "a") as archive:
            for name, content in files.items():
                archive.writestr(name, content)
    return path


def _add_entry(path: Path, content: bytes) -> None:
    model = schema.ModelT.InitFromPackedBuf(path.read_bytes())
    buffer, entry = schema.BufferT(), schema.MetadataT()
    buffer.data = np.frombuffer(content, np.uint8)
    entry.name, entry.buffer = b"TFLITE_METADATA", len(model.buffers)
    model.buffers.append(buffer)
    model.metadata = [*(model.metadata or []), entry]
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    path.write_bytes(bytes(builder.Output()))


def metadata(
    associated: Sequence[Associated],
    normalization: tuple[Sequence[float], Sequence[float]] | None = None,
    outputs_before: int = 0,
) -> bytes:
    """The FlatBuffer of metadata_schema.fbs alone."""
    made = flatbuffers.Builder(256)
    files = [_table(made, 5, {0: made.CreateString(f.name), 2: ("b", f.kind), 3: _locale(made, f)}) for f in associated]
    output = _table(made, 7, {6: _vector(made, files)})
    outputs = _vector(made, [*(_table(made, 7, {}) for _ in range(outputs_before)), output])
    inputs = _vector(made, [_table(made, 7, {4: _units(made, normalization)})])
    subgraph = _table(made, 7, {2: inputs, 3: outputs})
    made.Finish(_table(made, 8, {3: _vector(made, [subgraph])}), b"M001")
    return bytes(made.Output())


def _locale(made: flatbuffers.Builder, file: Associated) -> int:
    return made.CreateString(file.locale) if file.locale else 0


def _units(made: flatbuffers.Builder, normalization: tuple[Sequence[float], Sequence[float]] | None) -> int:
    if normalization is None:
        return 0
    mean, std = (made.CreateNumpyVector(np.asarray(values, np.float32)) for values in normalization)
    options = _table(made, 2, {0: mean, 1: std})
    return _vector(made, [_table(made, 2, {0: ("B", 1), 1: options})])


def _table(made: flatbuffers.Builder, fields: int, values: Mapping[int, int | tuple[str, int]]) -> int:
    """A table; values: by field, an offset (0: missing) or a number of one byte."""
    made.StartObject(fields)
    for field, value in values.items():
        if isinstance(value, tuple):
            {"b": made.PrependInt8Slot, "B": made.PrependUint8Slot}[value[0]](field, value[1], 0)
        elif value:
            made.PrependUOffsetTRelativeSlot(field, value, 0)
    return int(made.EndObject())


def _vector(made: flatbuffers.Builder, offsets: Sequence[int]) -> int:
    made.StartVector(4, len(offsets), 4)
    for offset in reversed(offsets):
        made.PrependUOffsetTRelative(offset)
    return int(made.EndVector())
