"""How things are named in text with their settings, `kind:key=value,key=value`, and what is said of a wrong one."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from ondevice import words
from ondevice.errors import UsageError
from ondevice.timing.bounds import BELIEVABLE_MS

# A comma before `key=` goes on with the settings; any other begins the next item.
_COMMA = re.compile(r",(?![a-z_0-9]+=)")


class Bounds(NamedTuple):
    """What a setting may be: from low to high; without a default it has to be given. open: low itself is too small."""

    low: float = 0.0
    high: float = BELIEVABLE_MS
    default: float | None = None
    open: bool = False


def split_items(texts: Iterable[str]) -> list[str]:
    """Each of `texts` may hold several items with commas between them: all of them, in their order, none twice."""
    return list(dict.fromkeys(item.strip() for text in texts for item in _COMMA.split(text) if item.strip()))


def parse(text: str) -> tuple[str, dict[str, str]]:
    """The kind and its settings, as text. Raises UsageError for a setting without a value, or given twice."""
    kind, _, rest = text.partition(":")
    settings: dict[str, str] = {}
    for item in filter(None, rest.split(",")):
        key, equals, setting = item.partition("=")
        if not (equals and setting):
            raise UsageError(
                f"{shortened(text)}: '{shortened(item)}' is not a setting; write {kind}:key=value,key=value"
            )
        if key in settings:
            raise UsageError(f"{shortened(text)}: {key} is given twice")
        settings[key] = setting
    return kind, settings


def parse_numbers(text: str, settings: Mapping[str, str], bounds: Mapping[str, Bounds]) -> dict[str, float]:
    """The settings of `text` as numbers, in the order of `bounds`.

    Raises UsageError for a setting that bounds does not know, one out of its bounds, and one that is missing.
    """
    for key in settings:
        words.known(key, bounds, f"setting of {text.partition(':')[0]}")
    return {key: _number(text, key, settings.get(key), bound) for key, bound in bounds.items()}


def _number(text: str, key: str, setting: str | None, bound: Bounds) -> float:
    if setting is None:
        if bound.default is None:
            raise UsageError(f"{shortened(text)}: {key} is missing; add {key}=NUMBER")
        return bound.default
    try:
        number = float(setting)
    except ValueError:
        number = math.nan
    if not bound.low <= number <= bound.high or (bound.open and number == bound.low):
        low = f"above {bound.low:g}" if bound.open else f"from {bound.low:g}"
        raise UsageError(f"{shortened(text)}: {key} is a number {low} to {bound.high:g}, not '{shortened(setting)}'")
    return number


def shortened(text: str) -> str:
    """As much of a text as fits into one line beside other words."""
    return text if len(text) <= 80 else f"{text[:77]}..."
