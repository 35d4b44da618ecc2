"""Which class each picture is of, in every form that a data set comes in."""

from __future__ import annotations

from pathlib import Path

import pytest
from files_by_name import tree

from ondevice.dataset.labelled import Labelled, labelled
from ondevice.errors import UnlabelledError, UsageError
from ondevice.models.labels import Labels

LABELS = Labels("animals", ("cat", "dog", "tench"), ("n00000001", "n00000002", "n01440764"))
NUMBERED = Labels("numbers", ("0", "1", "2"))
TABLE = "index,wnid,name\n0,n00000001,cat\n1,n00000002,dog\n2,n01440764,tench\n"


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
    assert found.skipped == 0, "what tells the classes is not passed over"
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
        ("0," + "x" * 200_000 + ",cat\n", "field larger than field limit"),
    ],
    ids=["order", "fewer", "more", "twice", "empty", "short row", "odd digit", "long field"],
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
        (
            "bird/1.jpg",
            r"folder 'bird' names no class of animals \(cat, dog, tench\); name folders by class, or by ",
        ),
        ("n99999999/1.jpg", "folder 'n99999999' names no class of animals"),
        ("3/1.jpg", r"folder '3' names no class .* by index \(0 to 2\)$"),
    ],
)
def test_pictures_of_no_class(name: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=message):
        labelled(tree(tmp_path, "cat/0.jpg", name), LABELS)


def test_pictures_in_no_folder_and_in_no_table(tmp_path: Path) -> None:
    with pytest.raises(UnlabelledError, match=r": 2 pictures, and nothing says of which classes; it takes a folder a "):
        labelled(tree(tmp_path, "1.jpg", "2.jpg"), LABELS)


def test_pictures_beside_class_folders_are_passed_over_and_said(tmp_path: Path) -> None:
    found = labelled(tree(tmp_path, "cat/0.jpg", "dog/1.jpg", "stray.jpg", "notes.txt"), LABELS)
    assert (found.truth, found.skipped) == ((0, 1), 2)
    assert found.notes == (f"passed over 1 picture outside any class folder: {tmp_path / 'stray.jpg'}",)


def test_no_picture(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no picture in it \(2 other files\)$"):
        labelled(tree(tmp_path, "cat/notes.txt", "x.csv", ".hidden.jpg"), LABELS)


def test_no_folder(tmp_path: Path) -> None:
    for name, said in (("gone", "no such folder"), ("file.jpg", r"is neither a folder nor a table \(\.csv, \.tsv")):
        with pytest.raises(UsageError, match=said):
            labelled(tree(tmp_path, "file.jpg") / name, LABELS)


def test_the_real_photos_agree_with_the_models_list(data: Path) -> None:
    from ondevice.models import labels

    listed = labels.load("imagenet")
    found = labelled(data / "imagenet", listed)
    assert len(found.paths) == len(found.truth) == 500
    assert all(Path(p).name.startswith(listed.wnids[t] + "_") for p, t in zip(found.paths, found.truth, strict=True))


# Parts


@pytest.mark.parametrize(
    ("parts", "chosen", "rest"),
    [
        (("train", "val"), "val", "train"),
        (("train", "test"), "test", "train"),
        (("Training", "Validation"), "Validation", "Training"),
        (("train", "valid", "extra"), "valid", "extra, train"),
        (("val",), "val", ""),
    ],
    ids=["val", "test", "case", "more", "alone"],
)
def test_what_is_held_out_from_training_is_measured_on(
    parts: tuple[str, ...], chosen: str, rest: str, tmp_path: Path
) -> None:
    tree(tmp_path, *(f"{part}/{name}/1.jpg" for part in parts for name in ("cat", "dog")))
    found = labelled(tmp_path, LABELS)
    assert found.paths == tuple(str(tmp_path / chosen / name / "1.jpg") for name in ("cat", "dog"))
    assert (found.truth, found.skipped) == ((0, 1), 0)
    assert found.notes == (f"{tmp_path}: measured on {chosen}" + (f", not on {rest}" if rest else ""),)


def test_two_parts_that_are_held_out_are_asked_for(tmp_path: Path) -> None:
    tree(tmp_path, "train/cat/1.jpg", "val/cat/1.jpg", "test/cat/1.jpg")
    with pytest.raises(UsageError) as caught:
        labelled(tmp_path, LABELS)
    assert str(caught.value) == (
        f"{tmp_path}: {tmp_path / 'test'} and {tmp_path / 'val'} are both held out from training: give one of them"
    )


def test_what_was_trained_on_is_measured_on_only_if_it_is_named(tmp_path: Path) -> None:
    tree(tmp_path, "train/cat/1.jpg")
    with pytest.raises(UsageError, match=r"nothing is held out from training in it; give .*/train to measure on what"):
        labelled(tmp_path, LABELS)
    assert labelled(tmp_path / "train", LABELS).truth == (0,)


def test_classes_called_like_parts_are_classes(tmp_path: Path) -> None:
    vehicles = Labels("vehicles", ("bus", "train", "test"))
    found = labelled(tree(tmp_path, "train/1.jpg", "test/2.jpg"), vehicles)
    assert (sorted(found.truth), found.notes) == ([1, 2], ())
    with pytest.raises(UsageError, match="folder 'tram' names no class"):
        labelled(tree(tmp_path, "tram/3.jpg"), vehicles)


def test_a_part_may_be_labelled_in_any_form(tmp_path: Path) -> None:
    """As Tiny ImageNet comes: the training pictures in folders, the others in a table without a heading."""
    tree(tmp_path, "train/n00000001/images/a.JPEG", "val/images/val_0.JPEG", "val/images/val_1.JPEG")
    (tmp_path / "val" / "val_annotations.txt").write_text("val_0.JPEG\tn01440764\t0\t1\nval_1.JPEG\tn00000002\t1\t2\n")
    found = labelled(tmp_path, LABELS)
    assert ([Path(path).name for path in found.paths], found.truth) == (["val_0.JPEG", "val_1.JPEG"], (2, 1))


def test_a_table_beside_the_parts(tmp_path: Path) -> None:
    tree(tmp_path, "train/a.jpg", "train/b.jpg", "test/c.jpg", "test/d.jpg")
    table = tmp_path / "labels.csv"
    table.write_text("id,breed\na,cat\nb,dog\nc,dog\n")
    found = labelled(tmp_path, LABELS)
    assert (found.paths, found.truth, found.skipped) == ((str(tmp_path / "test/c.jpg"),), (1,), 1)
    assert found.notes[0].endswith(": measured on test, not on train")
    assert found.notes[-1].startswith("passed over 1 picture that the table does not list, or not with a class: ")
    table.write_text("id,breed\na,cat\nb,dog\n")
    with pytest.raises(UsageError, match=r"labels\.csv lists no picture of .*/test; give the table to measure on all"):
        labelled(tmp_path, LABELS)
    assert labelled(table, LABELS).truth == (0, 1)


def test_an_archive_in_a_folder_of_its_own(tmp_path: Path) -> None:
    tree(tmp_path, "animals/cat/1.jpg", "animals/dog/1.jpg")
    with pytest.raises(UsageError, match=r"folder 'animals' names no class .*; or is .*/animals meant\?$"):
        labelled(tmp_path, LABELS)


# A part of all


def made(**sizes: int) -> Labelled:
    """So many pictures of each class, all of one class after the other."""
    truth = tuple(LABELS.names.index(name) for name, size in sizes.items() for _ in range(size))
    return Labelled(tuple(f"{number}.jpg" for number in range(len(truth))), truth, 1)


@pytest.mark.parametrize(
    ("sizes", "most", "taken"),
    [
        ((10, 10, 10), 9, [3, 3, 3]),
        ((1, 10, 10), 9, [1, 4, 4]),
        ((2, 3, 90), 20, [2, 3, 15]),
        ((5, 5, 5), 2, [0, 1, 1]),
    ],
    ids=["even", "a small class", "a large class", "fewer than classes"],
)
def test_a_limit_is_even_over_the_classes(sizes: tuple[int, ...], most: int, taken: list[int]) -> None:
    data = made(**dict(zip(LABELS.names, sizes, strict=True)))
    some = data.limited(most)
    assert sorted(some.truth.count(index) for index in range(3)) == taken
    assert (len(some.paths), some.left_out, some.skipped) == (most, sum(sizes) - most, 1)
    assert some == data.limited(most), "the same ones every time"
    assert (
        dict(zip(some.paths, some.truth, strict=True)).items() <= dict(zip(data.paths, data.truth, strict=True)).items()
    )
    assert some.notes == (f"{most} of {sum(sizes)} pictures, evenly over the classes, the same ones every time",)


def test_a_limit_takes_from_all_of_a_class_and_of_the_list() -> None:
    assert made(cat=100).limited(4).paths == ("12.jpg", "37.jpg", "62.jpg", "87.jpg")
    many = Labelled(tuple(map(str, range(1000))), tuple(range(1000)), 0).limited(100)
    assert 25 <= sum(index < 500 for index in many.truth) <= 75, "not the first of the list, nor the last"


def test_a_limit_beyond_all_changes_nothing() -> None:
    assert made(cat=3).limited(3) == made(cat=3)
