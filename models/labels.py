"""Label lists: what a model's outputs are called."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from ondevice.errors import CardError

_LISTS = Path(__file__).parent / "labels"
_WNID = re.compile(r"n\d{8} .")


@dataclass(frozen=True)
class Labels:
    """The names of a model's classes, by index.

    `wnids` holds the WordNet ids of ILSVRC classes in the same order, and is empty for other lists.
    """

    source: str
    names: tuple[str, ...]
    wnids: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.names)

    def index_of(self, key: str) -> int | None:
        """The index of a class given by WordNet id or by name, or None."""
        column = self.wnids if self.wnids and _WNID.match(key + " _") else self.names
        return column.index(key) if key in column else None


def load(name: str, folder: Path | None = None) -> Labels:
    """Read a label list: `imagenet` or `digits`, or a text file in `folder` with one name a line.

    A line may begin with a WordNet id (`n01440764 tench`); then all lines must. Raises CardError.
    """
    known = sorted(p.stem for p in _LISTS.glob("*.txt"))
    path = _LISTS / f"{name}.txt" if name in known else (folder or Path()) / name
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError) as error:
        raise CardError(
            f"no label list '{name}': {error}; give {', '.join(known)}, or a text file with one name a line", name
        ) from error
    return parse(lines, str(path))


def parse(lines: list[str], source: str) -> Labels:
    """Labels from lines of text; blank lines at the end are ignored. Raises CardError."""
    names = [line.strip() for line in lines]
    while names and not names[-1]:
        names.pop()
    if len(names) < 2:
        raise CardError(f"{source}: a label list needs at least two lines, one name a line", source)
    if all(map(_WNID.match, names)):
        wnids, _, named = zip(*(name.partition(" ") for name in names), strict=True)
        return Labels(source, named, wnids)
    return Labels(source, tuple(names))
