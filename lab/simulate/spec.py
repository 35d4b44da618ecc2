"""A thing named in text with its settings, `kind:key=value,key=value`, and what is said of a wrong one."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from ondevice.errors import UsageError

# A comma before `key=` goes on with the settings; any other begins the next item.
_COMMA = re.compile(r",(?![a-z_0-9]+=)")
_MOST = 1e9


class Bounds(NamedTuple):
    """What a setting may be: from low to high; without a default it has to be given. open: low itself is too small."""

    low: float = 0.0
    high: float = _MOST
    default: float | None = None
    open: bool = False


def items(texts: Iterable[str]) -> list[str]:
    """Each of `texts` may hold several items with commas between them: all of them, in their order, none twice."""
    return list(dict.fromkeys(item.strip() for text in texts for item in _COMMA.split(text) if item.strip()))


def split(text: str) -> tuple[str, dict[str, str]]:
    """`kind` and its settings, as text. Raises UsageError for a setting without a value, or given twice."""
    kind, _, rest = text.partition(":")
    settings: dict[str, str] = {}
    for item in filter(None, rest.split(",")):
        key, equals, value = item.partition("=")
        if not (equals and value):
            raise UsageError(f"{shown(text)}: '{shown(item)}' is no setting; write {kind}:key=value,key=value")
        if key in settings:
            raise UsageError(f"{shown(text)}: {key} is given twice")
        settings[key] = value
    return kind, settings


def known(word: str, words: Iterable[str], what: str) -> str:
    """`word`, which must be among words. Raises UsageError with those nearest to it."""
    words = list(words)
    if word in words:
        return word
    nearest = difflib.get_close_matches(word[:40], words, cutoff=0.4)
    hint = f"did you mean {', '.join(nearest)}?" if nearest else f"there are {', '.join(words) or 'none'}"
    raise UsageError(f"no {what} '{shown(word)}'; {hint}")


def numbers(text: str, settings: Mapping[str, str], bounds: Mapping[str, Bounds]) -> dict[str, float]:
    """The settings that `bounds` knows as numbers, in its order. Raises UsageError for others, or wrong or missing."""
    for key in settings:
        known(key, bounds, f"setting of {text.partition(':')[0]}")
    return {key: _number(text, key, settings.get(key), bound) for key, bound in bounds.items()}


def _number(text: str, key: str, value: str | None, bound: Bounds) -> float:
    if value is None:
        if bound.default is None:
            raise UsageError(f"{shown(text)}: {key} is missing; add {key}=NUMBER")
        return bound.default
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    if not bound.low <= number <= bound.high or (bound.open and number == bound.low):
        low = f"above {bound.low:g}" if bound.open else f"from {bound.low:g}"
        raise UsageError(f"{shown(text)}: {key} is a number {low} to {bound.high:g}, not '{shown(value)}'")
    return number


def shown(text: str) -> str:
    """As much of it as fits into a line."""
    return text if len(text) <= 80 else f"{text[:77]}..."
