"""Which pictures are meant, and which class each is of."""

from __future__ import annotations

from pathlib import Path

import pytest

from ondevice.errors import UsageError
from ondevice.models.labels import Labels
from ondevice.sources import Pictures, expand, labelled

LABELS = Labels("animals", ("cat", "dog", "tench"), ("n00000001", "n00000002", "n01440764"))
NUMBERED = Labels("numbers", ("0", "1", "2"))
TABLE = "index,wnid,name\n0,n00000001,cat\n1,n00000002,dog\n2,n01440764,tench\n"


def tree(folder: Path, *names: str) -> Path:
    """Files by these names, empty ones: nothing here looks inside."""
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return folder


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


def test_class_folders_by_name_and_by_wnid(tmp_path: Path) -> None:
    tree(tmp_path, "cat/1.jpg", "cat/more/2.png", "n01440764/3.jpg", "dog/4.gif", "dog/notes.txt", "README.md")
    found = labelled(tmp_path, LABELS)
    assert [Path(p).name for p in found.paths] == ["1.jpg", "2.png", "4.gif", "3.jpg"]
    assert (found.truth, found.skipped) == ((0, 0, 1, 2), 2)


def test_class_folders_of_a_list_without_wnids(tmp_path: Path) -> None:
    assert labelled(tree(tmp_path, "2/a.png", "0/b.png"), NUMBERED).truth == (0, 2)


def test_pictures_beside_a_table(tmp_path: Path) -> None:
    tree(tmp_path, "n01440764_tench.JPEG", "n00000001_cat_2.jpg", "n00000002_dog.png")
    (tmp_path / "labels.csv").write_text(TABLE)
    found = labelled(tmp_path, LABELS)
    assert dict(zip((Path(p).name for p in found.paths), found.truth, strict=True)) == {
        "n00000001_cat_2.jpg": 0,
        "n00000002_dog.png": 1,
        "n01440764_tench.JPEG": 2,
    }
    assert found.skipped == 1
    assert labelled(tmp_path, NUMBERED).truth == found.truth, "a list without wnids goes by the table's order"


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("0,n00000002,dog\n1,n00000001,cat\n2,n01440764,tench\n", "its classes are in another order than the model's"),
        ("0,n00000001,cat\n1,n00000002,dog\n", "it lists 2 classes, the model knows 3; they must be the same"),
        (TABLE + "3,n00000009,cow\n", "it lists 4 classes, the model knows 3"),
        ("0,n00000001,cat\n1,n00000002,dog\n1,n01440764,tench\n", "they must be the same"),
        ("", "it lists 0 classes, the model knows 3"),
        ("index,wnid,name\n0\n", "its rows must be index, wnid, name"),
        ("²,n00000001,cat\n", "its rows must be index, wnid, name"),
        ("0," + "x" * 200_000 + ",cat\n", "its rows must be index, wnid, name"),
        ("0,n00000001,\udcff\n", "its rows must be index, wnid, name"),
    ],
    ids=["order", "fewer", "more", "twice", "empty", "short row", "odd digit", "long field", "no UTF-8"],
)
def test_tables_that_do_not_fit(table: str, message: str, tmp_path: Path) -> None:
    tree(tmp_path, "n00000001_cat.jpg")
    (tmp_path / "labels.csv").write_bytes(table.encode(errors="surrogateescape"))
    with pytest.raises(UsageError, match=rf"^[^\n]*labels\.csv: [^\n]*{message}"):
        labelled(tmp_path, LABELS)


def test_blank_lines_in_a_table_are_no_rows(tmp_path: Path) -> None:
    tree(tmp_path, "n00000002_dog.jpg")
    (tmp_path / "labels.csv").write_text(TABLE + "\n")
    assert labelled(tmp_path, LABELS).truth == (1,)


def test_a_picture_of_no_class_in_the_table(tmp_path: Path) -> None:
    tree(tmp_path, "IMG_1.jpg")
    (tmp_path / "labels.csv").write_text(TABLE)
    with pytest.raises(UsageError, match=r"IMG_1\.jpg: its name does not begin with a wnid of .*labels\.csv and '_'$"):
        labelled(tmp_path, LABELS)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("bird/1.jpg", "folder 'bird' names no class of animals; name folders by class, or add a labels.csv"),
        ("n99999999/1.jpg", "folder 'n99999999' names no class of animals"),
        ("1.jpg", "the picture lies outside any class folder, and it names no class of animals"),
    ],
)
def test_pictures_of_no_class(name: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=message):
        labelled(tree(tmp_path, "cat/0.jpg", name), LABELS)


def test_no_picture(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no picture in it \(2 other files\)$"):
        labelled(tree(tmp_path, "cat/notes.txt", "x.csv", ".hidden.jpg"), LABELS)


def test_no_folder(tmp_path: Path) -> None:
    for path in (tmp_path / "gone", tree(tmp_path, "file.jpg") / "file.jpg"):
        with pytest.raises(UsageError, match="no such folder"):
            labelled(path, LABELS)


def test_the_real_photos_agree_with_the_models_list(data: Path) -> None:
    from ondevice.models import labels

    listed = labels.load("imagenet")
    found = labelled(data / "imagenet", listed)
    assert len(found.paths) == len(found.truth) == 500
    assert all(Path(p).name.startswith(listed.wnids[t] + "_") for p, t in zip(found.paths, found.truth, strict=True))
