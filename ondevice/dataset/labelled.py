"""A labelled data set: its pictures, and the class of each in a model's label list."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ondevice.dataset import splits, tables, wnid_names
from ondevice.dataset.classes import Classes
from ondevice.dataset.tables import Listed, Table
from ondevice.errors import UnlabelledError, UsageError
from ondevice.models.labels import Labels
from ondevice.sources import expand
from ondevice.words import counted, first_few

_FORMS = "a folder a class, or a table of file names and labels"
_NOT_LISTED = "that the table does not list, or not with a class"


class Labelled(NamedTuple):
    """Pictures with the index of their class in a label list.

    skipped: files passed over. notes: in a line each, what a person should know of how it was read. left_out: pictures
    that `limited` left out.
    """

    paths: tuple[str, ...]
    truth: tuple[int, ...]
    skipped: int
    notes: tuple[str, ...] = ()
    left_out: int = 0

    def limited(self, most: int) -> Labelled:
        """At most so many pictures, as evenly over the classes as they allow, the same ones every time."""
        if most >= len(self.paths):
            return self
        places: dict[int, list[int]] = defaultdict(list)
        for place, index in enumerate(self.truth):
            places[index].append(place)
        kept = sorted(place for some in _evenly(list(places.values()), most) for place in some)
        left_out = len(self.paths) - most
        note = f"{most} of {len(self.paths)} pictures, evenly over the classes, the same ones every time"
        return self._replace(
            paths=tuple(self.paths[i] for i in kept), truth=tuple(self.truth[i] for i in kept),
            notes=(*self.notes, note), left_out=self.left_out + left_out,
        )  # fmt: skip


def _evenly(classes: Sequence[Sequence[int]], most: int) -> list[list[int]]:
    """Of each class its share of `most`, evenly spaced; small classes are taken whole."""
    # What does not divide goes to some classes by lot: label lists are in an order, ILSVRC's begins with the fish.
    shuffled = [classes[i] for i in np.random.default_rng(0).permutation(len(classes))]
    taken: list[list[int]] = []
    for number, places in enumerate(sorted(shuffled, key=len)):
        share = min(len(places), (most - sum(map(len, taken))) // (len(shuffled) - number))
        taken.append([places[int((i + 0.5) * len(places) / share)] for i in range(share)])
    return taken


def labelled(source: Path, labels: Labels) -> Labelled:
    """The data set in a folder, or listed by a table, such as a .csv, that is given itself.

    A folder holds a folder a class, a table of file names and labels, parts such as `train` and `val`, or
    `<wnid>_….jpg` files beside a labels.csv (index, wnid, name). Raises UsageError, and UnlabelledError where there is
    no sign of labels.
    """
    if source.is_file() and source.suffix.lower() in tables.SUFFIXES:
        return _FolderReader(source.parent, labels).given(source)
    if not source.is_dir():
        what = "is neither a folder nor a table (.csv, .tsv, .txt)" if source.is_file() else "no such folder"
        raise UsageError(f"{source}: {what}; give {_FORMS}")
    return _FolderReader(source, labels).whole()


class _FolderReader:
    """Reads what is in a folder."""

    def __init__(self, folder: Path, labels: Labels) -> None:
        self._folder, self._classes = folder, Classes(labels)
        self._paths, self._skipped = expand([str(folder)])
        self._wnid_table = folder / wnid_names.TABLE

    @cached_property
    def _pictures(self) -> tables.NamedPictures:
        """What tables may call the pictures; made only if there are tables."""
        return tables.NamedPictures(self._folder, self._paths)

    def given(self, path: Path) -> Labelled:
        """What a table lists that the user has named."""
        table = tables.find(path, self._pictures)
        if table is None:
            raise UsageError(f"{path}: a row must name a picture, by its path from {self._folder}, and its class")
        listed = table.read(self._pictures, self._classes)
        return _made([path for path in self._paths if path in listed.truth], listed.truth, 0, listed.notes)

    def known(self, truth: dict[str, int], notes: Sequence[str], why_not: str, skipped: int | None = None) -> Labelled:
        """The pictures that have a class; those without one are told of. skipped: other files that are none."""
        found = [path for path in self._paths if path in truth]
        rest = [path for path in self._paths if path not in truth]
        if rest:
            notes = (*notes, f"passed over {counted(len(rest), 'picture')} {why_not}: {first_few(rest)}")
        return _made(found, truth, (self._skipped if skipped is None else skipped) + len(rest), notes)

    def whole(self) -> Labelled:
        """What the folder holds, in whichever form."""
        if self._wnid_table.is_file() and wnid_names.listed(self._wnid_table, self._paths):
            return self._by_wnid()
        folders = self._folders()
        if not folders:
            return self._by_table() or self._unlabelled()
        try:
            index_of = self._classes.match(folders, "folder", str(self._folder))
        except UsageError as error:
            classes = [name for name in folders if self._classes.named(name)]
            parts = {name: self._folder / name for name in folders}
            if part := splits.held_out(parts, self._folder, classes):
                return self._part(part)
            if found := self._by_table():
                return found
            raise UsageError(f"{error}{self._deeper(folders)}") from error
        # Numbers may be shards too, where there is a table.
        found = self._by_table() if self._classes.by_index(index_of) else None
        return found or self._by_folders(folders, index_of)

    def _folders(self) -> dict[str, list[str]]:
        """The pictures of each folder that stands in this one."""
        found: dict[str, list[str]] = defaultdict(list)
        for path in self._paths:
            first, *rest = Path(path).relative_to(self._folder).parts
            if rest:
                found[first].append(path)
        return dict(found)

    def _deeper(self, folders: Mapping[str, Sequence[str]]) -> str:
        """A hint, where all pictures lie in folders of one folder, as archives are unpacked."""
        if len(folders) > 1:
            return ""
        ((name, inside),) = folders.items()
        return f"; or is {self._folder / name} meant?" if Path(inside[0]).parent != self._folder / name else ""

    def _by_folders(self, folders: dict[str, list[str]], index_of: dict[str, int]) -> Labelled:
        truth = {path: index_of[name] for name, inside in folders.items() for path in inside}
        notes = []
        if numbers := self._classes.by_index(index_of):
            names = self._classes.labels.names
            said = first_few([f"{number} is {names[index_of[number]]}" for number in numbers])
            notes.append(f"{self._folder}: its folders are indexes: {said}")
        if unused := [table.path.name for table in self._tables()]:
            notes.append(f"{self._folder}: classes by its folders, not by {first_few(unused)}")
        return self.known(truth, notes, "outside any class folder")

    def _by_wnid(self) -> Labelled:
        truth = wnid_names.read(self._wnid_table, self._classes.labels, self._paths)
        return _made(self._paths, truth, self._skipped - 1, ())

    def _unlabelled(self) -> Labelled:
        if self._wnid_table.is_file():
            return self._by_wnid()
        pictures = counted(len(self._paths), "picture")
        raise UnlabelledError(f"{self._folder}: {pictures}, and nothing says of which classes; it takes {_FORMS}")

    def _part(self, part: splits.Part) -> Labelled:
        """The part that is held out, labelled by itself, or by a table beside it."""
        try:
            found = labelled(part.path, self._classes.labels)
        except UsageError as error:
            listed = self._listed()
            if listed is None:
                raise error from None
            found = _FolderReader(part.path, self._classes.labels).known(listed.truth, listed.notes, _NOT_LISTED)
            if not found.paths:
                raise UsageError(
                    f"{listed.table} lists no picture of {part.path}; give the table to measure on all that it lists"
                ) from None
        return found._replace(notes=(part.note, *found.notes))

    def _by_table(self) -> Labelled | None:
        listed = self._listed()
        return self.known(listed.truth, listed.notes, _NOT_LISTED, self._skipped - 1) if listed else None

    def _tables(self) -> list[Table]:
        candidates = [p for p in sorted(self._folder.iterdir()) if p.suffix.lower() in tables.SUFFIXES and p.is_file()]
        seen = (path for path in candidates if not path.name.startswith("."))
        return [table for path in seen if (table := tables.find(path, self._pictures))]

    def _listed(self) -> Listed | None:
        """What the folder's table lists; None where it has none. Raises UsageError where one of several is meant."""
        read: dict[Path, Listed] = {}
        problem: UsageError | None = None
        for table in self._tables():
            try:
                read[table.path] = table.read(self._pictures, self._classes)
            except UsageError as error:
                problem = problem or error
        if not read and problem:
            raise problem
        part = splits.held_out({path.stem: path for path in read}, self._folder)
        if part is None and len(read) > 1:
            raise UsageError(f"{' and '.join(map(str, read))} list pictures and classes: give the one that is meant")
        if part is None:
            return next(iter(read.values()), None)
        return read[part.path]._replace(notes=(part.note, *read[part.path].notes))


def _made(paths: Sequence[str], truth: dict[str, int], skipped: int, notes: Sequence[str]) -> Labelled:
    return Labelled(tuple(paths), tuple(truth[path] for path in paths), skipped, tuple(notes))
