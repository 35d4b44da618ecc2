"""Labels inside a .tflite file: those that its metadata names, in the right language, or none and the reason."""

from __future__ import annotations

from pathlib import Path

import pytest
from tflite import colours
from tflite_metadata import DESCRIPTIONS, VALUE_LABELS, VOCABULARY, Associated, describe

from ondevice.models import labels, metadata
from ondevice.models.metadata import Embedded

ENGLISH, GERMAN, FRENCH = (b"cat\ndog\nfish\n", b"Katze\nHund\nFisch\n", b"chat\nchien\npoisson\n")
README = b"Trained by me\nfor the zoo\nin 2024\n"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return colours(tmp_path / "net.tflite")


def names(found: Embedded) -> tuple[str, ...]:
    return found.labels.names if found.labels else ()


@pytest.mark.parametrize(
    "associated",
    [
        [Associated("labels.txt"), Associated("labels_de.txt", "de")],
        [Associated("labels_de.txt", "de"), Associated("labels.txt")],
        [Associated("labels_de.txt", "de"), Associated("labels.txt", "en")],
        [Associated("labels_fr.txt", "fr"), Associated("labels_de.txt", "de"), Associated("labels.txt", "en-GB")],
        [Associated("README.txt", "", DESCRIPTIONS), Associated("labels.txt", "de")],
        [Associated("labels_de.txt", "", VOCABULARY), Associated("labels.txt", "de")],
        [Associated("labels.txt", "", VALUE_LABELS)],
    ],
)
def test_the_metadata_says_which_file_and_which_language(associated: list[Associated], path: Path) -> None:
    files = {"README.txt": README, "labels_de.txt": GERMAN, "labels_fr.txt": FRENCH, "labels.txt": ENGLISH}
    found = metadata.read(describe(path, associated, files), 3)
    assert (names(found), found.note) == (("cat", "dog", "fish"), "")
    assert found.labels is not None
    assert found.labels.source == "labels.txt in net.tflite"


def test_of_languages_without_english_the_first(path: Path) -> None:
    associated = [Associated("fr.txt", "fr"), Associated("de.txt", "de")]
    found = metadata.read(describe(path, associated, {"de.txt": GERMAN, "fr.txt": FRENCH}), 3)
    assert names(found) == ("chat", "chien", "poisson")


def test_labels_may_be_those_of_a_later_output(path: Path) -> None:
    described = describe(path, [Associated("labels.txt")], {"labels.txt": ENGLISH}, outputs_before=2)
    assert names(metadata.read(described, 3)) == ("cat", "dog", "fish")


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("labelmap", b"cat\ndog\nfish", ("cat", "dog", "fish")),
        ("labels.txt", b"\xef\xbb\xbfcat\r\ndog\r\nfish\r\n", ("cat", "dog", "fish")),
        ("labels.txt", "Käse\nBrötchen\nFisch\n".encode("latin-1"), ("Käse", "Brötchen", "Fisch")),
        ("labels.txt", b"cat\ndog\nfish\n\n\n", ("cat", "dog", "fish")),
        ("labels.txt", b"cat\n\nfish\n", ("cat", "", "fish")),
        ("labels.txt", b"0 cat\n1 dog\n2 fish\n", ("cat", "dog", "fish")),
    ],
    ids=["a name without .txt", "BOM", "Latin-1", "blank lines at the end", "a blank line between", "numbers"],
)
def test_they_are_read_as_any_other_list(name: str, content: bytes, expected: tuple[str, ...], path: Path) -> None:
    found = metadata.read(describe(path, [Associated(name)], {name: content}), 3)
    assert (names(found), found.note) == (expected, "")


@pytest.mark.parametrize(
    ("files", "note"),
    [
        ({"other.txt": ENGLISH}, "net.tflite names labels.txt for its labels, which is not in it"),
        (
            {"labels.txt": b"cat\ndog\n", "other.txt": ENGLISH},
            "net.tflite has 3 classes, labels.txt in net.tflite 2 names; "
            "add the one that is missing, in the network's order (`background` first, if output 0 is that)",
        ),
        ({"labels.txt": b"\0" * 9}, "labels.txt in net.tflite: it is not a text; save it as UTF-8, one name a line"),
        ({}, "net.tflite names labels.txt for its labels, which is not in it"),
    ],
    ids=["another file", "too few", "no text", "no archive"],
)
def test_what_cannot_be_used_is_said_and_nothing_else_taken(files: dict[str, bytes], note: str, path: Path) -> None:
    found = metadata.read(describe(path, [Associated("labels.txt")], files), 3)
    assert (found.labels, found.note) == (None, note)


def test_a_list_over_the_limit_is_said(path: Path) -> None:
    files = {"labels.txt": b"a" * (4 * 1024 * 1024 + 1)}
    found = metadata.read(describe(path, [Associated("labels.txt")], files), 3)
    assert found.note == "labels.txt in net.tflite cannot be read: it has over 4 MB"


@pytest.mark.parametrize(
    "files",
    [
        {"labels.txt": ENGLISH},
        {"labels_de.txt": GERMAN, "labels.txt": ENGLISH},
        {"README.txt": README, "labels.txt": ENGLISH},
        {"README.txt": README[:20], "animals.txt": ENGLISH},
        {"data.csv": GERMAN, "sub/labelmap.txt": ENGLISH},
    ],
)
@pytest.mark.parametrize("associated", [None, [], [Associated("labels.txt", "", DESCRIPTIONS)]])
def test_where_the_metadata_names_none_the_name_that_label_files_have_or_the_only_one_that_fits(
    files: dict[str, bytes], associated: list[Associated] | None, path: Path
) -> None:
    found = metadata.read(describe(path, associated, files), 3)
    assert (names(found), found.note) == (("cat", "dog", "fish"), "")


def test_where_nothing_tells_two_lists_apart_neither_is_taken(path: Path) -> None:
    found = metadata.read(describe(path, None, {"a.txt": ENGLISH, "b.txt": README}), 3)
    assert found.labels is None
    assert found.note == "net.tflite has several lists that may be its labels (a.txt, b.txt) and does not say which"


@pytest.mark.parametrize("background", [None, True, False])
@pytest.mark.parametrize("content", [b"Background\nRock\nPaper\n", b"Rock\nPaper\n"])
def test_a_background_class_is_one_if_that_is_said(content: bytes, background: bool | None, path: Path) -> None:
    described = describe(path, [Associated("labels.txt")], {"labels.txt": content})
    found = metadata.read(described, 3, background)
    listed = tuple(content.decode().split())
    assert names(found) == (listed if background or len(listed) == 3 else ())
    assert bool(found.note) == (found.labels is None)


def test_normalization_is_read_beside_labels(path: Path) -> None:
    described = describe(path, [Associated("labels.txt")], {"labels.txt": ENGLISH}, ([1.0, 2.0, 3.0], [4.0]))
    found = metadata.read(described, 3)
    assert (found.mean, found.std, names(found)) == ((1.0, 2.0, 3.0), (4.0,), ("cat", "dog", "fish"))


def test_thousands_of_texts_that_are_one_are_not_all_unpacked(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[int] = []
    real = labels.read
    monkeypatch.setattr(labels, "read", lambda content, source: read.append(len(content)) or real(content, source))
    metadata.read(describe(path, None, {f"{i}.txt": b"a\n" * 500_000 for i in range(20)}), 3)
    assert 0 < sum(read) <= 4 * 1024 * 1024
