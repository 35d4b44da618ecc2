"""Which pictures are meant."""

from __future__ import annotations

from pathlib import Path

import pytest
from files_by_name import tree

from ondevice.sources import Pictures, expand


def relative(pictures: Pictures, folder: Path) -> list[str]:
    return [str(Path(p).relative_to(folder)) for p in pictures.paths]


def test_files_stay_as_given_and_in_order(tmp_path: Path) -> None:
    tree(tmp_path, "b.jpg", "a.jpg", "notes.txt")
    given = [str(tmp_path / name) for name in ("b.jpg", "notes.txt", "a.jpg", "b.jpg")]
    assert expand(given) == Pictures(tuple(given), 0)


def test_a_missing_path_is_passed_through() -> None:
    assert expand(["gone.jpg", "nothing*.png", "-"]) == Pictures(("gone.jpg", "nothing*.png", "-"))


def test_folders_are_walked_sorted_without_hidden_files(tmp_path: Path) -> None:
    tree(
        tmp_path,
        "z.PNG",
        "a/b/deep.jpeg",
        "a/x.webp",
        "notes.txt",
        "data.csv",
        ".hidden.jpg",
        ".cache/c.jpg",
        "a/.d/e.png",
    )
    found = expand([str(tmp_path)])
    assert relative(found, tmp_path) == ["a/b/deep.jpeg", "a/x.webp", "z.PNG"]
    assert found.skipped == 2


def test_a_folder_below_a_hidden_one_may_be_named(tmp_path: Path) -> None:
    tree(tmp_path, ".photos/a.jpg")
    assert relative(expand([str(tmp_path / ".photos")]), tmp_path) == [".photos/a.jpg"]


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("*.jpg", ["1.jpg", "2.jpg"]),
        ("?.png", ["3.png"]),
        ("[12].jpg", ["1.jpg", "2.jpg"]),
        ("**/*.jpg", ["1.jpg", "2.jpg", "sub/4.jpg"]),
        ("s*", ["sub/4.jpg"]),
        ("*", ["1.jpg", "2.jpg", "3.png", "sub/4.jpg"]),
    ],
)
def test_globs(pattern: str, expected: list[str], tmp_path: Path) -> None:
    tree(tmp_path, "2.jpg", "1.jpg", "3.png", "sub/4.jpg", "sub/5.txt")
    assert relative(expand([str(tmp_path / pattern)]), tmp_path) == expected


@pytest.mark.parametrize("name", ["a[1].jpg", "what?.jpg", "*.jpg", "[x]"])
def test_names_with_glob_characters_that_exist_are_no_globs(name: str, tmp_path: Path) -> None:
    tree(tmp_path, name, "a1.jpg", "whatx.jpg", "x")
    assert relative(expand([str(tmp_path / name)]), tmp_path) == [name]


def test_a_folder_with_glob_characters_is_walked(tmp_path: Path) -> None:
    tree(tmp_path, "trip [2]/a.jpg", "trip 2/b.jpg")
    assert relative(expand([str(tmp_path / "trip [2]")]), tmp_path) == ["trip [2]/a.jpg"]
