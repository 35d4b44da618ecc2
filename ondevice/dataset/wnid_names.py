"""Pictures called `<wnid>_….jpg` beside a labels.csv, which lists the classes: index, wnid, name."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ondevice.dataset.tables import rows_of
from ondevice.errors import UsageError
from ondevice.models.labels import Labels

TABLE = "labels.csv"


def listed(table: Path, paths: Sequence[str]) -> bool:
    """Whether the table lists classes, and a picture is called by one of them. Raises UsageError."""
    prefixes = {row[1] for row in rows_of(table) if len(row) > 1 and row[0].isdigit()}
    return any(_prefix(path) in prefixes for path in paths)


def read(table: Path, labels: Labels, paths: Sequence[str]) -> dict[str, int]:
    """The class of every picture, by index: the classes are in the model's order. Raises UsageError."""
    index_of = _by_wnid(table, labels)
    for path in paths:
        if _prefix(path) not in index_of:
            raise UsageError(f"{path}: its name does not begin with a wnid of {table} and '_'")
    return {path: index_of[_prefix(path)] for path in paths}


def _prefix(path: str) -> str:
    return Path(path).name.split("_")[0]


def _by_wnid(table: Path, labels: Labels) -> dict[str, int]:
    try:
        rows = [(int(index), wnid) for index, wnid, *_ in rows_of(table) if index.isdigit()]
    except ValueError as error:
        raise UsageError(f"{table}: its rows must be index, wnid, name: {error}") from error
    index_of = {wnid: index for index, wnid in rows}
    if sorted(index_of.values()) != list(range(len(labels))):
        raise UsageError(
            f"{table}: it lists {len(index_of)} classes, the model knows {len(labels)}; they must be the same"
        )
    if labels.wnids and any(labels.wnids[index] != wnid for wnid, index in index_of.items()):
        raise UsageError(f"{table}: its classes are in another order than the model's ({labels.source})")
    return index_of
