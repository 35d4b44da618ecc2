"""Tables of file names and labels."""

from __future__ import annotations

from pathlib import Path

import pytest
from files_by_name import tree

from ondevice.dataset.labelled import labelled
from ondevice.errors import UsageError
from ondevice.models.labels import Labels

LABELS = Labels("animals", ("cat", "dog", "golden retriever"), ("n00000001", "n00000002", "n00000003"))


def read(folder: Path, name: str, text: str) -> dict[str, int]:
    """The class by the name of each picture, with the table in the folder."""
    (folder / name).write_bytes(text.encode())
    found = labelled(folder, LABELS)
    return {Path(path).name: index for path, index in zip(found.paths, found.truth, strict=True)}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("labels.csv", "filename,label\na.jpg,dog\nb.jpg,cat\n"),
        ("annotations.csv", "a.jpg, 1\nb.jpg, 0\n"),
        ("labels.tsv", "image\tclass\r\na.jpg\tdog\r\nb.jpg\tcat\r\n"),
        ("any.csv", "\ufeffImage ID;Width;Class Name\na;10;Dog\nb;20;Cat\n"),
        ("labels.csv", "label,file\n1,images/a.jpg\n0,images/b.jpg\n"),
        ("labels.csv", "path,label,label_name\n./images/a.jpg,7,dog\n/home/me/images/b.jpg,5,cat\n"),
        ("labels.csv", "x,y,file,what\n1,2,images\\a.jpg,dog\n0,1,images\\b.jpg,cat\n"),
        ("val.txt", "a.jpg 1\nb.jpg 0\n"),
        ("val.txt", "a.jpg\tn00000002\t0\t1\nb.jpg\tn00000001\t1\t0\n"),
        ("labels.csv", "id,breed\na,dog\nb,cat\n\n"),
    ],
    ids=[
        "csv", "index, no heading", "tsv", "semicolons, stems", "order of columns", "names before numbers",
        "names alone can be classes", "text", "more columns, no heading", "id",
    ],
)  # fmt: skip
def test_tables_as_people_write_them(name: str, text: str, tmp_path: Path) -> None:
    tree(tmp_path, "images/a.jpg", "images/b.jpg")
    assert read(tmp_path, name, text) == {"a.jpg": 1, "b.jpg": 0}


def test_what_was_read_is_told(tmp_path: Path) -> None:
    tree(tmp_path, "a.jpg", "b.jpg", "c.jpg")
    read(tmp_path, "labels.csv", "filename,label\na.jpg,dog\ngone.jpg,cat\nb.jpg,\n")
    found = labelled(tmp_path, LABELS)
    assert (len(found.paths), found.skipped) == (1, 2)
    assert found.notes == (
        f"{tmp_path}/labels.csv: pictures by 'filename', their classes by 'label'",
        f"{tmp_path}/labels.csv: 1 picture in it not there: gone.jpg",
        f"passed over 2 pictures that the table does not list, or not with a class: {tmp_path}/b.jpg, {tmp_path}/c.jpg",
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("filename,label\na.jpg,bird\n", "label 'bird' names no class of animals"),
        ("filename,label\na.jpg,3\n", r"label '3' names no class .* by index \(0 to 2\)"),
        ("filename,label\na.jpg,dog\na.jpg,cat\n", "it gives .*a.jpg two classes, 'dog' and 'cat'"),
        ("filename,label\na.jpg,Dog\nb.jpg,dog\n", "labels 'Dog' and 'dog' are both class 1"),
        (
            "a.jpg,1,0\nb.jpg,0,2\n",
            "which of 'column 2', 'column 3' is the class\\? Give that column the heading 'label'",
        ),
        ("file,x,y\na.jpg,1,0\n", "which of 'x', 'y' is the class"),
        ("filename,label\nsame.jpg,dog\n", "'same.jpg' may be .*/1/same.jpg or .*/2/same.jpg: write the path"),
    ],
    ids=["unknown", "out of range", "two classes", "one class twice", "corners", "no heading says", "same name"],
)
def test_tables_that_are_refused(text: str, message: str, tmp_path: Path) -> None:
    tree(tmp_path, "a.jpg", "b.jpg", "1/same.jpg", "2/same.jpg")
    with pytest.raises(UsageError, match=rf"^[^\n]*labels\.csv: [^\n]*{message}"):
        read(tmp_path, "labels.csv", text)


def test_a_table_that_is_given_itself(tmp_path: Path) -> None:
    tree(tmp_path, "cat/a.jpg", "cat/b.jpg", "notes.txt")
    table = tmp_path / "mine.csv"
    table.write_text("file,label\na.jpg,dog\n")
    found = labelled(table, LABELS)
    assert ([Path(path).name for path in found.paths], found.truth, found.skipped) == (["a.jpg"], (1,), 0)
    table.write_text("file,label\nc.jpg,dog\n")
    with pytest.raises(UsageError, match=r"mine\.csv: a row must name a picture, by its path from .*, and its class$"):
        labelled(table, LABELS)


def test_class_folders_come_before_a_table_and_that_is_told(tmp_path: Path) -> None:
    tree(tmp_path, "cat/a.jpg", "dog/b.jpg")
    assert read(tmp_path, "labels.csv", "file,label\na.jpg,dog\nb.jpg,cat\n") == {"a.jpg": 0, "b.jpg": 1}
    assert labelled(tmp_path, LABELS).notes == (f"{tmp_path}: classes by its folders, not by labels.csv",)


def test_a_table_comes_before_folders_that_are_numbers(tmp_path: Path) -> None:
    tree(tmp_path, "0/a.jpg", "1/b.jpg")
    assert read(tmp_path, "labels.csv", "file,label\na.jpg,dog\nb.jpg,cat\n") == {"a.jpg": 1, "b.jpg": 0}


def test_a_list_of_classes_beside_class_folders(tmp_path: Path) -> None:
    tree(tmp_path, "0/a.jpg", "1/b.jpg")
    assert read(tmp_path, "labels.csv", "0,cat\n1,dog\n2,golden retriever\n") == {"a.jpg": 0, "b.jpg": 1}
    assert labelled(tmp_path, LABELS).notes == (f"{tmp_path}: its folders are indexes: 0 is cat, 1 is dog",)


def test_of_several_tables_the_one_that_is_held_out_or_none(tmp_path: Path) -> None:
    tree(tmp_path, "images/a.jpg", "images/b.jpg")
    (tmp_path / "train.csv").write_text("file,label\na.jpg,dog\n")
    assert read(tmp_path, "test.csv", "file,label\nb.jpg,cat\n") == {"b.jpg": 0}
    assert labelled(tmp_path, LABELS).notes[0] == f"{tmp_path}: measured on test.csv, not on train"
    (tmp_path / "train.csv").rename(tmp_path / "more.csv")
    with pytest.raises(UsageError, match=r"more\.csv and .*test\.csv list pictures and classes: give the one"):
        labelled(tmp_path, LABELS)


def test_a_table_of_training_pictures_is_taken_only_if_it_is_named(tmp_path: Path) -> None:
    tree(tmp_path, "a.jpg")
    with pytest.raises(UsageError, match=r"nothing is held out from training in it; give .*/train\.csv to "):
        read(tmp_path, "train.csv", "file,label\na.jpg,dog\n")
    assert labelled(tmp_path / "train.csv", LABELS).truth == (1,)


def test_what_is_not_a_table_of_classes_is_none(tmp_path: Path) -> None:
    tree(tmp_path, "images/a.jpg", "images/b.jpg")
    (tmp_path / "README.txt").write_text("Two pictures.\na.jpg is of a dog.\nTake care.\n")
    (tmp_path / "sizes.csv").write_text("file,width,height\na.jpg,2,1\nb.jpg,1,0\n")
    (tmp_path / "list.csv").write_text("a.jpg\nb.jpg\n")
    assert read(tmp_path, "labels.csv", "file,label\na.jpg,dog\nb.jpg,cat\n") == {"a.jpg": 1, "b.jpg": 0}


def test_a_name_without_a_suffix_is_a_picture_where_the_heading_says_so(tmp_path: Path) -> None:
    tree(tmp_path, "0.jpg", "1.jpg")
    assert read(tmp_path, "labels.csv", "label,id\n1,0\n0,1\n") == {"0.jpg": 1, "1.jpg": 0}
    with pytest.raises(UsageError, match="its name does not begin with a wnid"):
        read(tmp_path, "labels.csv", "index,wnid,name\n0,n00000001,cat\n1,n00000002,dog\n2,n00000003,golden\n")
