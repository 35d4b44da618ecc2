"""A file whose card lies beside it: known wherever it lies, for as long as card and file belong together."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from ondevice import Runner, intake
from ondevice.errors import UsageError
from ondevice.models import files, zoo
from ondevice.models.card import Card, Conversion
from ondevice.models.description import describe_model
from ondevice.models.overrides import Overrides

pytestmark = pytest.mark.usefixtures("tried")
LIKE = "digits_xs_fp32"
CONVERSION = Conversion("by hand", "random", "none", "5 pictures", "a hammer 1.0", 1.0, 1e-7, 2e-6, 3e-4)


@pytest.fixture
def card(stranger: Path) -> Card:
    """The card beside the stranger: no label list that is bundled, and an input that no guess would find."""
    like = zoo.find(LIKE).card
    card = dataclasses.replace(
        like, name=stranger.stem, labels="stranger.labels.txt", sha256=files.sha256(stranger),
        size_bytes=stranger.stat().st_size, conversion=CONVERSION, input=dataclasses.replace(like.input, crop=0.9),
    )  # fmt: skip
    card.write(stranger.with_suffix(".toml"))
    (stranger.parent / card.labels).write_text("".join(f"number {i}\n" for i in range(10)), encoding="utf-8")
    return card


def test_the_entry_is_that_of_the_card(stranger: Path, card: Card) -> None:
    entry = zoo.beside(stranger, files.sha256(stranger))
    assert entry == zoo.Entry(card, stranger.with_suffix(".toml"), stranger, "beside")
    assert entry.present


def test_without_a_card_there_is_none(stranger: Path) -> None:
    assert zoo.beside(stranger, files.sha256(stranger)) is None


def test_a_card_of_another_file_is_none(stranger: Path, card: Card) -> None:
    stranger.write_bytes(stranger.read_bytes() + bytes(16))
    assert zoo.beside(stranger, files.sha256(stranger)) is None


def test_why_a_card_is_not_used_is_told(stranger: Path, card: Card) -> None:
    assert zoo.unused_beside(stranger) == ""
    path = stranger.with_suffix(".toml")
    path.write_text(path.read_text().replace("crop = 0.9", "crop = 9"))
    (said,) = describe_model(stranger, None).notes
    assert said == f"not used: {path}: input: crop is over 0 and at most 1"
    path.write_text("[input\nsha256 = [input]")
    assert zoo.unused_beside(stranger).startswith(f"not used: {path}: ")
    card.write(path)
    stranger.write_bytes(stranger.read_bytes() + bytes(16))
    assert "stranger.toml is the card of another file" in describe_model(stranger, None).notes[0]


@pytest.mark.parametrize("content", [b"", b"[tool.else]\nx = 1\n", b"no toml at all", b"\xff\xfe"])
def test_another_programs_toml_is_none(content: bytes, stranger: Path) -> None:
    stranger.with_suffix(".toml").write_bytes(content)
    assert zoo.beside(stranger, files.sha256(stranger)) is None
    assert zoo.unused_beside(stranger) == ""


def test_the_runner_takes_input_and_labels_from_it(stranger: Path, card: Card, sample: Path) -> None:
    runner = Runner(str(stranger))
    assert runner.input == card.input
    assert runner.classify(sample).label.startswith("number ")


def test_added_with_its_card_it_answers_the_same(stranger: Path, card: Card, sample: Path) -> None:
    before = Runner(str(stranger)).classify(sample, 10).top
    entry = intake.add(stranger)
    assert entry.card == card
    assert zoo.find("stranger") == entry
    for path in stranger.parent.iterdir():
        path.unlink()
    assert Runner("stranger").classify(sample, 10).top == before


def test_another_name_is_the_labels_too(stranger: Path, card: Card) -> None:
    entry = intake.add(stranger, "mine")
    assert entry.card == dataclasses.replace(card, name="mine", labels="mine.labels.txt")
    assert sorted(path.name for path in zoo.added_dir().iterdir()) == ["mine.labels.txt", "mine.tflite", "mine.toml"]
    assert Card.read(entry.card_path).conversion == CONVERSION


def test_what_is_said_on_the_command_line_counts_more(stranger: Path, card: Card) -> None:
    added = intake.add(stranger, "mine", Overrides("digits", (0.0, 1.0))).card
    assert (added.labels, added.conversion) == ("digits", None)
    assert added.input.value_range == (0.0, 1.0)


def test_a_name_that_no_card_may_have_is_a_usage_error(stranger: Path, card: Card) -> None:
    with pytest.raises(UsageError, match="cannot be a model's name"):
        intake.add(stranger, "no good")
