"""Texts of labels as people write them; of any text, any bytes: names in their places, or one line that says why."""

from __future__ import annotations

import codecs
import json
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ondevice.errors import CardError
from ondevice.models import labels
from ondevice.models.labels import Labels

NUMBERS = "here: the numbers before its names are left out"
BLANK = "here: 2 lines before the last name are blank, line 1 the first: their classes have no name"
WINDOWS = "here: it is not UTF-8 and was read as Windows-1252; save it as UTF-8 to be sure"


def read(content: bytes | str) -> Labels:
    return labels.read(content.encode() if isinstance(content, str) else content, "here")


@pytest.mark.parametrize(
    "text",
    [
        "0 Cat\n1 Dog\n",
        "0  Cat\n1  Dog",
        "0:Cat\r\n1: Dog\r\n",
        "1,Cat\n2\tDog\n",
        "0. Cat\n\n1) Dog\n\n",
        "00 Cat\n01 Dog\n",
    ],
)
def test_lines_own_numbers_are_no_part_of_the_names(text: str) -> None:
    assert (read(text).names, read(text).notes) == (("Cat", "Dog"), (NUMBERS,))


@pytest.mark.parametrize(
    "lines",
    [
        ["0", "1"],
        ["0 Cat", "Dog"],
        ["0 Cat", "2 Dog"],
        ["2 Cat", "3 Dog"],
        ["1 Cat", "0 Dog"],
        ["0.5 mm", "1.5 m"],
        ["0 fingers", "1 finger", "2 fingers"],
        ["1 euro", "2 euro"],
        ["0:00", "1:00", "2:00"],
    ],
)
def test_numbers_that_are_names_stay(lines: list[str]) -> None:
    assert (read("\n".join(lines)).names, read("\n".join(lines)).notes) == (tuple(lines), ())


def test_of_a_long_numbered_list_two_names_may_be_the_same() -> None:
    named = [f"name {i}" for i in range(38)] + ["crane", "crane"]
    assert read("\n".join(f"{i} {name}" for i, name in enumerate(named))).names == tuple(named)


@pytest.mark.parametrize(
    ("encode", "notes"),
    [
        (lambda text: text.encode(), ()),
        (lambda text: codecs.BOM_UTF8 + text.encode(), ()),
        (lambda text: codecs.BOM_UTF16_LE + text.encode("utf-16-le"), ()),
        (lambda text: codecs.BOM_UTF16_BE + text.encode("utf-16-be"), ()),
        (lambda text: text.encode("latin-1"), (WINDOWS,)),
    ],
    ids=["UTF-8", "with its mark", "UTF-16", "UTF-16, high byte first", "Latin-1"],
)
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r", "\r\r\n"])
def test_encodings_and_line_ends(encode: Callable[[str], bytes], notes: tuple[str, ...], end: str) -> None:
    found = read(encode(f"Bär{end}Küh \u00a0{end}{end}"))
    assert (found.names, found.notes) == (("Bär", "Küh"), notes)


@pytest.mark.parametrize(
    "content",
    [
        "Bär\nKuh\n".encode("utf-16-le"),
        "Bär\nKuh\n".encode("utf-32"),
        b"\x89PNG\r\n\x1a\n",
        b"a\nb\x1b[2Jc\n",
        b"a\0\nb",
    ],
)
def test_what_is_no_text(content: bytes) -> None:
    with pytest.raises(CardError, match=r"^here: it is not a text; save it as UTF-8, one name a line\Z"):
        read(content)


def test_bytes_of_no_encoding() -> None:
    with pytest.raises(CardError, match=r"^here: it is neither UTF-8 nor UTF-16 nor Windows-1252; save it as UTF-8\Z"):
        read(b"caf\x81\nb\n")


@pytest.mark.parametrize(
    ("text", "names", "note"),
    [
        ("cat\n\ndog\n", ("cat", "", "dog"), "here: line 2 is blank: class 1 has no name"),
        ("\ncat\n\n dog", ("", "cat", "", "dog"), BLANK),
        ("???\ncat\n???\n", ("???", "cat", "???"), ""),
    ],
)
def test_a_blank_line_between_names_shifts_none(text: str, names: tuple[str, ...], note: str) -> None:
    assert (read(text).names, read(text).notes) == (names, (note,) if note else ())


def test_marks_where_files_were_joined_are_no_part_of_names() -> None:
    assert read("\ufeff\ufeffcat\n\ufeffdog\n").names == ("cat", "dog")


@pytest.mark.parametrize(
    "text",
    ["n00000002 big cat\nn00000001 dog\n", "n00000002\tbig cat\nn00000001,dog", "0 n00000002 big cat\n1 n00000001 dog"],
)
def test_wordnet_ids_before_names(text: str) -> None:
    assert (read(text).names, read(text).wnids) == (("big cat", "dog"), ("n00000002", "n00000001"))


def test_wordnet_ids_alone_are_names() -> None:
    found = read("n00000002\nn00000001\n")
    assert (found.names, found.wnids, found.index_of("n00000001")) == (("n00000002", "n00000001"), (), 1)


def test_a_background_class_has_no_wordnet_id() -> None:
    found = read("background\nn00000002 cat\nn00000001 dog\n")
    assert (found.names, found.wnids) == (("background", "cat", "dog"), ("", "n00000002", "n00000001"))


@pytest.mark.parametrize(
    "found",
    [
        ["cat", "dog"],
        {"0": "cat", "1": "dog"},
        {"1": "dog", "0": "cat"},
        {"dog": 1, "cat": 0},
    ],
)
@pytest.mark.parametrize("indent", [None, 2])
def test_json(found: object, indent: int | None) -> None:
    assert read(json.dumps(found, indent=indent)).names == ("cat", "dog")


def test_json_with_wordnet_ids() -> None:
    found = read('{"0": ["n00000002", "big cat"], "1": ["n00000001", "dog"]}')
    assert (found.names, found.wnids) == (("big cat", "dog"), ("n00000002", "n00000001"))


@pytest.mark.parametrize(
    "found",
    [
        {"0": "cat", "2": "dog"},
        {"cat": 1, "dog": 2},
        [1, 2],
        ["cat", ""],
        {"a": True},
        ["a", "\x00"],
        [["a"]],
        ["\ud800"],
    ],
)
def test_other_json_is_refused(found: object) -> None:
    message = "here: it is JSON, and not a list of names, nor an object of names and their numbers from 0"
    with pytest.raises(CardError) as caught:
        read(json.dumps(found))
    assert str(caught.value) == message


@pytest.mark.parametrize("text", ["[cat]\n[dog]\n", "{cat\ndog}\n", "[" * 100_000 + "\ncat"])
def test_names_in_brackets_are_names(text: str) -> None:
    assert read(text).names == tuple(text.split())


PIECES = st.sampled_from(
    ["0 ", "1 ", "2:", "10,", "n01440764 ", "cat", "dog", "é", "\n", "\r\n", "\n\n", "\ufeff", '["', '",', "]"]
)
TEXTS = st.text() | st.lists(PIECES, max_size=30).map("".join)


@given(st.binary() | TEXTS.map(str.encode) | TEXTS.map(lambda text: text.encode("utf-16")))
def test_any_bytes_are_names_or_one_line_that_says_why(content: bytes) -> None:
    found = read_or_said(content)
    if isinstance(found, str):
        assert found.startswith("here: ")
        assert "\n" not in found
    else:
        assert len(found) >= 2
        assert len(found.wnids) in (0, len(found))
        assert all(name == name.strip() and "\n" not in name for name in found.names)


def read_or_said(content: bytes) -> Labels | str:
    try:
        return read(content)
    except CardError as error:
        return str(error)


@given(TEXTS)
def test_what_is_written_reads_as_it_was(text: str) -> None:
    found = read_or_said(text.encode())
    assert isinstance(found, str) or read(found.text()) == found


NAMES = st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1).filter(lambda name: not name[0].isdigit())


@given(st.lists(NAMES, min_size=2, max_size=9), st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]), st.booleans())
def test_names_are_in_the_places_of_their_lines(named: list[str], encoding: str, blank: bool) -> None:
    lines = [*named[:1], "", *named[1:]] if blank else named
    assert read("\r\n".join([*lines, "", ""]).encode(encoding)).names == tuple(lines)
