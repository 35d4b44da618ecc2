"""The models that a simulated cloud serves: how accurate each is, and how long it takes.

A set is a file: a CSV of published figures (`model`, `top1` or `top1_percent`, and columns `…_mean_ms` and `…_std_ms`,
of which `FILE:COLUMN` names the one that is meant; `side`, of the input, pixels, where uploads are simulated), or the
profiles that `ondevice bench --save` wrote, whose models' accuracies and inputs the zoo knows.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from pathlib import Path, PurePath
from typing import NamedTuple

import numpy as np

from ondevice import reading, words
from ondevice.errors import OnDeviceError, UsageError
from ondevice.lab.simulate import notation
from ondevice.models import zoo
from ondevice.models.card import nameable
from ondevice.models.uploads import MeasuredUploads
from ondevice.selection.problem import Models
from ondevice.timing import profile
from ondevice.timing.arrays import FloatArray, IndexArray
from ondevice.timing.distribution import Distribution, Distributions
from ondevice.timing.profile import Profile

_PROFILE_SUFFIX = ".json"
# A larger input, pixels, is a slip of the pen: no published image classifier takes more than some 600.
_LARGEST = 4096.0


@dataclass(frozen=True, eq=False)
class ModelSet:
    """Models under a name.

    top1: the accuracies of all models in the file, those left out of the set, too. drawn: what their times
    are drawn from; None: they are normal, with the models' means and deviations. sides: of their inputs, pixels, where
    they are known; uploads: what was measured of smaller pictures.
    """

    name: str
    models: Models
    top1: Mapping[str, float]
    drawn: Distributions | None = None
    sides: Mapping[str, int] = field(default_factory=dict)
    uploads: Mapping[str, MeasuredUploads] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.models)

    def times_ms(self, noise: FloatArray, model: IndexArray) -> FloatArray:
        """The inference times, for noise in (0, 1) or, for normal times, standard normal; both broadcast."""
        if self.drawn is None:
            return np.maximum(self.models.mean_ms[model] + self.models.std_ms[model] * noise, 0.0)
        return self.drawn.quantile_ms(noise, model)

    def noise(self, n: int, rng: np.random.Generator) -> FloatArray:
        """Draw the noise [n] that `times_ms` takes."""
        return rng.standard_normal(n) if self.drawn is None else rng.random(n)


class ModelFilter(NamedTuple):
    """Which models of a file are kept: those that match a pattern of `only`, if it has any, and none of `without`."""

    only: tuple[str, ...] = ()
    without: tuple[str, ...] = ()

    def __call__(self, names: Sequence[str], where: str) -> list[str]:
        """Those of names that are kept. Raises UsageError where none is, or a pattern matches no name."""
        for pattern in (*self.only, *self.without):
            if not any(fnmatchcase(name, pattern) for name in names):
                _refuse(pattern, names, where)
        kept = [name for name in names if self._keeps(name)]
        if not kept:
            raise UsageError(f"{where}: no model is left of {len(names)}; give --only or --without fewer patterns")
        return kept

    def _keeps(self, name: str) -> bool:
        wanted = not self.only or any(fnmatchcase(name, pattern) for pattern in self.only)
        return wanted and not any(fnmatchcase(name, pattern) for pattern in self.without)


EVERY_MODEL = ModelFilter()


def _refuse(pattern: str, names: Sequence[str], where: str) -> None:
    """Raise UsageError for a pattern that matches none of names."""
    if any(entry.card.name == pattern for entry in zoo.entries()):
        raise UsageError(f"{pattern} has no profile in {where}: {_measure(pattern)}")
    if set("*?[") & set(pattern):
        raise UsageError(f"{where}: no model matches '{notation.shortened(pattern)}'; it has {', '.join(names)}")
    words.known(pattern, names, f"model in {where}")


def _measure(model: str) -> str:
    return f"measure it with {words.typed('ondevice', 'bench', model, '--save', 'FILE.json')}, and give that file"


def find(text: str, keep: ModelFilter = EVERY_MODEL) -> ModelSet:
    """The set that `text` names: FILE.csv, FILE.csv:COLUMN or FILE.json, of which it has the models that `keep` keeps.

    Raises UsageError where there is no such file or no model is left, OnDeviceError with the line for a file that does
    not hold models.
    """
    path, column = _place(text)
    content = _read(path)
    name = path.stem + (f":{column}" if column else "")
    if path.suffix.lower() == _PROFILE_SUFFIX:
        return _profiled(name, content, path, keep)
    return _published(name, content, path, column, keep)


def _place(text: str) -> tuple[Path, str]:
    """The file, and the column or ""."""
    name, colon, column = text.rpartition(":")
    if colon and not Path(text).is_file():
        return Path(name), column
    if any(entry.card.name == text for entry in zoo.entries()) and not Path(text).is_file():
        raise UsageError(f"--models {text}: it has no profile here: {_measure(text)}")
    return Path(text), ""


def _read(path: Path) -> str:
    try:
        return reading.text(path, "utf-8-sig")
    except OSError as error:
        raise UsageError(
            f"--models {notation.shortened(str(path))}: {words.reason(error)}; "
            "give a CSV of models, or the profiles of `ondevice bench --save FILE.json`"
        ) from error
    except UnicodeDecodeError as error:
        raise OnDeviceError(f"{path} is not a text file: give a CSV of models, or profiles in JSON") from error


def _profiled(name: str, content: str, path: Path, keep: ModelFilter) -> ModelSet:
    try:
        profiles = profile.loads(content)
        if not profiles:
            raise ValueError("it has no profiles")
    except ValueError as error:
        raise OnDeviceError(f"{path}: {error}; write one with `ondevice bench MODEL --save FILE.json`") from error
    names = keep([each.model for each in profiles], str(path))
    top1 = _accuracies(names, path)
    kept = [each for each in profiles if each.model in names]
    cards = {entry.card.name: entry.card for entry in zoo.entries() if entry.card.name in names}
    sides = {model: max(card.input.height, card.input.width) for model, card in cards.items()}
    uploads = {model: card.uploads for model, card in cards.items() if card.uploads}
    return ModelSet(name, Models.of(top1, kept), top1, as_drawn(kept), sides, uploads)


def told_apart(sets: Mapping[str, ModelSet]) -> list[ModelSet]:
    """The sets, by the texts that name them; files of one name with as much of the text as tells them apart."""
    names, ends = [each.name for each in sets.values()], words.apart(map(PurePath, sets))
    return [
        replace(each, name=ends[PurePath(text)]) if names.count(each.name) > 1 else each for text, each in sets.items()
    ]


def as_drawn(profiles: Sequence[Profile]) -> Distributions:
    """The profiles' times as they are drawn: with their means, though the largest quantile may be an outlier."""
    return Distributions.of([each.distribution.lowered() for each in profiles])


def _accuracies(names: Iterable[str], path: Path) -> dict[str, float]:
    """top1 of models of the zoo. Raises UsageError for one that it does not know, or whose accuracy nobody knows."""
    entries = {entry.card.name: entry for entry in zoo.entries()}
    found = {}
    for name in names:
        entry = entries.get(name)
        if entry is None or entry.card.accuracy is None:
            raise UsageError(f"{path}: the accuracy of {name} is not known: {_rate(name, entry)}")
        found[name] = entry.card.accuracy.top1
    return found


def _rate(name: str, entry: zoo.Entry | None) -> str:
    """What makes an accuracy known, or does without it."""
    without = f"leave it out with {words.typed('--without', name)}"
    if entry is not None:
        measured = f"{words.typed('ondevice', 'evaluate', name, 'DIR', '--update-card')} measures it, or "
        return (measured if entry.origin == "added" else "") + without
    better = nameable(name)
    added = f"{words.typed('ondevice', 'models', 'add', 'FILE', '--name', better, '--top1', 'SHARE')} says it"
    return (
        f"{added}, or {without}"
        if name == better
        else f"{added} of a model of that name; {_measure(better)}; or {without}"
    )


class _ModelRow(NamedTuple):
    line: int
    cells: dict[str, str]


def _published(name: str, content: str, path: Path, place: str, keep: ModelFilter) -> ModelSet:
    rows, heads = _rows(content, path)
    prefix = _column(heads, place, path)
    top1 = {model: _top1(row, heads, path) for model, row in rows.items()}
    profiles = []
    for model in keep(list(rows), str(path)):
        mean_ms, std_ms = (_cell(rows[model], f"{prefix}{end}", path, math.inf) for end in ("mean_ms", "std_ms"))
        profiles.append(_normal(model, mean_ms, std_ms, place))
    sides = {model: round(_cell(row, "side", path, _LARGEST)) for model, row in rows.items() if row.cells.get("side")}
    return ModelSet(name, Models.of(top1, profiles), top1, sides=sides)


def _top1(row: _ModelRow, heads: Sequence[str], path: Path) -> float:
    if "top1" in heads:
        return _cell(row, "top1", path, 1.0)
    return _cell(row, "top1_percent", path, 100.0) / 100


def _rows(content: str, path: Path) -> tuple[dict[str, _ModelRow], list[str]]:
    """The rows by model, and the headings."""
    try:
        reader = csv.DictReader(content.splitlines(), strict=True)
        heads = [head.strip() for head in reader.fieldnames or ()]
        reader.fieldnames = heads
        rows = [_ModelRow(reader.line_num, cells) for cells in reader]
    except csv.Error as error:
        raise OnDeviceError(f"{path}: {error}; give a CSV with a heading") from error
    if "model" not in heads or not {"top1", "top1_percent"} & set(heads):
        raise OnDeviceError(f"{path}, line 1: the heading has no `model`, or neither `top1` nor `top1_percent`")
    if not rows:
        raise OnDeviceError(f"{path} has no models: write a line for each below its heading")
    by_name: dict[str, _ModelRow] = {}
    for row in rows:
        name = row.cells["model"]
        if not name:
            raise OnDeviceError(f"{path}, line {row.line}: a model without a name")
        if name in by_name:
            raise OnDeviceError(f"{path}, line {row.line}: {name} stands there again")
        by_name[name] = row
    return by_name, heads


def _column(heads: Sequence[str], column: str, path: Path) -> str:
    """What comes before `mean_ms` in the headings."""
    ends = [head.removesuffix("mean_ms") for head in heads if head.endswith("mean_ms")]
    prefixes = [prefix for prefix in ends if f"{prefix}std_ms" in heads]
    if not prefixes:
        raise OnDeviceError(f"{path}, line 1: the heading has no pair of columns such as mean_ms and std_ms")
    if not column and len(prefixes) == 1:
        return prefixes[0]
    names = [prefix.removesuffix("_") for prefix in prefixes]
    if not column:
        raise UsageError(f"{path} has the times of several places: give {' or '.join(f'{path}:{n}' for n in names)}")
    return prefixes[names.index(words.known(column, names, f"place in {path}"))]


def _cell(row: _ModelRow, head: str, path: Path, most: float) -> float:
    text = (row.cells[head] or "").strip()
    where = f"{path}, line {row.line}: {row.cells['model']}"
    if not text:
        raise OnDeviceError(f"{where} has no {head}; fill it in, or leave the model out with --without")
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value <= most or math.isinf(value):
        limit = "" if math.isinf(most) else f" to {most:g}"
        raise OnDeviceError(f"{where}: {head} is a number from 0{limit}, not '{notation.shortened(text)}'")
    return value


def _normal(name: str, mean_ms: float, std_ms: float, host: str) -> Profile:
    """A profile of times that are taken as normal."""
    return Profile(name, *Distribution.normal(mean_ms, std_ms).figures, 0, host, "", 0)


def patterns(texts: Iterable[str]) -> tuple[str, ...]:
    """Patterns as --only and --without take them: commas between them."""
    return tuple(pattern.strip() for text in texts for pattern in text.split(",") if pattern.strip())
