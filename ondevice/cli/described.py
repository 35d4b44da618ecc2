"""What a person is told of a model before it is used: what nobody has said of it, and where the rest is known from."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from ondevice import words
from ondevice.cli import console

if TYPE_CHECKING:
    from pathlib import Path

    from ondevice.models.description import ModelDescription
    from ondevice.models.overrides import Overrides
    from ondevice.models.zoo import Entry

# How a card of a converted file begins to say what it is from.
_CONVERTED = "converted from "


def tell(path: Path, entry: Entry | None, known: ModelDescription) -> None:
    """Note, of a model without a card, all that is known of it; and of a card that 0.1.0 made, that it guessed."""
    from ondevice.models.description import guessed_by_0_1_0

    if entry is None:
        console.note(f"{path.name} has no card: {known.line()}")
        if known.assumed_range:
            console.note(
                f"warning: {path.name} does not say what values it takes, and -1 to 1 is a guess: "
                f"{_adding(path, known)} keeps a range such as -1,1, 0,1 or 0,255"
            )
    elif guessed_by_0_1_0(entry):
        console.note(_of_0_1_0(entry, known))
    elif entry.origin == "added" and entry.path != path:
        console.note(f"{path.name} is the file of {entry.card.name} in the zoo, whose card says all of it")
    for note in known.notes:
        console.note(note)


def tell_of(model: str, overrides: Overrides | None = None) -> None:
    """Note it of a name or path before a process of its own opens that; what is wrong with it, that process says."""
    from ondevice.errors import OnDeviceError
    from ondevice.models.description import describe_model
    from ondevice.runner import find

    with contextlib.suppress(OnDeviceError):
        path, entry, _ = find(model)
        tell(path, entry, describe_model(path, entry, overrides))


def _adding(path: Path, known: ModelDescription) -> str:
    """The command, with all that it will ask for."""
    from ondevice.models.card import nameable

    named = ("--name", nameable(path.stem)) if path.stem != nameable(path.stem) else ()
    labels = ("--labels", "FILE") if known.labels.numbered else ()
    return words.typed("ondevice", "models", "add", path, *named, "--range=LOW,HIGH", *labels)


def _of_0_1_0(entry: Entry, known: ModelDescription) -> str:
    """What a card of version 0.1.0 may have wrong, and what makes it anew."""
    return (
        f"the card of {entry.card.name} is of version 0.1.0, which guessed what it was not told: "
        f"crop {known.input.crop:g}, {'a' if known.background else 'no'} background class, and the range of some; "
        f"{_anew(entry)} makes it anew"
    )


def _anew(entry: Entry) -> str:
    """The command; of a converted file that lies where it was put, it puts it there once more."""
    name, precision, source = entry.card.name, entry.card.precision, entry.card.source
    if entry.origin != "beside" or not source.startswith(_CONVERTED):
        said = ("--name", name, "--force", "--labels", "FILE", "--range=LOW,HIGH")
        return words.typed("ondevice", "models", "add", entry.path, *said)
    stem = name.removesuffix(f"_{precision}")
    how = ("--name", stem, "--precision", precision) if stem != name else ()
    calibration = ("--calibration", "DIR") if precision == "int8" else ()
    own = entry.card_path.with_name(entry.card.labels)
    place = ("--labels", own if own.is_file() else entry.card.labels, "--out", entry.path.parent, "--force")
    return words.typed("ondevice", "convert", source.removeprefix(_CONVERTED), *how, *calibration, *place)


def tell_card(entry: Entry) -> None:
    """Note what the card says that was made of a file, and where that was known from."""
    from dataclasses import replace

    from ondevice.models.description import KnownFrom, describe_model

    known = describe_model(entry.path, entry)
    made = (entry.card.sources or {}).items()  # a person may have written others into it
    sources = {name: KnownFrom(text) for name, text in made if name in known.sources and text in {*KnownFrom}}
    if sources:
        console.note(f"its card says: {replace(known, sources=sources).line()}")


def sources(known: ModelDescription, entry: Entry | None) -> dict[str, str]:
    """Where each thing is known from, in words; of a card also where that was known from when it was made."""
    from ondevice.models.description import KnownFrom

    made = (entry.card.sources if entry else None) or {}
    return {
        name: f"card: {made[name]}" if source is KnownFrom.CARD and name in made else source.value
        for name, source in known.sources.items()
    }
