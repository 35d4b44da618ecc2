"""What a .tflite file says of how to feed it and what its outputs are called: TFLite Metadata (metadata_schema.fbs).

The metadata is a FlatBuffer in one of the file's buffers. Label files lie in an appended ZIP archive; the metadata says
which of its files is the list for the output, and in which language.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, TypeVar

from ondevice.errors import CardError, ModelError, UsageError
from ondevice.models import archive, graph, labels
from ondevice.models.flatbuffer import FlatBuffer, FlatTable
from ondevice.models.labels import Labels

_SUBGRAPHS, _INPUTS, _OUTPUTS = 3, 2, 3  # fields of ModelMetadata, and two of its SubGraphMetadata
_PROCESS_UNITS, _ASSOCIATED_FILES = 4, 6  # fields of TensorMetadata
_UNIT_KIND, _UNIT_OPTIONS, _NORMALIZATION = 0, 1, 1  # fields of its ProcessUnit, and one of its ProcessUnitOptions
_FILE_NAME, _FILE_KIND, _FILE_LOCALE = 0, 2, 3  # fields of its AssociatedFile
_AXIS_LABELS, _VALUE_LABELS = 2, 3  # of its AssociatedFileType
# Normalization has one mean, or one for each channel.
_MOST_CHANNELS = 4
# A file's name in the archive, and a language's; the rest of a longer one names nothing.
_LONGEST_NAME_BYTES = 1000

_Said = TypeVar("_Said")


@dataclass(frozen=True)
class Embedded:
    """What the file says of itself.

    mean, std: in pixel units, empty where it does not say. labels: the names as they stand in it, a background class
    among them, of a list that `labels.fitted` takes; else None. note: why, where it has one that cannot be used, or
    several and none is named; a line.
    """

    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    labels: Labels | None = None
    note: str = ""


_Fitting = Callable[[Labels], Labels]  # gives what it takes, or raises UsageError


class _LabelFile(NamedTuple):
    name: str
    locale: str


def read(path: Path, classes: int, background: bool | None = None) -> Embedded:
    """The metadata of a .tflite file with `classes` outputs; what is absent or malformed is left out.

    background: whether output 0 is a background class, where that was said (see `labels.fitted`).
    """
    content = _said(lambda: graph.entry(path, "TFLITE_METADATA")) or b""
    mean, std = _said(lambda: _normalization(content)) or ((), ())
    listed = _said(lambda: _label_files(content))

    def fitting(found: Labels) -> Labels:
        labels.fitted(found, classes, background, path.name)
        return found

    found, note = _named(path, listed, fitting) if listed else _only(path, fitting)
    return Embedded(mean, std, found, note)


def _said(read_it: Callable[[], _Said]) -> _Said | None:
    try:
        return read_it()
    except (ModelError, struct.error, IndexError):
        return None


def _normalization(content: bytes) -> tuple[tuple[float, ...], tuple[float, ...]]:
    first_input = _subgraph(content).tables(_INPUTS)[0]
    for unit in first_input.tables(_PROCESS_UNITS):
        options = unit.table(_UNIT_OPTIONS) if unit.number(_UNIT_KIND, "B") == _NORMALIZATION else None
        if options is not None:
            return options.floats(0, _MOST_CHANNELS), options.floats(1, _MOST_CHANNELS)
    return (), ()


def _subgraph(content: bytes) -> FlatTable:
    return FlatBuffer(content).root().tables(_SUBGRAPHS)[0]


def _label_files(content: bytes) -> list[_LabelFile]:
    """The files that the metadata calls labels of the first output that has some."""
    for output in _subgraph(content).tables(_OUTPUTS):
        files = output.tables(_ASSOCIATED_FILES)
        for kind in (_AXIS_LABELS, _VALUE_LABELS):
            found = [_LabelFile(_text(f, _FILE_NAME), _text(f, _FILE_LOCALE)) for f in files if _kind(f) == kind]
            if found:
                return found
    return []


def _kind(file: FlatTable) -> int:
    return file.number(_FILE_KIND, "b")


def _text(table: FlatTable, field: int) -> str:
    return table.content(field, _LONGEST_NAME_BYTES).decode("utf-8", "replace")


def _named(path: Path, listed: Sequence[_LabelFile], fitting: _Fitting) -> tuple[Labels | None, str]:
    """The labels that the metadata names, or why they cannot be used.

    Of several languages the one without a name is what the model was made with; then English, as the bundled lists.
    """
    chosen = min(listed, key=lambda file: (bool(file.locale), not file.locale.lower().startswith("en")))
    source = f"{chosen.name} in {path.name}"
    try:
        with archive.opened(path) as opened:
            content = archive.content(opened, chosen.name)
        return fitting(labels.read(content, source)), ""
    except (CardError, UsageError) as error:
        return None, str(error)
    except (KeyError, *archive.ERRORS) as error:
        if chosen.name in archive.names(path):
            return None, f"{source} cannot be read: {error}"
        return None, f"{path.name} names {chosen.name} for its labels, which is not in it"


def _only(path: Path, fitting: _Fitting) -> tuple[Labels | None, str]:
    """The only list of labels among the archive's files, where the metadata names none.

    Files with a name that label files have come before all others.
    """
    try:
        with archive.opened(path) as opened:
            texts = archive.texts(opened)
    except archive.ERRORS:
        return None, ""
    usual = {name: content for name, content in texts.items() if Path(name).name.lower() in labels.CONVENTIONAL_NAMES}
    for among in (usual, texts):
        found = [f for name, content in among.items() if (f := _list(content, f"{name} in {path.name}", fitting))]
        if len(found) == 1:
            return found[0], ""
        if found:
            sources = ", ".join(f.source.partition(" in ")[0] for f in found)
            return None, f"{path.name} has several lists that may be its labels ({sources}) and does not say which"
    return None, ""


def _list(content: bytes, source: str, fitting: _Fitting) -> Labels | None:
    try:
        return fitting(labels.read(content, source))
    except (CardError, UsageError):
        return None
