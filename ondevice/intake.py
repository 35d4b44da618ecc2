"""Take a stranger's .tflite file: try it, see what it is, and add it to the zoo with a card."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from ondevice import runtime, trial
from ondevice.errors import UsageError
from ondevice.models import files, zoo
from ondevice.models.card import NAME, Accuracy, Card, nameable
from ondevice.models.description import KnownFrom, ModelDescription, describe_model, guessed_by_0_1_0
from ondevice.models.overrides import Overrides
from ondevice.models.registry import register
from ondevice.runner import free_shapes
from ondevice.runtime import Executable


def add(  # noqa: PLR0913
    file: Path,
    name: str | None = None,
    overrides: Overrides | None = None,
    licence: str = "unknown",
    force: bool = False,
    accuracy: Accuracy | None = None,
) -> zoo.Entry:
    """Add `file` as `name`, with what `ondevice.models.description` knows of it; overrides go before all that.

    accuracy: as far as it is known. A card beside the file says what is not given, unless version 0.1.0 guessed it;
    what was measured with it stays only where nothing is given. A model whose labels, or value range, nothing tells
    needs them given. Raises UsageError, ModelError, HostileModelError, CardError.
    """
    path, _ = zoo.locate(str(file))
    checksum = files.sha256(path)
    beside = zoo.beside(path, checksum)
    if beside is not None and guessed_by_0_1_0(beside):
        beside = None
    known = describe_model(path, beside, overrides)
    shapes = free_shapes(path, known.input)
    trial.ensure(path, checksum, runtime.get(), shapes)
    _require_known(path, known)
    name = name or (beside.card.name if beside else path.stem)
    if not NAME.fullmatch(name):
        raise UsageError(f"'{name}' cannot be a model's name: give another, such as --name {nameable(name)}")
    try:
        if beside is not None:
            card = beside.card
            if overrides not in (None, Overrides()):
                card = dataclasses.replace(card, accuracy=None, conversion=None, uploads=None)
            card = dataclasses.replace(card, name=name, accuracy=accuracy or card.accuracy)
        else:
            precision = Executable(path, shapes=shapes).precision
            card = _card(path, name, known, precision, checksum, licence, accuracy)
        card = _filled(card, known)
    except ValueError as error:
        raise UsageError(f"{file}: {error}") from error
    return register(card, path, "" if known.labels.bundled else known.labels.text(), force)


def _filled(card: Card, known: ModelDescription) -> Card:
    """The card, with what is known of input, labels and output, and from where."""
    return dataclasses.replace(
        card,
        input=known.input,
        labels=known.labels.bundled or f"{card.name}.labels.txt",
        background=known.background,
        output=known.output.value if known.output.of_two else None,
        sources=_sources(card, known),
    )


def _sources(card: Card, known: ModelDescription) -> dict[str, str] | None:
    """Where the card has each from: what was kept has the source that it had."""
    before = card.sources or {}
    sources = {what: before.get(what) if by is KnownFrom.CARD else by.value for what, by in known.sources.items()}
    return {what: by for what, by in sources.items() if by is not None} or None


def _require_known(path: Path, known: ModelDescription) -> None:
    """Raise UsageError for what a card must not guess."""
    if known.assumed_range:
        raise UsageError(
            f"{path} does not say what values it takes: give --range=-1,1 or --range 0,1 or --range 0,255, "
            "or --mean and --std"
        )
    if known.labels.numbered:
        raise UsageError(
            f"{path} has no labels in it or beside it: give --labels imagenet, digits or a text file with one name a "
            "line" + "".join(f" ({note})" for note in known.notes)
        )


def _card(  # noqa: PLR0913
    path: Path,
    name: str,
    known: ModelDescription,
    precision: str,
    checksum: str,
    licence: str,
    accuracy: Accuracy | None,
) -> Card:
    return Card(
        name=name,
        family=name,
        architecture="unknown",
        precision=precision,
        input=known.input,
        labels=known.labels.bundled or f"{name}.labels.txt",
        size_bytes=path.stat().st_size,
        sha256=checksum,
        licence=licence,
        source=f"added from {path.name}",
        accuracy=accuracy,
    )
