"""The user's own models in the zoo: registered under a card, and removed."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path
from typing import Any

from ondevice import words
from ondevice.errors import UsageError
from ondevice.models import files, zoo
from ondevice.models.card import Accuracy, Card
from ondevice.models.uploads import MeasuredUploads


def register(card: Card, file: Path, label_text: str = "", force: bool = False) -> zoo.Entry:
    """Copy `file` into the user's zoo under `card`; label_text, where given, becomes the label file that it names.

    An existing model is replaced only with `force`, a bundled or pulled one never. The card is written last: a model
    without one does not exist. Raises UsageError, OnDeviceError.
    """
    folder = zoo.added_dir()
    entry = zoo.Entry(card, folder / f"{card.name}.toml", folder / card.file_name, "added")
    existing = next((e for e in zoo.entries() if e.card.name == card.name), None)
    if existing is not None and not (force and existing.origin == "added"):
        hint = "give another --name" if existing.origin != "added" else "give another --name, or --force to replace it"
        raise UsageError(f"the zoo has a model '{card.name}' ({existing.origin}); {hint}")
    try:
        if label_text:
            with files.replacing(folder / card.labels) as out:
                out.write(label_text.encode())
        with file.open("rb") as source, files.replacing(entry.path) as out:
            shutil.copyfileobj(source, out)
        card.write(entry.card_path)
    except OSError as error:
        raise files.explain(error, folder) from error
    return entry


def own(entry: zoo.Entry | None, path: Path) -> zoo.Entry:
    """The entry of the model at `path`, if its card is the user's, to be changed. Raises UsageError."""
    if entry is None:
        raise UsageError(f"{path} has no card: {_adding(path)} gives it one")
    if entry.origin not in ("added", "beside"):
        raise UsageError(
            f"the card of {entry.card.name} is part of ondevice and stays: "
            f"{_adding(path, '--name', 'NAME')} makes one of your own"
        )
    return entry


def _adding(path: Path, *flags: str) -> str:
    return words.typed("ondevice", "models", "add", path, *flags)


def rate(entry: zoo.Entry, accuracy: Accuracy) -> zoo.Entry:
    """Write an accuracy into a card of the user's own. Raises UsageError, OnDeviceError."""
    return _changed(entry, accuracy=accuracy)


def rate_uploads(entry: zoo.Entry, uploads: MeasuredUploads) -> zoo.Entry:
    """Write how often it is right on what is sent of pictures, into a card of the user's own.

    Raises UsageError, OnDeviceError.
    """
    return _changed(entry, uploads=uploads)


def _changed(entry: zoo.Entry, **fields: Any) -> zoo.Entry:
    own(entry, entry.path)
    card = dataclasses.replace(entry.card, **fields)
    try:
        card.write(entry.card_path)
    except OSError as error:
        raise files.explain(error, entry.card_path) from error
    return entry._replace(card=card)


def remove(name: str) -> Path:
    """Delete a pulled model's file, or an added model altogether; gives the path. Raises UsageError, OnDeviceError."""
    entry = zoo.find(name)
    if entry.origin == "bundled":
        raise UsageError(f"{name} is bundled with ondevice and stays")
    if entry.origin == "pulled" and not entry.present:
        raise UsageError(f"{name} is not on this machine")
    try:
        if entry.origin == "added":
            entry.card_path.unlink(missing_ok=True)
            (entry.card_path.parent / f"{name}.labels.txt").unlink(missing_ok=True)
        entry.path.unlink(missing_ok=True)
    except OSError as error:
        raise files.explain(error, entry.path) from error
    return entry.path
