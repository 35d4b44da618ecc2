"""Tables that list pictures and their classes, a row each, as people write them."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from ondevice import image, reading
from ondevice.dataset.classes import Classes
from ondevice.errors import UsageError
from ondevice.models import label_text
from ondevice.words import counted, first_few, reason

SUFFIXES = frozenset({".csv", ".tsv", ".txt"})
# Headings of a column of classes, names before numbers, for which there may be a column too.
_LABELS = (
    "label_name", "class_name", "category_name", "label", "labels", "class", "category", "species", "breed", "target",
    "wnid", "synset", "label_id", "class_id", "category_id",
)  # fmt: skip


class Listed(NamedTuple):
    """What a table says of pictures: the class of each that it lists, and what is to be told of how it was read."""

    table: Path
    truth: dict[str, int]
    notes: tuple[str, ...]


class NamedPictures:
    """Pictures, found by what tables call them: a path from the folder, a name, or a name without its suffix."""

    def __init__(self, folder: Path, paths: Sequence[str]) -> None:
        self._whole: dict[str, list[str]] = {}
        self._stems: dict[str, list[str]] = {}
        for path in paths:
            inside = Path(path).relative_to(folder)
            for name in {inside.as_posix(), inside.name}:
                self._whole.setdefault(name, []).append(path)
            for name in {inside.with_suffix("").as_posix(), inside.stem}:
                self._stems.setdefault(name, []).append(path)

    def called(self, cell: str, with_stems: bool) -> list[str]:
        """Those that a cell names: one, or several where they have the same name in different folders."""
        name = str(PurePosixPath(cell.replace("\\", "/"))) if cell else ""
        for names in (self._whole, self._stems) if with_stems else (self._whole,):
            # Paths of the machine that the table was made on end in names all the same.
            if found := names.get(name) or names.get(name.rsplit("/", 1)[-1]):
                return found
        return []


class Table:
    """A table that lists pictures. columns: what its columns are called, numbered where it has no heading."""

    def __init__(self, path: Path, rows: Sequence[Sequence[str]], named: int, with_stems: bool, heading: bool) -> None:
        self.path, self._named, self._with_stems, self._heading = path, named, with_stems, heading
        self._rows = rows[heading:]
        width = max(map(len, rows))
        first = rows[0] if heading else []
        self._columns = [first[i] if i < len(first) and first[i] else f"column {i + 1}" for i in range(width)]

    def read(self, pictures: NamedPictures, classes: Classes) -> Listed:
        """The classes of those of the pictures that it lists. Raises UsageError."""
        found, absent = self._found(pictures)
        column = self._class_column([row for row, _ in found], classes)
        said = {path: row[column] for row, path in found if column < len(row) and row[column]}
        for row, path in found:
            if column < len(row) and row[column] and row[column] != said[path]:
                raise UsageError(f"{self.path}: it gives {path} two classes, '{row[column]}' and '{said[path]}'")
        index_of = classes.match(dict.fromkeys(said.values()), "label", str(self.path))
        note = f"{self.path}: pictures by '{self._columns[self._named]}', their classes by '{self._columns[column]}'"
        missing = f"{self.path}: {counted(len(absent), 'picture')} in it not there: {first_few(absent)}"
        truth = {path: index_of[word] for path, word in said.items()}
        return Listed(self.path, truth, (note, missing) if absent else (note,))

    def _found(self, pictures: NamedPictures) -> tuple[list[tuple[Sequence[str], str]], list[str]]:
        """The rows whose pictures are there, with these; and what the others name. Raises UsageError."""
        found, absent = [], []
        for row in self._rows:
            cell = row[self._named] if self._named < len(row) else ""
            match pictures.called(cell, self._with_stems):
                case []:
                    absent.append(cell)
                case [path]:
                    found.append((row, path))
                case several:
                    raise UsageError(f"{self.path}: '{cell}' may be {several[0]} or {several[1]}: write the path")
        return found, absent

    def _class_column(self, rows: Sequence[Sequence[str]], classes: Classes) -> int:
        others = [i for i in range(len(self._columns)) if i != self._named]
        if len(others) == 1:
            return others[0]
        known = [name.casefold().replace(" ", "_").replace("-", "_") for name in self._columns]
        for name in _LABELS if self._heading else ():
            if name in known:
                return known.index(name)
        # Numbers may be a box's corners: without a heading that says so, only names are taken for classes.
        named = [i for i in others if all(i < len(row) and classes.named(row[i]) for row in rows)]
        if len(named) != 1:
            columns = ", ".join(f"'{self._columns[i]}'" for i in others)
            raise UsageError(f"{self.path}: which of {columns} is the class? Give that column the heading 'label'")
        return named[0]


def find(path: Path, pictures: NamedPictures) -> Table | None:
    """The file as a table that lists at least one of the pictures, and something of each; None if it does not."""
    try:
        rows = rows_of(path)
    except UsageError:
        return None
    width = max(map(len, rows), default=0)
    if width < 2:
        return None
    # Not every row: a table may list more than there is. Prose that names a picture is not a table.
    enough = len(rows) / 2 if path.suffix.lower() == ".txt" else 1
    # `0` may be the picture 0.png or a class: without a suffix, the heading has to say that it is a picture.
    headed = [i for i, cell in enumerate(rows[0]) if _is_of_pictures(cell)]
    for with_stems, columns in ((False, range(width)), (True, headed)):
        counts = {i: sum(_lists(row, i, pictures, with_stems) for row in rows) for i in columns}
        named = max(counts, key=lambda i: counts[i], default=0)
        if counts.get(named, 0) >= enough:
            heading = with_stems or not _names_a_file(rows[0], named)
            return Table(path, rows, named, with_stems, heading)
    return None


def _lists(row: Sequence[str], column: int, pictures: NamedPictures, with_stems: bool) -> bool:
    return column < len(row) and bool(pictures.called(row[column], with_stems))


def _names_a_file(row: Sequence[str], column: int) -> bool:
    return column < len(row) and Path(row[column]).suffix.lower() in image.SUFFIXES


def _is_of_pictures(heading: str) -> bool:
    text = heading.casefold()
    return text.startswith(("image", "img", "picture", "photo", "file")) or text in ("id", "name", "fname", "path")


def rows_of(path: Path) -> list[list[str]]:
    """The rows that are not empty, their cells without space around. Raises UsageError."""
    try:
        # ImageNet's list of training pictures, 1.3 million of them, has 42 MB.
        text, _ = label_text.decode(reading.whole(path))
        lines = [line for line in io.StringIO(text, newline=None) if line.strip()]
        return [[cell.strip() for cell in row] for row in _cells(path, lines)]
    except (OSError, ValueError, csv.Error) as error:
        raise UsageError(f"{path}: {reason(error)}") from error


def _cells(path: Path, lines: list[str]) -> list[list[str]]:
    """Split at what parts most of the first line; in a text without any of these, at the first space."""
    first = lines[0] if lines else ""
    parts = "\t" if path.suffix.lower() == ".tsv" else max(",;\t", key=first.count)
    if path.suffix.lower() == ".txt" and parts not in first:
        return [line.split(maxsplit=1) for line in lines]
    return list(csv.reader(lines, delimiter=parts, skipinitialspace=True))
