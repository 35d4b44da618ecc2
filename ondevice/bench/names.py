"""What models are called beside each other: two files of one name are two models."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePath

from ondevice import words
from ondevice.bench.record import BenchRecord

# Enough of a SHA-256 to tell the files of one person apart.
_DIGITS = 8


def names(records: Sequence[BenchRecord]) -> list[str]:
    """A name for each record's model, the same for the same file.

    It is the record's own, and where several files have that, as much of the path before it as tells them apart; for a
    file that has changed where it lies, its checksum's beginning, too.
    """
    files: dict[str, set[tuple[PurePath, str]]] = {}
    for record in records:
        files.setdefault(record.model, set()).add((_place(record), record.sha256))
    return [_name(record, files[record.model]) for record in records]


def _place(record: BenchRecord) -> PurePath:
    return PurePath(record.path).parent / record.model


def _name(record: BenchRecord, files: set[tuple[PurePath, str]]) -> str:
    """The record's name beside those files, its own among them."""
    if len({checksum for _, checksum in files}) == 1:
        return record.model
    place = _place(record)
    name = words.apart(where for where, _ in files)[place]
    changed = len({checksum for where, checksum in files if where == place}) > 1
    return f"{name} ({record.sha256[:_DIGITS]})" if changed else name
