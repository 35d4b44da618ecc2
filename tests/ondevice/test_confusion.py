"""How often each class is right, and what is confused with what, as rows, a matrix and a picture."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest
from PIL import Image

from ondevice.confusion import Confusion
from ondevice.models.labels import Labels

BIRDS = Labels("birds", ("crane", "heron", "crane", "owl"))
COUNTS = {(0, 0): 3, (0, 2): 1, (0, 3): 1, (1, 1): 4, (3, 0): 2}


def numbered(classes: int) -> Labels:
    return Labels("many", tuple(f"class {number}" for number in range(classes)))


def test_each_class_that_there_are_pictures_of() -> None:
    rows = Confusion(BIRDS, COUNTS).per_class()
    assert [tuple(row.values()) for row in rows] == [
        (0, "crane (0)", 5, 3, 0.6, "crane (2)", 1),
        (1, "heron", 4, 4, 1.0, None, None),
        (3, "owl", 2, 0, 0.0, "crane (0)", 2),
    ]
    assert list(rows[0]) == ["index", "class", "n", "right", "top1", "confused_with", "times"]


def test_every_answer_to_a_class() -> None:
    assert Confusion(BIRDS, COUNTS).answers()[0] == {
        "index": 0, "class": "crane (0)", "answers": {"crane (0)": 3, "crane (2)": 1, "owl": 1},
    }  # fmt: skip


def test_the_matrix_has_the_classes_that_occur_and_is_written_as_a_table() -> None:
    matrix = Confusion(BIRDS, {pair: n for pair, n in COUNTS.items() if 2 not in pair}).matrix()
    assert (matrix.classes, matrix.names, matrix.is_whole) == ((0, 1, 3), ("crane (0)", "heron", "owl"), True)
    assert matrix.counts == [[3, 0, 1], [0, 4, 0], [2, 0, 0]]
    assert list(csv.reader(io.StringIO(matrix.csv()))) == [
        ["index", "class", "crane (0)", "heron", "owl"],
        ["0", "crane (0)", "3", "0", "1"],
        ["1", "heron", "0", "4", "0"],
        ["3", "owl", "2", "0", "0"],
    ]
    assert matrix.rows()[0] == {"index": 0, "class": "crane (0)", "0": 3, "1": None, "3": 1}


def test_of_many_classes_those_that_are_confused_with_each_other() -> None:
    right = {(i, i): 50 for i in range(1000)}
    wrong = {(700, 701): 9, (701, 702): 4, (5, 900): 7, (300, 301): 1}
    matrix = Confusion(numbered(1000), right | wrong).matrix(5)
    assert matrix.classes == (5, 700, 701, 702, 900)
    assert matrix.counts[1] == [0, 50, 9, 0, 0]
    assert matrix.is_whole
    fewer = Confusion(numbered(1000), right | wrong).matrix(2)
    assert (fewer.classes, fewer.others) == ((700, 701), [0, 4])
    assert fewer.rows()[1]["others"] == 4


def test_where_every_class_has_one_picture_those_with_most_confusions_among_them() -> None:
    wrong = {(i, i + 1): 1 for i in range(0, 100, 2)} | {(i, 500): 1 for i in range(400, 404)}
    assert Confusion(numbered(1000), wrong).matrix(5).classes == (400, 401, 402, 403, 500)


def test_where_all_is_right_the_first_are_shown() -> None:
    assert Confusion(numbered(100), {(i, i): 1 for i in range(100)}).matrix(3).classes == (0, 1, 2)


def test_nothing_answered_is_an_empty_matrix() -> None:
    nothing = Confusion(BIRDS, {})
    assert (nothing.per_class(), nothing.matrix().classes) == ([], ())


@pytest.mark.parametrize("name", ["3.png", "40.svg"])
def test_pictures(name: str, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    from ondevice.confusion_plot import draw

    odd = Labels("odd", ("$cost_", "a name that is longer than there is room for it", "鳥"))
    many = numbered(50)
    labels, counts = {
        "3.png": (odd, {(0, 0): 12, (0, 1): 3, (1, 1): 1000, (2, 0): 1}),
        "40.svg": (many, {(i, i % 7): 1 for i in range(40)}),
    }[name]
    path = tmp_path / name
    draw(Confusion(labels, counts), "mine: top-1 $0.5$", path)
    if path.suffix == ".png":
        with Image.open(path) as picture:
            assert min(picture.size) > 400
    else:
        text = path.read_text()
        assert "the 30 most confused of 40 classes" in text
        drawn = path.read_bytes()
        draw(Confusion(labels, counts), "mine: top-1 $0.5$", path)
        assert path.read_bytes() == drawn, "the same figures make the same file"
