"""Which class a folder's name means, in the spellings that people use."""

from __future__ import annotations

import pytest

from ondevice.dataset.classes import Classes
from ondevice.errors import UsageError
from ondevice.models.labels import Labels, numbers

SHAPES = Labels("shapes.txt", ("circle", "golden retriever", "Café au lait", "Black footed Albatross", "T-shirt"))
CRANES = Labels("birds.txt", ("crane", "heron", "crane"))
ILSVRC = Labels("ilsvrc.txt", ("tench", "crane", "crane"), ("n01440764", "n02012849", "n03126707"))


@pytest.mark.parametrize(
    ("word", "index"),
    [
        ("circle", 0),
        ("Circle", 0),
        ("00.circle", 0),
        ("7 - CIRCLE", 0),
        ("0", 0),
        ("004", 4),
        ("golden_retriever", 1),
        ("Golden-Retriever", 1),
        ("golden  retriever", 1),
        ("cafe\u0301_au_lait", 2),
        ("001.Black_footed_Albatross", 3),
        ("t_shirt", 4),
        ("n02099601-golden_retriever", 1),
    ],
)
def test_spellings(word: str, index: int) -> None:
    assert Classes(SHAPES).meant(word) == (index,)


@pytest.mark.parametrize("word", ["circles", "5", "-1", "1.5", "", "_", "circle.txt", "0x1", "9" * 5000, "²"])
def test_what_means_nothing(word: str) -> None:
    assert Classes(SHAPES).meant(word) == ()


def test_wordnet_ids() -> None:
    classes = Classes(ILSVRC)
    assert [classes.meant(word) for word in ("n02012849", "n03126707-crane", "n03126707 machine", "n00000001")] == [
        (1,), (2,), (2,), (),
    ]  # fmt: skip
    assert classes.meant("n00000001-tench") == (0,)


def test_an_exact_name_comes_before_one_like_it() -> None:
    classes = Classes(Labels("odd.txt", ("Cat", "cat", "dog")))
    assert [classes.meant(word) for word in ("Cat", "cat", "CAT")] == [(0,), (1,), (0, 1)]


def test_names_that_are_other_numbers_leave_no_indexes() -> None:
    assert Classes(Labels("from one", ("1", "2", "3"))).meant("0") == ()
    assert Classes(Labels("from one", ("1", "2", "3"))).meant("1") == (0,)
    assert Classes(Labels("digits", ("0", "1", "two"))).meant("2") == (2,)


def refused(labels: Labels, *words: str) -> str:
    with pytest.raises(UsageError) as caught:
        Classes(labels).match(words, "folder", "set")
    return str(caught.value)


def test_a_name_that_stands_for_two_classes_is_refused_and_how_to_name_them() -> None:
    assert refused(CRANES, "crane", "heron") == (
        "set: folder 'crane' stands for 2 classes of birds.txt: name the folders by index (0, 2)"
    )
    assert refused(ILSVRC, "crane") == (
        "set: folder 'crane' stands for 2 classes of ilsvrc.txt: "
        "name the folders by index (1, 2) or by WordNet id (n02012849, n03126707)"
    )
    assert Classes(CRANES).match(("0", "heron", "2"), "folder", "set") == {"0": 0, "heron": 1, "2": 2}


def test_two_folders_of_one_class_are_refused_with_the_names_of_both() -> None:
    assert refused(SHAPES, "Circle", "T-shirt", "circle") == (
        "set: folders 'Circle' and 'circle' are both class 0, 'circle': make them one, or name them by index"
    )
    assert "folders '0' and '00'" in refused(SHAPES, "0", "00")


def test_all_unknown_ones_are_told_in_one_line() -> None:
    assert refused(SHAPES, "circle", "squire") == (
        "set: folder 'squire' names no class of shapes.txt (circle, golden retriever, Café au lait, "
        "Black footed Albatross, T-shirt); name folders by class, or by index (0 to 4)"
    )
    assert refused(numbers(3), "cat", "dog") == (
        "set: folders 'cat', 'dog' name no class: those of the network have no names, so give --labels FILE, "
        "or name folders by index (0 to 2)"
    )
    many = [f"x{number}" for number in range(40)]
    assert "folders 'x0', 'x1', 'x2', 'x3', 'x4' and 35 more name no class" in refused(SHAPES, *many)
    wide = Labels("wide.txt", tuple(f"class {number}" for number in range(1000)))
    assert "(class 0, class 1, class 2, class 3, class 4 and 995 more)" in refused(wide, "x")
