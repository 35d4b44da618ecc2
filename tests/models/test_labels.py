"""Label lists: the bundled ones, a user's own, and what is not a list."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ondevice.errors import CardError, UsageError
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
    [("gone.txt", "No such file"), ("folder", "Is a directory"), ("nul\0byte", "null byte")],
)
def test_what_cannot_be_read_is_a_hint_at_what_can(name: str, reason: str, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    hint = "; give digits, imagenet, or a text file with one name a line"
    with pytest.raises(CardError, match=rf"^no label list '{name}': [^\n]*{reason}[^\n]*{hint}\Z") as caught:
        labels.load(name, tmp_path)
    assert caught.value.path == name


@pytest.mark.parametrize(
    "text", ["0 Cat\n1 Dog\n", "0  Cat\n1  Dog", "0:Cat\r\n1: Dog\r\n", "1,Cat\n2\tDog\n", "0. Cat\n\n1) Dog"]
)
def test_lines_own_numbers_are_no_part_of_the_names(text: str) -> None:
    listed = labels.read(text.encode(), "here")
    assert (listed.names, listed.notes) == (("Cat", "Dog"), ("here: the numbers before its names are left out",))


@pytest.mark.parametrize(
    "lines",
    [["0", "1"], ["0 Cat", "Dog"], ["1 euro", "2 euro"], ["0 Cat", "2 Dog"], ["2 Cat", "3 Dog"], ["0.5 mm", "1.5 m"]],
)
def test_numbers_that_are_names_stay(lines: list[str]) -> None:
    assert labels.parse(lines, "here").names == tuple(lines)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
def test_encodings(encoding: str) -> None:
    assert labels.read("Bär\r\nKüh\r\n".encode(encoding), "here").names == ("Bär", "Küh")


def test_a_class_of_ones_own_called_background_stays() -> None:
    found = labels.parse(["Background", "Cat", "Dog"], "here")
    assert labels.fitted(found, 3) == (found, False)
    assert labels.fitted(found, 3, background=True) == (found.without_first(), True)


def test_one_label_too_few() -> None:
    with pytest.raises(UsageError, match=r"^net has 3 classes, here 2 names; add the one that is missing"):
        labels.fitted(labels.parse(["Cat", "Dog"], "here"), 3, model="net")


@pytest.mark.parametrize(("outputs", "background"), [(1000, False), (1001, True)])
def test_imagenet_has_a_background_class_where_there_are_1001_outputs(outputs: int, background: bool) -> None:
    plain = labels.load("imagenet")
    for found in (plain, labels.Labels("theirs", ("background", *plain.names))):
        assert labels.fitted(found, outputs)[1] == background
        assert labels.fitted(found, outputs)[0].names == plain.names


def test_classes_of_one_name() -> None:
    listed = labels.parse(["crane", "heron", "crane"], "here")
    assert (listed.indexes_of("crane"), listed.indexes_of("heron"), listed.indexes_of("duck")) == ((0, 2), (1,), ())
    with pytest.raises(UsageError, match=r"^'crane' is 2 classes of here \(0 and 2\)"):
        listed.index_of("crane")
