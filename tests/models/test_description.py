"""What is known of a model and from where: the order of the sources, and what each says."""

from __future__ import annotations

import dataclasses
import zipfile
from pathlib import Path

import numpy as np
import pytest
from tflite import colours
from tflite_metadata import describe

from ondevice.errors import CardError, ModelError, NotClassifierError, UsageError
from ondevice.models import files, zoo
from ondevice.models.card import Card, Input
from ondevice.models.description import KnownFrom, describe_model, guessed_by_0_1_0
from ondevice.models.output import Meaning
from ondevice.models.overrides import Overrides

NAMES = ("red", "green", "blue")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return colours(tmp_path / "net.tflite")


def labelled(path: Path, names: tuple[str, ...], name: str = "labels.txt") -> Path:
    text = path.with_name(name)
    text.write_text("".join(f"{one}\n" for one in names), encoding="utf-8")
    return text


def entry(path: Path, **changes: object) -> zoo.Entry:
    """The model's card beside it."""
    labelled(path, NAMES, "net.labels.txt")
    card = Card(
        name="net", family="net", architecture="unknown", precision="fp32", input=Input(8, 8, 3, crop=0.9),
        labels="net.labels.txt", size_bytes=path.stat().st_size, sha256=files.sha256(path), licence="own", source="own",
    )  # fmt: skip
    card = dataclasses.replace(card, **changes)  # type: ignore[arg-type]
    card.write(path.with_suffix(".toml"))
    found = zoo.beside(path, card.sha256)
    assert found is not None
    return found


def sources(path: Path, given: Overrides | None = None, card: zoo.Entry | None = None) -> dict[str, KnownFrom]:
    return describe_model(path, card, given).sources


def test_a_bare_file_is_known_from_the_network_and_by_convention(path: Path) -> None:
    known = describe_model(path, None)
    assert known.input == Input(8, 8, 3, (127.5,), (127.5,), 1.0)
    assert (known.labels.names, known.background) == (("class 0", "class 1", "class 2"), False)
    assert known.line() == (
        "size 8 x 8 x 3, output a score a class (network itself); range -1 to 1, background none, "
        "labels numbered (3 classes), crop 1, colours RGB (convention)"
    )
    assert (known.assumed_range, known.labels.numbered, known.notes) == (True, True, ())


def test_the_first_source_that_says_anything_counts(path: Path) -> None:
    assert sources(path)["labels"] is KnownFrom.CONVENTION
    labelled(path, NAMES)
    assert sources(path)["labels"] is KnownFrom.BESIDE
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(zipfile.ZipInfo("labels.txt"), "rot\ngruen\nblau\n")
    known = describe_model(path, None)
    assert (known.sources["labels"], known.labels.names[0]) == (KnownFrom.METADATA, "rot")
    given = Overrides(labels=str(labelled(path, ("a", "b", "c"), "other.txt")))
    assert (describe_model(path, None, given).labels.names, sources(path, given)["labels"]) == (
        ("a", "b", "c"),
        KnownFrom.FLAG,
    )


def test_a_card_says_everything_but_what_a_flag_says(path: Path) -> None:
    card = entry(path)
    known = describe_model(path, card)
    assert set(known.sources.values()) == {KnownFrom.CARD}
    assert (known.input, known.labels.names) == (card.card.input, NAMES)
    other = describe_model(path, card, Overrides(value_range=(0, 1), crop=1.0, bgr=True))
    assert other.input == Input(8, 8, 3, (0,), (255,), 1.0, bgr=True)
    assert {name for name, by in other.sources.items() if by is KnownFrom.FLAG} == {"range", "crop", "colours"}
    assert other.labels == known.labels


def test_labels_beside_it_of_another_number_are_told(path: Path) -> None:
    labelled(path, NAMES[:2])
    known = describe_model(path, None)
    assert known.labels.numbered
    assert known.notes == (
        f"not used: net.tflite has 3 classes, {path.parent / 'labels.txt'} 2 names; add the one that is missing, in "
        "the network's order (`background` first, if output 0 is that)",
    )


def test_a_class_called_background_stays_one(path: Path) -> None:
    text = labelled(path, ("Background", "Cat", "Dog"))
    for given in (None, Overrides(labels=str(text))):
        known = describe_model(path, None, given)
        assert (known.labels.names[0], known.background) == ("Background", False)
    said = describe_model(path, None, Overrides(background=True))
    assert (said.labels.names, said.background, said.sources["background"]) == (("Cat", "Dog"), True, KnownFrom.FLAG)
    assert said.outputs == 3


def test_a_background_class_has_no_number(path: Path, tmp_path: Path) -> None:
    said = describe_model(path, None, Overrides(background=True))
    assert (said.labels.names, said.outputs) == (("class 0", "class 1"), 3)
    for weights in ([[1, 0, 0]], [[1, 0, 0], [0, 1, 0]]):
        of_two = colours(tmp_path / "two.tflite", weights=weights)
        with pytest.raises(UsageError, match=r"^two\.tflite has two classes: .*; leave --background out$"):
            describe_model(of_two, None, Overrides(background=True))


def test_what_a_flag_leaves_as_it_is_is_not_known_from_it(path: Path, tmp_path: Path) -> None:
    grey = colours(tmp_path / "grey.tflite", (1, 9, 9, 1), weights=[[1], [2]])
    assert sources(grey, Overrides(bgr=False))["colours"] is KnownFrom.NETWORK
    assert sources(path, Overrides(bgr=False))["colours"] is KnownFrom.FLAG


@pytest.mark.parametrize(("outputs", "background"), [(1000, False), (1001, True)])
def test_imagenets_numbers_of_outputs_are_imagenets_classes(outputs: int, background: bool, tmp_path: Path) -> None:
    path = colours(tmp_path / "net.tflite", weights=np.ones((outputs, 3)))
    known = describe_model(path, None)
    assert (known.labels.names[0], known.background, known.input.crop) == ("tench", background, 0.875)
    assert known.sources["labels"] is KnownFrom.CONVENTION
    theirs = ["background"] * background + [name.replace(" ", "_").upper() for name in known.labels.names]
    by_name = describe_model(path, None, Overrides(labels=str(labelled(path, tuple(theirs), "theirs.txt"))))
    assert (by_name.labels.names[0], by_name.background, by_name.input.crop) == ("TENCH", background, 0.875)
    otherwise = describe_model(path, None, Overrides(background=not background))
    assert (otherwise.background, otherwise.outputs, otherwise.labels.numbered) == (not background, outputs, True)


@pytest.mark.parametrize(
    ("dtype", "quantization", "mean", "std"),
    [
        ("uint8", (1 / 128, 128), 128, 128),
        ("uint8", None, 0, 1),
        ("int8", (1 / 255, -128), 0, 255),
        ("int8", None, 128, 1),
    ],
)
def test_whole_numbers_are_pixels_as_they_are_stored(
    dtype: str, quantization: tuple[float, int] | None, mean: float, std: float, tmp_path: Path
) -> None:
    path = colours(tmp_path / "net.tflite", dtype=dtype, quantization=quantization)
    known = describe_model(path, None)
    assert (known.input.mean, known.input.std) == ((mean,), (pytest.approx(std),))
    assert known.sources["range"] is KnownFrom.NETWORK


@pytest.mark.parametrize(
    ("normalization", "scaling", "ends", "by", "note"),
    [
        (([0], [255]), [], (0, 1), KnownFrom.METADATA, None),
        (([127.5], [127.5]), [("MUL", 1 / 255)], (-1, 1), KnownFrom.METADATA, "metadata give it -1 to 1, and its firs"),
        (([0], [1]), [("MUL", 1 / 255)], (0, 255), KnownFrom.METADATA, None),
        (([1, 2], [3, 4]), [], (-1, 1), KnownFrom.CONVENTION, "not used: the mean and std in net.tflite's metadata: m"),
        (([0], [0]), [("MUL", 1 / 255)], (0, 255), KnownFrom.NETWORK, "std are finite, std not 0"),
    ],
)
def test_what_metadata_say_of_the_range(
    normalization: tuple[list[float], list[float]],
    scaling: list[tuple[str, float]],
    ends: tuple[float, float],
    by: KnownFrom,
    note: str | None,
    tmp_path: Path,
) -> None:
    path = describe(colours(tmp_path / "net.tflite", scaling=scaling), [], {}, normalization)
    known = describe_model(path, None)
    assert (known.input.value_range, known.sources["range"]) == (pytest.approx(ends), by)
    assert [note in said for said in known.notes] == ([True] if note else []), known.notes
    said = describe_model(path, None, Overrides(value_range=(0, 2)))
    assert (said.input.value_range, said.sources["range"], said.notes) == ((0, 2), KnownFrom.FLAG, ())


def test_a_free_size_has_to_be_said(tmp_path: Path) -> None:
    path = colours(tmp_path / "net.tflite", (1, -1, -1, 3))
    with pytest.raises(UsageError, match=r"no size of its own \(picture \[1, \?, \?, 3\] float32\): give --size, such"):
        describe_model(path, None)
    with pytest.raises(UsageError, match=f"or keep one with `ondevice models add {path} --size 224`$"):
        describe_model(path, None)  # for commands that take several models, and so no --size
    known = describe_model(path, None, Overrides(size=(20, 30)))
    assert (known.input.height, known.input.width, known.sources["size"]) == (20, 30, KnownFrom.FLAG)


def test_a_fixed_size_stays(path: Path) -> None:
    assert sources(path, Overrides(size=(8, 8)))["size"] is KnownFrom.NETWORK
    with pytest.raises(UsageError, match="its input is 8 x 8, so --size 9 x 8 cannot be had"):
        describe_model(path, None, Overrides(size=(9, 8)))
    with pytest.raises(UsageError, match="net: its card says 8 x 8: --size cannot be had"):
        describe_model(path, entry(path), Overrides(size=(9, 8)))


@pytest.mark.parametrize(
    ("end", "meaning"), [("LOGISTIC", Meaning.PROBABILITY), ("", Meaning.LOGIT), ("TANH", Meaning.LOGIT)]
)
def test_one_output_is_of_two_classes(end: str, meaning: Meaning, tmp_path: Path) -> None:
    path = colours(tmp_path / "net.tflite", weights=[[1, 0, 0]], end=end)
    known = describe_model(path, None)
    assert (known.output, known.labels.names, known.outputs) == (meaning, ("class 0", "class 1"), 1)
    labelled(path, ("no", "yes"))
    assert describe_model(path, None).labels.names == ("no", "yes")


def test_a_grey_picture_may_have_no_channels(tmp_path: Path) -> None:
    known = describe_model(colours(tmp_path / "net.tflite", (1, 9, 9), weights=[[1], [2]]), None)
    assert (known.input.height, known.input.width, known.input.channels) == (9, 9, 1)
    assert known.values()["colours"] == "grey"
    with pytest.raises(UsageError, match="bgr is for three channels"):
        describe_model(tmp_path / "net.tflite", None, Overrides(bgr=True))


def test_steps_and_features_are_a_grey_picture_only_where_that_is_said(tmp_path: Path) -> None:
    path = colours(tmp_path / "net.tflite", (1, 200, 9), weights=[[1], [2]])
    with pytest.raises(NotClassifierError, match=r"a sequence, unless --size .* picture \[1, 200, 9\] float"):
        describe_model(path, None)
    known = describe_model(path, None, Overrides(size=(200, 9)))
    assert (known.input.height, known.input.width, known.input.channels) == (200, 9, 1)


def test_what_is_not_a_classifier_says_what_it_is(tmp_path: Path) -> None:
    path = colours(tmp_path / "net.tflite", (1, 8, 8, 3))
    path.write_bytes(path.read_bytes())
    audio = colours(tmp_path / "audio.tflite", (1, 8, 8, 1), dtype="int32")
    with pytest.raises(NotClassifierError, match=r"its tensors are int32, not float32, uint8 or int8\): input picture"):
        describe_model(audio, None)
    with pytest.raises(ModelError, match=r"gone\.tflite"):
        describe_model(tmp_path / "gone.tflite", None)


def test_a_list_that_is_asked_for_must_be_there_and_fit(path: Path) -> None:
    with pytest.raises(CardError, match="no label list 'gone"):
        describe_model(path, None, Overrides(labels="gone.txt"))
    for card in (None, entry(path)):
        with pytest.raises(UsageError, match=r"^net(\.tflite)? has 3 classes, .*imagenet\.txt 1000 names"):
            describe_model(path, card, Overrides(labels="imagenet", crop=0.9))


def test_a_cards_background_is_said_otherwise_with_its_labels_alone(path: Path) -> None:
    with pytest.raises(UsageError, match="to say otherwise give --labels too"):
        describe_model(path, entry(path), Overrides(background=True))
    given = Overrides(labels=str(labelled(path, ("nothing", "cat", "dog"))), background=True)
    assert describe_model(path, entry(path), given).labels.names == ("cat", "dog")


@pytest.mark.parametrize(
    ("changes", "guessed"),
    [
        ({"source": "added from net.tflite"}, True),
        ({"source": "added from net.tflite", "sources": {"range": "flag"}}, False),
        ({"source": "own"}, False),
    ],
)
def test_cards_that_0_1_0_guessed_are_told_apart(changes: dict[str, object], guessed: bool, path: Path) -> None:
    assert guessed_by_0_1_0(entry(path, **changes)) is guessed
    assert not guessed_by_0_1_0(zoo.find("digits_m_int8"))
