"""Label lists: the bundled ones, a user's own, and what is not a list."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ondevice.errors import CardError
from ondevice.models import labels


def test_the_imagenet_list() -> None:
    listed = labels.load("imagenet")
    assert len(listed) == len(set(listed.names)) == len(set(listed.wnids)) == 1000
    assert list(listed.wnids) == sorted(listed.wnids), "ILSVRC's order of classes"
    assert all(re.fullmatch(r"n\d{8}", wnid) for wnid in listed.wnids)
    assert all(name == name.strip() != "" for name in listed.names)
    assert (listed.wnids[0], listed.names[0], listed.names[999]) == ("n01440764", "tench", "toilet tissue")


def test_the_digits_list() -> None:
    listed = labels.load("digits")
    assert (listed.names, listed.wnids, len(listed)) == (tuple("0123456789"), (), 10)


@pytest.mark.parametrize(
    ("name", "key", "index"),
    [
        ("imagenet", "n01443537", 1),
        ("imagenet", "goldfish", 1),
        ("imagenet", "n99999999", None),
        ("imagenet", "Goldfish", None),
        ("imagenet", "", None),
        ("digits", "7", 7),
        ("digits", "07", None),
        ("digits", "n01443537", None),
    ],
)
def test_classes_are_found_by_wnid_and_by_name(name: str, key: str, index: int | None) -> None:
    assert labels.load(name).index_of(key) == index


def test_a_name_that_looks_like_a_wnid_in_a_list_without_any() -> None:
    assert labels.parse(["n00000001", "n00000002"], "here").index_of("n00000002") == 1


def test_a_list_of_ones_own(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text(" cat \r\n\ndog\n\n \n", encoding="utf-8")
    listed = labels.load("mine.txt", tmp_path)
    assert (listed.source, listed.names, listed.wnids) == (str(tmp_path / "mine.txt"), ("cat", "", "dog"), ())


def test_a_list_with_wnids_of_ones_own(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("n00000002 big cat\nn00000001 dog\n")
    listed = labels.load("mine.txt", tmp_path)
    assert (listed.names, listed.wnids) == (("big cat", "dog"), ("n00000002", "n00000001"))
    assert [listed.index_of(key) for key in ("n00000001", "big cat", "n00000002 big cat")] == [1, 0, None]


def test_wnids_on_some_lines_only_are_part_of_the_names() -> None:
    listed = labels.parse(["n00000001 cat", "dog"], "here")
    assert (listed.names, listed.wnids) == (("n00000001 cat", "dog"), ())


def test_a_list_is_read_as_it_is_now(tmp_path: Path) -> None:
    path = tmp_path / "mine.txt"
    path.write_text("a\nb\n")
    assert labels.load("mine.txt", tmp_path).names == ("a", "b")
    path.write_text("c\nd\n")
    assert labels.load("mine.txt", tmp_path).names == ("c", "d")


def test_a_path_means_that_file_and_no_neighbour(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("a\nb\n")
    (tmp_path / "mine.txt").write_text("c\nd\n")
    assert labels.load(str(tmp_path / "mine")).names == ("a", "b")


@pytest.mark.parametrize("content", ["", "one\n", "\n\n", "one\n\n\n"])
def test_short_lists(content: str, tmp_path: Path) -> None:
    path = tmp_path / "short.txt"
    path.write_text(content)
    expected = rf"^{re.escape(str(path))}: a label list needs at least two lines, one name a line\Z"
    with pytest.raises(CardError, match=expected) as caught:
        labels.load(str(path))
    assert caught.value.path == str(path)


@pytest.mark.parametrize(
    ("name", "reason"),
    [("gone.txt", "No such file"), ("folder", "Is a directory"), ("latin1.txt", "utf-8"), ("nul\0byte", "null byte")],
)
def test_what_cannot_be_read_is_a_hint_at_what_can(name: str, reason: str, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "latin1.txt").write_bytes("café\nthé\n".encode("latin-1"))
    hint = "; give digits, imagenet, or a text file with one name a line"
    with pytest.raises(CardError, match=rf"^no label list '{name}': [^\n]*{reason}[^\n]*{hint}\Z") as caught:
        labels.load(name, tmp_path)
    assert caught.value.path == name
