"""The zoo: every model known by name, whether bundled, pulled or added."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from ondevice import reading, words
from ondevice.errors import CardError, ModelError, UnknownModelError, UsageError
from ondevice.models import files, kinds
from ondevice.models.card import NAME, Card

_HERE = Path(__file__).parent
_BUNDLED, _PULLABLE = _HERE / "digits", _HERE / "cards"


class Entry(NamedTuple):
    """A model: its card, where its file is or would be, and its origin.

    origin: `bundled`, `pulled` or `added` for those in the zoo, `beside` for a file whose card lies beside it.
    """

    card: Card
    card_path: Path
    path: Path
    origin: str

    @property
    def present(self) -> bool:
        """Whether the file is on this machine."""
        return self.path.is_file()

    @property
    def todo(self) -> str:
        """What brings its file, or brings it back where it is another one by now: half a sentence with the command."""
        name = self.card.name
        if self.origin == "pulled":
            return f"get it with {words.typed('ondevice', 'models', 'pull', name, *['--force'] * self.present)}"
        if self.origin == "added":
            return f"add it again with {words.typed('ondevice', 'models', 'add', 'FILE', '--name', name, '--force')}"
        return "it is a part of ondevice: install that again"


def samples_dir() -> Path:
    """The bundled held-out pictures, one folder a class."""
    return _BUNDLED / "samples"


def pulled_dir() -> Path:
    """Where pulled model files lie."""
    return files.cache_dir() / "models"


def added_dir() -> Path:
    """Where the user's own models and their cards lie."""
    return files.data_dir() / "models"


def entries() -> list[Entry]:
    """All models, bundled first, in order of size within an origin; without those whose card cannot be read."""
    return listing().entries


class Listing(NamedTuple):
    """The models of the zoo, as `entries` has them, and what is wrong with each card that cannot be read."""

    entries: list[Entry]
    broken: list[CardError]


def listing() -> Listing:
    """All that the zoo holds. A card that cannot be read costs the model that it describes, and no other."""
    found = Listing([], [])
    for card in _cards("*"):
        try:
            found.entries.append(card.entry())
        except CardError as error:
            found.broken.append(error)
    found.entries.sort(key=lambda e: (("bundled", "pulled", "added").index(e.origin), e.card.size_bytes))
    return found


def find(name: str) -> Entry:
    """The model called `name`. Raises UnknownModelError with the nearest names, CardError for a card that is broken."""
    for card in _cards(name) if NAME.fullmatch(name) else ():
        return card.entry()
    names = [entry.card.name for entry in entries()]
    hint = words.suggestion(name, names, otherwise="`ondevice models list` shows all")
    nowhere = "" if os.path.exists(name) else ", and no such file"  # noqa: PTH110 - Path's raises for an over-long name
    message = f"no model '{name}' in the zoo{nowhere}; {hint}"
    raise UnknownModelError(message, name, words.nearest(name, names))


def locate(model: str) -> tuple[Path, Entry | None]:
    """The file for a zoo name or a path, and its zoo entry where it was named. Raises ModelError."""
    path, is_file = _place(model)
    if is_file:
        kinds.require_tflite(path)
        return path, None
    if path.suffix == ".tflite" or len(path.parts) > 1:
        if path.exists():
            kinds.require_tflite(path)
        raise ModelError(f"{model}: no such file", model)
    try:
        entry = find(model)
    except UnknownModelError:
        if path.exists():
            kinds.require_tflite(path)
        raise
    if not entry.present:
        raise ModelError(f"{model} is not on this machine: {entry.todo}", model)
    return entry.path, entry


def _place(model: str) -> tuple[Path, bool]:
    """What a path means, and whether there is a file. Raises ModelError."""
    try:
        path = files.expanded(model)
        return path, path.is_file()
    except UsageError as error:
        raise ModelError(str(error), model) from error
    except OSError as error:
        raise ModelError(f"{model}: {words.reason(error)}", model) from error


def recognise(checksum: str) -> Entry | None:
    """The model whose file has this SHA-256, wherever the file lies."""
    for card in _cards("*"):
        with contextlib.suppress(CardError):
            entry = card.entry()
            if entry.card.sha256 == checksum:
                return entry
    return None


def beside(path: Path, checksum: str) -> Entry | None:
    """The model whose card lies beside its file, as the converter leaves it; None for a card of another file."""
    card_path = path.with_suffix(".toml")
    try:
        card = Card.read(card_path)
    except CardError:  # none, or some other program's TOML
        return None
    return Entry(card, card_path, path, "beside") if card.sha256 == checksum else None


def unused_beside(path: Path) -> str:
    """Why the card beside a file is not its card, a line; empty where it is, or where there is none of ours."""
    card_path = path.with_suffix(".toml")
    try:
        card = Card.read(card_path)
    except CardError as error:
        return f"not used: {error}" if _is_meant_as_card(card_path) else ""
    if card.sha256 == files.sha256(path):
        return ""
    return f"not used: {card_path} is the card of another file, by its sha256: take it away, or make it anew"


def _is_meant_as_card(path: Path) -> bool:
    """Whether a TOML file that cannot be read as a card has what every card has, and not what others have."""
    try:
        content = reading.whole(path)
    except OSError:
        return False
    return b"sha256" in content and b"[input]" in content


class _CardFile(NamedTuple):
    """A card in the zoo that was not read yet. folder: where the model's file is or would be."""

    path: Path
    folder: Path
    origin: str

    def entry(self) -> Entry:
        """Read it. Raises CardError."""
        card = Card.read(self.path)
        if card.name != self.path.stem:
            raise CardError(f"{self.path}: the card is named '{card.name}'; file and card must agree", str(self.path))
        return Entry(card, self.path, self.folder / card.file_name, self.origin)


def _cards(name: str) -> Iterator[_CardFile]:
    for folder, where, origin in (
        (_BUNDLED, _BUNDLED, "bundled"),
        (_PULLABLE, pulled_dir(), "pulled"),
        (added_dir(), added_dir(), "added"),
    ):
        for path in sorted(folder.glob(f"{name}.toml")):
            yield _CardFile(path, where, origin)
