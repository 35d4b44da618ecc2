"""Label lists: the bundled ones, a user's own, and what is not a list."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ondevice.errors import CardError, UsageError
from ondevice.models import labels
from ondevice.models.labels import Labels


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
    [("gone.txt", "no such file or directory"), ("folder", "is a directory"), ("nul\0byte", "null byte")],
)
def test_what_cannot_be_read_is_a_hint_at_what_can(name: str, reason: str, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    hint = "; give digits, imagenet, or a text file with one name a line"
    with pytest.raises(CardError, match=rf"^no label list '{name}': [^\n]*{reason}[^\n]*{hint}\Z") as caught:
        labels.load(name, tmp_path)
    assert caught.value.path == name


def test_a_class_of_ones_own_called_background_stays() -> None:
    found = labels.parse(["Background", "Cat", "Dog"], "here")
    assert labels.fitted(found, 3) == (found, False)
    assert labels.fitted(found, 3, background=True) == (found.without_first(), True)


def test_one_label_too_few() -> None:
    with pytest.raises(UsageError, match=r"^net has 3 classes, here 2 names; add the one that is missing"):
        labels.fitted(labels.parse(["Cat", "Dog"], "here"), 3, model="net")


THEIRS = tuple(f"{name}, and more" for name in labels.load("imagenet").names)
IMAGENET = {
    "ours": labels.load("imagenet"),
    "others'": Labels("theirs", THEIRS),
    "with a background": Labels("theirs", ("background", *THEIRS)),
    "with WordNet ids": labels.parse(["background", *labels.load("imagenet").text().splitlines()], "theirs"),
    "in another language": Labels("theirs", ("background", *(f"Tier {i}" for i in range(1000)))),
}


@pytest.mark.parametrize("found", IMAGENET.values(), ids=IMAGENET)
@pytest.mark.parametrize(("outputs", "background"), [(1000, False), (1001, True)])
def test_imagenet_has_a_background_class_where_there_are_1001_outputs(
    found: Labels, outputs: int, background: bool
) -> None:
    kept, has_background = labels.fitted(found, outputs)
    assert (kept.names, has_background) == (found.names[-1000:], background)
    assert len(kept.wnids) in (0, 1000)
    assert labels.fitted(kept, outputs, has_background) == (kept, has_background), "what fits goes on fitting"


@pytest.mark.parametrize("count", [999, 1000])
def test_a_list_of_ones_own_of_1000_is_not_imagenet(count: int) -> None:
    found = Labels("mine", tuple(f"bird {i}" for i in range(count)))
    with pytest.raises(UsageError, match=rf"^net has {count + 1} classes, mine {count} names; add the one"):
        labels.fitted(found, count + 1, model="net")
    assert labels.fitted(found, count + 1, background=True) == (found, True)


@pytest.mark.parametrize(
    ("names", "outputs", "background", "said"),
    [
        (("Cat", "Dog"), 4, None, "give one name a line for each class, in the network's order"),
        (("Cat", "Dog", "Cow"), 3, None, ""),
        (("Cat", "Dog", "Cow"), 4, False, "add the one that is missing, in the network's order"),
        (
            ("background", "Cat", "Dog", "Cow"),
            3,
            None,
            "take its first line out if the network has no background class",
        ),
        (("Cat", "Dog"), 4, True, "with a background class they must be as many, or 3 without its name"),
    ],
)
def test_both_counts_and_what_to_do(names: tuple[str, ...], outputs: int, background: bool | None, said: str) -> None:
    found = Labels("mine", names)
    if not said:
        assert labels.fitted(found, outputs, background) == (found, False)
        return
    with pytest.raises(UsageError, match=rf"^net has {outputs} classes, mine {len(names)} names; {said}") as caught:
        labels.fitted(found, outputs, background, "net")
    assert "\n" not in str(caught.value)


def test_a_list_without_a_background_class_gives_none_away() -> None:
    with pytest.raises(UsageError, match=r"imagenet\.txt 1000 names, and none of these is a background class: leave "):
        labels.fitted(labels.load("imagenet"), 1000, background=True, model="net")


def test_of_two_classes_none_is_background() -> None:
    with pytest.raises(UsageError, match=r"^net has two classes: were one background"):
        labels.fitted(Labels("mine", ("Cat", "Dog")), 2, True, "net")


NAMES = st.lists(st.text(), min_size=2, max_size=9).map(tuple)


@given(NAMES, st.integers(3, 10), st.sampled_from([None, True, False]))
def test_no_name_is_shifted(names: tuple[str, ...], outputs: int, background: bool | None) -> None:
    found = Labels("here", names)
    if len(names) not in ((outputs, outputs - 1) if background else (outputs,)):
        with pytest.raises(UsageError):
            labels.fitted(found, outputs, background)
    elif background and len(names) == outputs:
        assert labels.fitted(found, outputs, background) == (Labels("here", names[1:]), True)
    else:
        assert labels.fitted(found, outputs, background) == (found, bool(background))


@pytest.mark.parametrize(
    ("outputs", "first", "count"),
    [(1000, "tench", 1000), (1001, "tench", 1000), (999, "class 0", 999), (2, "class 0", 2)],
)
def test_what_outputs_are_called_where_nothing_says(outputs: int, first: str, count: int) -> None:
    assert (labels.assumed(outputs).names[0], len(labels.assumed(outputs))) == (first, count)


BESIDE = [
    "net.labels.txt",
    "net_labels.txt",
    "net.txt",
    "labels.txt",
    "labelmap.txt",
    "dict.txt",
    "label.txt",
    "classes.txt",
]


def test_the_label_file_beside_a_model(tmp_path: Path) -> None:
    model = tmp_path / "net.tflite"
    for name in ("net", "other.labels.txt", "other.txt", "README.txt", "labels.csv"):
        (tmp_path / name).touch()
    assert labels.beside(model) is None
    for name in reversed(BESIDE):
        (tmp_path / name).touch()
        assert labels.beside(model) == tmp_path / name, "the surest name first"


def test_classes_of_one_name() -> None:
    listed = labels.parse(["crane", "heron", "crane"], "here")
    assert (listed.indexes_of("crane"), listed.indexes_of("heron"), listed.indexes_of("duck")) == ((0, 2), (1,), ())
    with pytest.raises(UsageError, match=r"^'crane' is 2 classes of here \(0 and 2\)"):
        listed.index_of("crane")
