"""Texts that hold a name for each class, as people and their tools write them: one a line, with numbers, or as JSON."""

from __future__ import annotations

import codecs
import re
from typing import Any, NamedTuple

# str.splitlines also breaks at characters that stand within names (form feeds, U+2028); files converted to Windows'
# line ends twice have "\r\r\n".
_LINE_END = re.compile(r"\r*\n|\r")
# Coral's, Teachable Machine's and doods' lines: "0  Cat", "0 Cat", "0:Cat", "0: Cat", "0,Cat", "0\tCat"; "0. Cat" and
# "0) Cat" are how lists are numbered by hand, and "0.5 mm" is none.
_NUMBERED = re.compile(r"(\d{1,9})(?:\s*[:,]\s*|[.)]?\s+)(\S.*)")
# ImageNet's own list has two names that stand twice. Where what follows the numbers repeats more often than once in so
# many lines, the numbers are what tells the classes apart: "1 euro", "2 euro".
_LINES_PER_REPEAT = 20
# What no text has: a file with one of these is a picture, a model, or UTF-16 without its mark; and halves of
# characters, which JSON can spell.
_NO_TEXT = re.compile("[\x00-\x08\x0e-\x1f\ud800-\udfff]")
_SAVE_IT = "it is not a text; save it as UTF-8, one name a line"
_MARK = "\ufeff"  # a BOM; where files were joined it stands between lines, too


class LabelText(NamedTuple):
    """A name for each class, in order, "" where a line is blank; notes: what was read otherwise than it stands."""

    names: tuple[str, ...]
    notes: tuple[str, ...] = ()


def decode(content: bytes) -> tuple[str, tuple[str, ...]]:
    """The text of a file, and a note where its encoding had to be assumed. Raises ValueError with the reason.

    UTF-8, or UTF-16 where it begins with its mark (BOM); else Windows-1252, which has Latin-1's letters.
    """
    text, notes = _decoded(content)
    if _NO_TEXT.search(text):
        raise ValueError(_SAVE_IT)
    return text.replace(_MARK, ""), notes


def _decoded(content: bytes) -> tuple[str, tuple[str, ...]]:
    try:
        if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            return content.decode("utf-16"), ()
        return content.decode("utf-8-sig"), ()
    except UnicodeDecodeError:
        pass
    try:
        return content.decode("cp1252"), ("it is not UTF-8 and was read as Windows-1252; save it as UTF-8 to be sure",)
    except UnicodeDecodeError as error:
        raise ValueError("it is neither UTF-8 nor UTF-16 nor Windows-1252; save it as UTF-8") from error


def names(text: str) -> LabelText:
    """The names that a text holds: one a line, or JSON (see `_of_json`). Raises ValueError for other JSON.

    Blank lines at the end are none; between names each is a class without a name.

    Numbers before the names are left out where every line has its own, ascending from 0 or 1; blank lines then are
    none.
    """
    if (found := _json(text)) is not None:
        return LabelText(tuple(_of_json(found)))
    lines = [line.strip() for line in _LINE_END.split(text)]
    while lines and not lines[-1]:
        lines.pop()
    if numbered := _numbered([line for line in lines if line]):
        return LabelText(numbered, ("the numbers before its names are left out",))
    blank = lines.count("")
    return LabelText(tuple(lines), (_said_of_blank(lines.index(""), blank),) if blank else ())


def _numbered(lines: list[str]) -> tuple[str, ...]:
    """What follows the lines' own numbers; nothing where they have none."""
    found = [_NUMBERED.fullmatch(line) for line in lines]
    matches = [match for match in found if match]
    if not matches or len(matches) < len(lines):
        return ()
    numbers, rest = zip(*(match.groups() for match in matches), strict=True)
    first = int(numbers[0])
    ascending = first in (0, 1) and list(map(int, numbers)) == list(range(first, first + len(numbers)))
    repeats = len(rest) - len(set(rest))
    return rest if ascending and repeats * _LINES_PER_REPEAT <= len(rest) else ()


def _said_of_blank(first: int, count: int) -> str:
    if count == 1:
        return f"line {first + 1} is blank: class {first} has no name"
    return f"{count} lines before the last name are blank, line {first + 1} the first: their classes have no name"


def _json(text: str) -> Any:
    """What the text is as JSON, None where it is none."""
    if not text.lstrip().startswith(("[", "{")):
        return None
    import json

    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _of_json(found: Any) -> list[str]:
    """The names in a list, in an object by numbers from 0 (Keras's imagenet_class_index), or as keys of those numbers.

    In the first two a list of WordNet id and name may stand for a name. Raises ValueError for anything else.
    """
    if isinstance(found, dict):
        found = _by_number(found)
    if not isinstance(found, list) or not all(map(_is_name, found)):
        raise ValueError("it is JSON, and not a list of names, nor an object of names and their numbers from 0")
    return [" ".join((name if isinstance(name, str) else " ".join(name)).split()) for name in found]


def _by_number(found: dict[str, Any]) -> list[Any] | None:
    """The names in the order of their numbers; None where these are not 0, 1, 2 …"""
    numbers = range(len(found))
    if {type(value) for value in found.values()} == {int} and sorted(found.values()) == list(numbers):
        return sorted(found, key=lambda name: int(found[name]))
    listed = [found.get(str(number)) for number in numbers]
    return listed if None not in listed else None


def _is_name(item: Any) -> bool:
    if isinstance(item, list):
        return len(item) == 2 and all(map(_is_name, item)) and all(isinstance(part, str) for part in item)
    return isinstance(item, str) and bool(item.strip()) and not _NO_TEXT.search(item)
