"""Which part of a data set, that comes in parts by a name such as `val`, a model is to be measured on."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import NamedTuple

from ondevice.errors import UsageError

_TRAINING = frozenset({"train", "training"})
_HELD_OUT = frozenset({"val", "valid", "validation", "test", "testing"})


class Part(NamedTuple):
    """The part that is held out, and how that is told."""

    path: Path
    note: str


def held_out(parts: Mapping[str, Path], folder: Path, classes: Collection[str] = ()) -> Part | None:
    """The one part of a data set that it was not trained on; None where these are not a data set's parts.

    parts: folders or tables in `folder`, by their names without a suffix. classes: those of the names that a class has
    too. Raises UsageError where several are held out, or none.
    """
    names = {name.casefold(): name for name in parts}
    training, held = _TRAINING & names.keys(), sorted(_HELD_OUT & names.keys())
    found = {*training, *held}
    # A class may be called `train`: a vehicle stands beside other classes.
    among_classes = {name.casefold() for name in classes}
    if not found or found <= among_classes or among_classes - found:
        return None
    if not (training and held) and names.keys() - found:
        return None
    paths = [str(parts[names[part]]) for part in held]
    if not paths:
        only = parts[names[min(training)]]
        raise UsageError(
            f"{folder}: nothing is held out from training in it; give {only} to measure on what was trained on"
        )
    if len(paths) > 1:
        raise UsageError(f"{folder}: {' and '.join(paths)} are both held out from training: give one of them")
    chosen = parts[names[held[0]]]
    rest = ", ".join(sorted(name for name in parts if name != chosen.stem))
    return Part(chosen, f"{folder}: measured on {chosen.name}" + (f", not on {rest}" if rest else ""))
