"""What is known of a model: how a picture becomes its input, what its outputs are called and mean; and from where.

Each has a source, the first of these that says anything: a flag, the card, metadata inside the file, a file beside it,
the network itself, convention. Everything that runs a model asks here, so that all of it feeds and reads it alike.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

from ondevice import words
from ondevice.errors import CardError, UsageError
from ondevice.models import classifier, first_layers, labels, metadata, zoo
from ondevice.models.card import Card, Input
from ondevice.models.classifier import ClassifierGraph
from ondevice.models.labels import Labels
from ondevice.models.metadata import Embedded
from ondevice.models.output import Meaning
from ondevice.models.overrides import Overrides
from ondevice.models.value_range import MeanAndStd, Range, normalization

# ImageNet's evaluation takes the middle 0.875 of a photo. What people train themselves sees whole pictures.
_IMAGENET_CROP, _WHOLE = 0.875, 1.0
# Ends that are written in several ways, such as 127.5 and 128, are 0.4 % apart.
_SAME_RANGE = 0.02


class KnownFrom(StrEnum):
    """Where something is known from, the strongest first."""

    FLAG = "flag"
    CARD = "card"
    METADATA = "metadata in the file"
    BESIDE = "file beside it"
    NETWORK = "network itself"
    CONVENTION = "convention"


# What has a source.
SIZE, RANGE, CROP, COLOURS = "size", "range", "crop", "colours"
LABELS, BACKGROUND, OUTPUT = "labels", "background", "output"


@dataclass(frozen=True)
class ModelDescription:
    """How pictures are fed to a model, and what its outputs are called and mean.

    labels: without the background class. background: whether output 0 is one. sources: where each is known from; the
    keys are this module's names. notes: what was found and could not be used, a line each.
    """

    input: Input
    labels: Labels
    background: bool
    output: Meaning
    sources: dict[str, KnownFrom]
    notes: tuple[str, ...] = ()

    @property
    def outputs(self) -> int:
        """How many numbers the model gives."""
        return 1 if self.output.of_two else len(self.labels) + self.background

    @property
    def assumed_range(self) -> bool:
        """Whether nothing says what values the model takes."""
        return self.sources[RANGE] is KnownFrom.CONVENTION

    def values(self) -> dict[str, str]:
        """What is known, in words, by the names in `sources`."""
        given, low, high = self.input, *self.input.value_range
        listed = "numbered" if self.labels.numbered else Path(self.labels.source).name
        return {
            SIZE: f"{given.height} x {given.width} x {given.channels}",
            RANGE: f"{low:.4g} to {high:.4g}",
            CROP: f"{given.crop:g}",
            COLOURS: "grey" if given.channels == 1 else "BGR" if given.bgr else "RGB",
            LABELS: f"{listed} ({len(self.labels)} classes)",
            BACKGROUND: "output 0" if self.background else "none",
            OUTPUT: _IN_WORDS[self.output],
        }

    def line(self) -> str:
        """All of it in one line, by source, the strongest first."""
        values = self.values()
        said = []
        for source in KnownFrom:
            of_it = [f"{name} {values[name]}" for name, known in self.sources.items() if known is source]
            if of_it:
                said.append(f"{', '.join(of_it)} ({source})")
        return "; ".join(said)


_IN_WORDS = {
    Meaning.SCORES: "a score a class",
    Meaning.PROBABILITY: "the probability of class 1 of two",
    Meaning.LOGIT: "the logit of class 1 of two",
}


def describe_model(path: Path, entry: zoo.Entry | None, given: Overrides | None = None) -> ModelDescription:
    """The model in the file, of which `entry` is the card, if it has one.

    Raises ModelError where the file is not an image classifier's, CardError, UsageError where what is given does not
    fit.
    """
    given = given or Overrides()
    return _of_card(entry, given) if entry is not None else _of_file(path, given)


def _of_card(entry: zoo.Entry, given: Overrides) -> ModelDescription:
    card = entry.card
    if given.size not in (None, (card.input.height, card.input.width)):
        raise UsageError(f"{card.name}: its card says {card.input.height} x {card.input.width}: --size cannot be had")
    meaning = card.meaning
    listed = labels.load(card.labels, entry.card_path.parent)
    sources = dict.fromkeys((SIZE, RANGE, CROP, COLOURS, LABELS, BACKGROUND, OUTPUT), KnownFrom.CARD)
    plain = ModelDescription(card.input, listed, card.background, meaning, sources)
    if given.labels is None and given.background not in (None, card.background):
        raise UsageError(
            f"{card.name}: its card has {len(listed)} labels {'after' if card.background else 'and not'} a background "
            "class: to say otherwise give --labels too"
        )
    return _overridden(plain, given, card.name)


def _overridden(known: ModelDescription, given: Overrides, name: str) -> ModelDescription:
    """What is known of the model called so, with what is given in its place. Raises UsageError, CardError."""
    sources, changed = dict(known.sources), known.input
    for what, fields in _given_input(given).items():
        if what != COLOURS or changed.channels == 3 or given.bgr:  # grey is not what --rgb says
            sources[what] = KnownFrom.FLAG
        try:
            changed = replace(changed, **fields)
        except ValueError as error:
            raise UsageError(str(error)) from error
    found, background = known.labels, known.background
    if given.labels is not None:
        count = known.output.classes(known.outputs)
        found, background = labels.fitted(labels.load(given.labels), count, given.background, name)
        sources[LABELS] = KnownFrom.FLAG
        sources[BACKGROUND] = KnownFrom.CONVENTION if given.background is None else KnownFrom.FLAG
    return replace(known, input=changed, labels=found, background=background, sources=sources)


def _given_input(given: Overrides) -> dict[str, dict[str, Any]]:
    """The fields of `Input` that are given, by what has a source."""
    fields: dict[str, dict[str, Any]] = {}
    if given.normalization is not None:
        mean, std = given.normalization
        fields[RANGE] = {"mean": mean, "std": std}
    if given.crop is not None:
        fields[CROP] = {"crop": given.crop}
    if given.bgr is not None:
        fields[COLOURS] = {"bgr": given.bgr}
    return fields


def _of_file(path: Path, given: Overrides) -> ModelDescription:
    known = classifier.read(path)
    if given.size is None:
        classifier.refuse_sequence(known)
    meaning = known.meaning
    classes = meaning.classes(known.outputs)
    embedded = metadata.read(path, classes, given.background)
    sources = {SIZE: KnownFrom.NETWORK}
    height, width = _size(known, given, sources)
    (mean, std), notes = _normalization(known, embedded, given, sources)
    names, background, of_labels = _labels(path, embedded, classes, given, sources)
    try:
        described = Input(height, width, known.layout.channels, mean, std, crop_of(names))
    except ValueError as error:  # of what is given; metadata that cannot be are not used
        raise UsageError(str(error)) from error
    notes = (*filter(None, [zoo.unused_beside(path)]), *notes, *of_labels)
    sources |= {CROP: KnownFrom.CONVENTION, COLOURS: KnownFrom.CONVENTION, OUTPUT: KnownFrom.NETWORK}
    if known.layout.channels == 1:
        sources[COLOURS] = KnownFrom.NETWORK
    plain = ModelDescription(described, names, background, meaning, sources, notes)
    return _overridden(plain, replace(given, labels=None), path.name)


def crop_of(names: Labels) -> float:
    """The crop of a network with these classes, where nobody says one."""
    return _IMAGENET_CROP if names.wnids or labels.is_imagenet(names) else _WHOLE


def _size(known: ClassifierGraph, given: Overrides, sources: dict[str, KnownFrom]) -> tuple[int, int]:
    layout = known.layout
    if given.size is not None:
        if not layout.fits(given.size):
            wanted, own = (" x ".join(map(str, size)) for size in (given.size, layout.size))
            raise UsageError(f"{known.path}: its input is {own}, so --size {wanted} cannot be had")
        if layout.free:
            sources[SIZE] = KnownFrom.FLAG
        return given.size
    if layout.free:
        kept = words.typed("ondevice", "models", "add", known.path, "--size", "224")
        raise UsageError(
            f"{known.path}: its input has no size of its own ({known.end}): give --size, such as 224, or keep one with "
            f"{kept}"
        )
    return layout.size


def _normalization(
    known: ClassifierGraph, embedded: Embedded, given: Overrides, sources: dict[str, KnownFrom]
) -> tuple[MeanAndStd, tuple[str, ...]]:
    """Mean and std in pixel units, and what the file says against them.

    An input of whole numbers takes pixels as they are stored, as TFLite's own task library has it whatever the
    metadata say: their normalization is that of the float network before it was quantized.
    """
    sources[RANGE] = KnownFrom.NETWORK
    if given.normalization is not None:
        return given.normalization, ()
    if (stored := known.stored_pixels) is not None:
        return stored, ()
    found = first_layers.value_range(known)
    said, notes = _of_metadata(known, embedded, found)
    if said is not None:
        sources[RANGE] = KnownFrom.METADATA
        return said, notes
    if found is None:
        sources[RANGE] = KnownFrom.CONVENTION
        found = (-1.0, 1.0)
    return normalization(found), notes


def _of_metadata(
    known: ClassifierGraph, embedded: Embedded, found: Range | None
) -> tuple[MeanAndStd | None, tuple[str, ...]]:
    """What the metadata say, and a line where that cannot be, or where the network itself wants what was `found`."""
    if not embedded.mean or not embedded.std:
        return None, ()
    try:
        low, high = Input(1, 1, known.layout.channels, embedded.mean, embedded.std).value_range
    except ValueError as error:
        return None, (f"not used: the mean and std in {known.path.name}'s metadata: {error}",)
    if found is None or max(abs(low - found[0]), abs(high - found[1])) <= _SAME_RANGE * (found[1] - found[0]):
        return (embedded.mean, embedded.std), ()
    note = (
        f"warning: {known.path.name}'s metadata give it {low:.4g} to {high:.4g}, and its first layers want "
        f"{found[0]:g} to {found[1]:g}: where its answers are wrong, give --range={found[0]:g},{found[1]:g}"
    )
    return (embedded.mean, embedded.std), (note,)


def _labels(
    path: Path, embedded: Embedded, classes: int, given: Overrides, sources: dict[str, KnownFrom]
) -> tuple[Labels, bool, tuple[str, ...]]:
    """The labels, whether output 0 is background, and what could not be used."""
    labels.check_background(classes, given.background, path.name)
    notes = [embedded.note] if embedded.note and given.labels is None else []
    sources[BACKGROUND] = KnownFrom.FLAG if given.background is not None else KnownFrom.CONVENTION
    for source, found in _lists(path, embedded, classes, given):
        try:
            listed = found()
            if listed is None:
                continue
            fitted, background = labels.fitted(listed, classes, given.background, path.name)
        except (CardError, UsageError) as error:
            if source is KnownFrom.FLAG:
                raise
            notes.append(f"not used: {error}")
        else:
            sources[LABELS] = source
            return fitted, background, (*notes, *fitted.notes)
    raise AssertionError("numbers are as many as there are outputs")


def _lists(
    path: Path, embedded: Embedded, classes: int, given: Overrides
) -> Iterator[tuple[KnownFrom, Callable[[], Labels | None]]]:
    """Where labels may be, the strongest first, and how they are read."""
    wanted, beside = given.labels, labels.beside(path)
    if wanted is not None:
        yield KnownFrom.FLAG, lambda: labels.load(wanted)
    yield KnownFrom.METADATA, lambda: embedded.labels
    if beside is not None:
        yield KnownFrom.BESIDE, lambda: labels.load(str(beside))
    yield KnownFrom.CONVENTION, lambda: labels.assumed(classes, given.background)
    # Where a flag denies ImageNet its background class, or gives it another.
    yield KnownFrom.CONVENTION, lambda: labels.numbers(classes - bool(given.background))


def guessed_by_0_1_0(entry: zoo.Entry) -> bool:
    """Whether the card was made by version 0.1.0 from a file whose range, crop or background class it guessed."""
    if entry.origin not in ("added", "beside") or entry.card.sources is not None:
        return False
    return entry.card.source.startswith("added from") or _of_a_file(entry.card)


def _of_a_file(card: Card) -> bool:
    """Whether the card is of a conversion of a person's own network, and not of an architecture known by name."""
    return card.conversion is not None and card.architecture.startswith(("Keras model", "SavedModel"))
