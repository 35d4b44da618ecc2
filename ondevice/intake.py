"""Take a stranger's .tflite file: try it, see what it is, and add it to the zoo with a card."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from ondevice import runtime, trial
from ondevice.errors import UsageError
from ondevice.models import files, labels, metadata, zoo
from ondevice.models.card import Accuracy, Card, Input
from ondevice.models.registry import register
from ondevice.runner import guess_input
from ondevice.runtime import Model


def add(  # noqa: PLR0913
    file: Path,
    name: str | None = None,
    label_list: str | None = None,
    value_range: tuple[float, float] | None = None,
    crop: float = 0.875,
    licence: str = "unknown",
    force: bool = False,
    accuracy: Accuracy | None = None,
) -> zoo.Entry:
    """Add `file` as `name`. label_list: `imagenet`, `digits` or a text file; value_range: what pixels 0 and 255 become.

    accuracy: as far as it is known. A card beside the file says all, unless labels or a range are given; else the
    file's metadata does, and a float model that has none needs its value_range. Raises UsageError, ModelError,
    HostileModelError, CardError.
    """
    path, _ = zoo.locate(str(file))
    if value_range is not None and not value_range[0] < value_range[1]:
        raise UsageError(f"the range's low end must be below its high end, not {value_range[0]:g},{value_range[1]:g}")
    checksum = files.sha256(path)
    trial.ensure(path, checksum, runtime.get())
    described = zoo.beside(path, checksum)
    if described is not None and (label_list, value_range) == (None, None):
        return _as_described(described, path, name, force, accuracy)
    model = Model(path)
    name = name or path.stem
    embedded = metadata.read(path, model.classes)
    list_name, lines, background = _labels(label_list, embedded, model, name)
    try:
        card = Card(
            name=name,
            family=name,
            architecture="unknown",
            precision=model.precision,
            input=_input(model, embedded, value_range, crop),
            labels=list_name,
            size_bytes=path.stat().st_size,
            sha256=checksum,
            licence=licence,
            source=f"added from {path.name}",
            background=background,
            accuracy=accuracy,
        )
    except ValueError as error:
        raise UsageError(f"{file}: {error}") from error
    return register(card, path, lines, force)


def _as_described(
    described: zoo.Entry, path: Path, name: str | None, force: bool, accuracy: Accuracy | None
) -> zoo.Entry:
    """Add the file with the card that lies beside it."""
    card = described.card
    lines: tuple[str, ...] = ()
    own = described.card_path.parent / card.labels
    if own.is_file():
        lines = tuple(own.read_text(encoding="utf-8").splitlines())
        card = dataclasses.replace(card, labels=f"{name or card.name}.labels.txt")
    try:
        named = dataclasses.replace(card, name=name or card.name, accuracy=accuracy or card.accuracy)
    except ValueError as error:
        raise UsageError(f"{path}: {error}") from error
    return register(named, path, lines, force)


def _input(model: Model, embedded: metadata.Embedded, value_range: tuple[float, float] | None, crop: float) -> Input:
    guess = guess_input(model, embedded)
    mean, std = guess.mean, guess.std
    if value_range is not None:
        low, high = value_range
        std = (255 / (high - low),)
        mean = (-low * std[0],)
    elif not model.input.scale and not embedded.mean:
        raise UsageError(
            f"{model.path} does not say what values it takes: give --range=-1,1 or --range 0,1 or --range 0,255"
        )
    return Input(guess.height, guess.width, guess.channels, mean, std, crop)


def _labels(
    wanted: str | None, embedded: metadata.Embedded, model: Model, name: str
) -> tuple[str, tuple[str, ...], bool]:
    """The card's label list, the lines to keep in a file of that name, and whether output 0 is background."""
    lines = embedded.label_lines
    if wanted is None and not lines:
        raise UsageError(
            f"{model.path} has no labels in it: give --labels imagenet, digits or a text file with one name a line"
        )
    bundled = wanted is not None and not Path(wanted).is_file()
    found = labels.load(wanted) if wanted is not None else labels.parse(list(lines), str(model.path))
    skip = int(found.names[0].lower() == "background")
    names, wnids = found.names[skip:], found.wnids[skip:]
    if model.classes - len(names) not in (0, 1):
        raise UsageError(
            f"{model.path} has {model.classes} outputs, the label list {len(names)} names; they must agree"
        )
    if bundled:
        return str(wanted), (), model.classes > len(names)
    kept = tuple(f"{w} {n}" for w, n in zip(wnids, names, strict=True)) if wnids else names
    return f"{name}.labels.txt", kept, model.classes > len(names)
