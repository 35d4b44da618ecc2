"""Which pictures are meant: files, globs and folders, and labelled data sets."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from ondevice.errors import UsageError
from ondevice.image import SUFFIXES
from ondevice.models.labels import Labels


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


def _walk(folder: Path) -> list[Path]:
    """All files below the folder, sorted, hidden ones left out."""
    found = (p for p in folder.rglob("*") if p.is_file())
    return sorted(p for p in found if not any(part.startswith(".") for part in p.relative_to(folder).parts))


class Labelled(NamedTuple):
    """Pictures with the index of their class in a label list, and how many files were passed over."""

    paths: tuple[str, ...]
    truth: tuple[int, ...]
    skipped: int


def labelled(folder: Path, labels: Labels) -> Labelled:
    """A labelled data set: a folder a class (its name or WordNet id), or `<wnid>_….jpg` files beside a labels.csv.

    Classes are told apart by index, never by name: the CSV's columns are index, wnid and name, in the model's order.
    Raises UsageError.
    """
    if not folder.is_dir():
        raise UsageError(f"{folder}: no such folder; give one folder a class, or pictures beside a labels.csv")
    table = folder / "labels.csv"
    index_of = _by_wnid(table, labels) if table.is_file() else None
    found = expand([str(folder)])
    truth = tuple(
        _wnid_class(Path(p), index_of, table) if index_of else _folder_class(Path(p), folder, labels)
        for p in found.paths
    )
    return Labelled(found.paths, truth, found.skipped)


def _by_wnid(table: Path, labels: Labels) -> dict[str, int]:
    import csv

    try:
        with table.open(newline="", encoding="utf-8") as file:
            filled = (row for row in csv.reader(file) if row)
            rows = [(int(index), wnid) for index, wnid, *_ in filled if index.strip().isdigit()]
    except (ValueError, csv.Error) as error:  # ValueError: no UTF-8, too
        raise UsageError(f"{table}: its rows must be index, wnid, name: {error}") from error
    index_of = {wnid: index for index, wnid in rows}
    if sorted(index_of.values()) != list(range(len(labels))):
        raise UsageError(
            f"{table}: it lists {len(index_of)} classes, the model knows {len(labels)}; they must be the same"
        )
    if labels.wnids and any(labels.wnids[index] != wnid for wnid, index in index_of.items()):
        raise UsageError(f"{table}: its classes are in another order than the model's ({labels.source})")
    return index_of


def _wnid_class(path: Path, index_of: dict[str, int], table: Path) -> int:
    wnid = path.name.split("_")[0]
    if wnid not in index_of:
        raise UsageError(f"{path}: its name does not begin with a wnid of {table} and '_'")
    return index_of[wnid]


def _folder_class(path: Path, folder: Path, labels: Labels) -> int:
    parts = path.relative_to(folder).parts
    index = labels.index_of(parts[0]) if len(parts) > 1 else None
    if index is None:
        where = f"folder '{parts[0]}'" if len(parts) > 1 else "the picture lies outside any class folder, and it"
        raise UsageError(
            f"{path}: {where} names no class of {labels.source}; name folders by class, or add a labels.csv"
        )
    return index
