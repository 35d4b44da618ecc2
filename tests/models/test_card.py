"""Model cards: what is written reads back the same, and what is wrong in one is said in one line."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import Any

import pytest

from ondevice.errors import CardError
from ondevice.models.card import PRECISIONS, Accuracy, Card, Input
from ondevice.models.uploads import MeasuredUploads

SHIPPED = sorted((Path(__file__).parents[2] / "models" / "cards").glob("*.toml"))
CARD = Card(
    name="made_up-1.0",
    family="made up",
    architecture="none",
    precision="int8",
    input=Input(40, 60, 3, (1.0, 2.5, 3.0), (58.395,), 0.9),
    labels="imagenet",
    size_bytes=123,
    sha256="0123456789abcdef" * 4,
    licence="MIT",
    source="a test",
    background=True,
    accuracy=Accuracy(0.5, "ten pictures", 0.75),
)
TEXT = """\
name = "made_up"
family = "made up"
architecture = "none"
precision = "int8"
labels = "imagenet"
size_bytes = 123
sha256 = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
licence = "MIT"
source = "a test"

[input]
height = 40
width = 60
mean = [1, 2, 3]
std = [58.395]

[accuracy]
top1 = 0.5
data = "ten pictures"
"""
UPLOADS = '[uploads]\nrungs = ["99,9"]\nbytes = [1]\ntop1 = [0.4]\nwhole = 0.5\nn = 10\ndata = "ten pictures"'


def read(text: str, folder: Path) -> Card:
    path = folder / "made_up.toml"
    path.write_text(text, encoding="utf-8")
    return Card.read(path)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"accuracy": None, "background": False},
        {"uploads": MeasuredUploads(("96,40,webp", "128,75"), (1237, 3661), (1 / 3, 1.0), 0.9, 500, "photos")},
        {"accuracy": Accuracy(1.0, "none")},
        {"input": Input(1, 8192, 1, (0.0,), (1e-7,), 1.0)},
        {"input": Input(9, 9, 3, (-1e22, 0.1, 1 / 3), (-255.0,) * 3, 1e-9)},
        {"licence": 'quote " backslash \\ line\nbreak\r\n tab\t', "source": "\x00\x1b\x7f\x85\u2028"},
        {"family": "Ærøskøbing", "architecture": "\N{GRINNING FACE} 模型"},
    ],
)
def test_a_card_that_was_written_reads_the_same(changes: dict[str, Any], tmp_path: Path) -> None:
    card = dataclasses.replace(CARD, **changes)
    path = tmp_path / "new" / "made_up.toml"
    card.write(path)
    assert Card.read(path) == card
    assert [p.name for p in path.parent.iterdir()] == ["made_up.toml"]


def test_what_utf8_cannot_hold_leaves_a_card_that_reads(tmp_path: Path) -> None:
    dataclasses.replace(CARD, source="added from \udcff.tflite").write(tmp_path / "c.toml")
    assert Card.read(tmp_path / "c.toml") == dataclasses.replace(CARD, source="added from ?.tflite")


def test_writing_replaces_the_card(tmp_path: Path) -> None:
    path = tmp_path / "c.toml"
    CARD.write(path)
    dataclasses.replace(CARD, licence="other").write(path)
    assert Card.read(path).licence == "other"


def test_defaults_and_whole_numbers(tmp_path: Path) -> None:
    card = read(TEXT, tmp_path)
    assert card.input == Input(40, 60, 3, (1.0, 2.0, 3.0), (58.395,), 0.875)
    assert all(type(value) is float for value in card.input.mean)
    assert (card.background, card.file_name, card.downloadable) == (False, "made_up.tflite", False)
    assert card.accuracy == Accuracy(0.5, "ten pictures", None)
    assert card.uploads is None


def test_a_section_of_uploads(tmp_path: Path) -> None:
    card = read(f"{TEXT}\n{UPLOADS}\n", tmp_path)
    assert card.uploads == MeasuredUploads(("99,9",), (1,), (0.4,), 0.5, 10, "ten pictures")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('name = "made_up"', 'name = "made_up"\ncolour = 1', "unknown field 'colour'"),
        ('name = "made_up"', 'name = "made_up"\n"a\\nb" = 1', r"unknown field 'a\nb'"),
        ("height = 40", "height = 40\ndepth = 1", "unknown field 'input.depth'"),
        ("top1 = 0.5", "top1 = 0.5\ntop3 = 1", "unknown field 'accuracy.top3'"),
        ('name = "made_up"', "name = 1", "name must be text, not 1"),
        ('name = "made_up"', 'name = "made/up"', "name is letters, digits"),
        ('name = "made_up"', 'name = ".hidden"', "name is letters, digits"),
        ('name = "made_up"', 'name = ""', "name is letters, digits"),
        ('name = "made_up"', f'name = "{"x" * 101}"', "name is letters, digits, '.', '_' and '-', at most 100"),
        ('name = "made_up"', 'name = "made_up\\n"', "name is letters, digits"),
        ("size_bytes = 123", "size_bytes = true", "size_bytes must be a whole number, not True"),
        ("size_bytes = 123", "size_bytes = 1.5", "size_bytes must be a whole number, not 1.5"),
        ("size_bytes = 123", "size_bytes = 0", "size_bytes is a positive whole number"),
        ("size_bytes = 123", "size_bytes = 123\nbackground = 1", "background must be true or false, not 1"),
        ("sha256 = ", 'sha256 = "abc" #', "sha256 is 64 lower-case hex digits"),
        ("0123456789abcdef" * 4, "0123456789ABCDEF" * 4, "sha256 is 64 lower-case hex digits"),
        ('"int8"', '"int4"', f"precision is one of {', '.join(PRECISIONS)}"),
        ('"imagenet"', '"../imagenet"', "labels is a list's name, or a file's name beside the card"),
        ('"imagenet"', '"/etc/hostname"', "labels is a list's name"),
        ('"imagenet"', '""', "labels is a list's name"),
        ("height = 40", "height = true", "input.height must be a whole number, not True"),
        ("height = 40", "height = 40.0", "input.height must be a whole number, not 40.0"),
        ("height = 40", "height = 0", "height and width are pixels, 1 to 8192"),
        ("width = 60", "width = 8193", "height and width are pixels, 1 to 8192"),
        ("width = 60", "width = 60\nchannels = 4", "channels is 1 (greyscale) or 3 (RGB)"),
        ("std = [58.395]", "std = [0.0]", "mean and std are finite, std not 0"),
        ("std = [58.395]", "std = [1, 0, 1]", "mean and std are finite, std not 0"),
        ("std = [58.395]", "std = [nan]", "mean and std are finite"),
        ("std = [58.395]", "std = []", "mean and std have one value, or one a channel"),
        ("std = [58.395]", "std = 58.395", "input.std must be a list, not 58.395"),
        ("std = [58.395]", "std = [true]", "input.std[0] must be a number, not True"),
        ("mean = [1, 2, 3]", "mean = [1, 2]", "mean and std have one value, or one a channel"),
        ("mean = [1, 2, 3]", "mean = [inf]", "mean and std are finite"),
        ("mean = [1, 2, 3]", 'mean = ["1"]', "input.mean[0] must be a number, not '1'"),
        ("mean = [1, 2, 3]", f"mean = [1{'0' * 400}]", "int too large"),
        ("std = [58.395]", "std = [58.395]\ncrop = 0", "crop is over 0 and at most 1"),
        ("std = [58.395]", "std = [58.395]\ncrop = 1.01", "crop is over 0 and at most 1"),
        ("std = [58.395]", "std = [58.395]\ncrop = nan", "crop is over 0 and at most 1"),
        ("std = [58.395]", "std = [58.395]\ncrop = false", "input.crop must be a number, not False"),
        ("top1 = 0.5", "top1 = 50", "top1 and top5 are fractions from 0 to 1"),
        ("top1 = 0.5", "top1 = 0.5\ntop5 = -0.1", "top1 and top5 are fractions from 0 to 1"),
        ("top1 = 0.5", "top1 = nan", "top1 and top5 are fractions from 0 to 1"),
        ("top1 = 0.5", "", "'accuracy.top1' is missing"),
        ("[accuracy]", '[uploads]\nrungs = ["0,1"]\n[accuracy]', "'uploads.bytes' is missing"),
        ("[accuracy]", f"{UPLOADS}\nkept = [0.5]\n[accuracy]", "unknown field 'uploads.kept'"),
        ("[accuracy]", f"{UPLOADS}\n[accuracy]".replace("99,9", "9,0"), "uploads: '9,0' is not an upload"),
        ("[accuracy]", f"{UPLOADS}\n[accuracy]".replace("[1]", "[1.5]"), "uploads.bytes[0] must be a whole number"),
        ("[accuracy]", f"{UPLOADS}\n[accuracy]".replace("[1]", "[1, 2]"), "uploads: there is one of bytes"),
        ("[accuracy]", "[[accuracy]]", "accuracy must be a table of fields, not [{"),
        ("[input]", "[inputs]", "unknown field 'inputs'"),
        ('licence = "MIT"', "", "'licence' is missing"),
        ("height = 40", "", "'input.height' is missing"),
        ('licence = "MIT"', "licence = MIT", "Invalid value (at line 8"),
        ("[input]", "[input", "(at line 11"),
        ('source = "a test"', 'source = "a test"\nname = "again"', "(at line 10"),
        ('source = "a test"', f"source = {'[' * 5000}", "maximum recursion depth exceeded"),
    ],
)
def test_a_wrong_card_names_the_file_and_what_is_wrong(old: str, new: str, message: str, tmp_path: Path) -> None:
    assert TEXT.count(old) == 1
    with pytest.raises(CardError, match=r"^[^\n]*made_up\.toml: [^\n]*" + re.escape(message) + r"[^\n]*\Z") as caught:
        read(TEXT.replace(old, new), tmp_path)
    assert caught.value.path == str(tmp_path / "made_up.toml")


@pytest.mark.parametrize(
    ("content", "message"),
    [(b'name = "\xff"', "utf-8"), (b"", "'name' is missing"), (None, "No such file or directory")],
    ids=["not UTF-8", "empty", "no file"],
)
def test_what_is_no_card_at_all(content: bytes | None, message: str, tmp_path: Path) -> None:
    path = tmp_path / "c.toml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(CardError, match=rf"^{re.escape(str(path))}: [^\n]*{message}[^\n]*\Z") as caught:
        Card.read(path)
    assert caught.value.path == str(path)


@pytest.mark.parametrize(
    ("mean", "std", "expected"),
    [
        ((127.5,), (127.5,), (-1, 1)),
        ((0.0,), (255.0,), (0, 1)),
        ((0.0,), (1.0,), (0, 255)),
        ((0.0,), (-255.0,), (-1, 0)),
        ((0.0, 51.0, 0.0), (255.0,), (-0.2, 1)),
        ((0.0,), (255.0, 85.0, 51.0), (0, 5)),
        ((255.0, 0.0, 51.0), (255.0, 85.0, 51.0), (-1, 4)),
    ],
)
def test_the_value_range_is_over_all_channels(
    mean: tuple[float, ...], std: tuple[float, ...], expected: tuple[float, float]
) -> None:
    assert Input(9, 9, 3, mean, std).value_range == pytest.approx(expected)


def test_the_value_range_of_one_channel() -> None:
    assert Input(9, 9, 1, (127.5,), (51.0,)).value_range == (-2.5, 2.5)


def test_of_a_centre_as_much_is_seen_as_of_the_whole() -> None:
    given = Input(9, 9, crop=0.6)
    assert given.of_centre(1.0) is given
    assert given.of_centre(0.8) == Input(9, 9, crop=0.6 / 0.8)
    assert given.of_centre(0.6) == given.of_centre(0.01) == Input(9, 9, crop=1.0)


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_the_shipped_cards(path: Path, tmp_path: Path) -> None:
    card = Card.read(path)
    assert card.name == path.stem
    assert card.downloadable
    pinned = rf"https://raw\.githubusercontent\.com/[\w-]+/[\w-]+/[0-9a-f]{{40}}/{re.escape(card.file_name)}"
    assert re.fullmatch(pinned, card.source), "a URL that pins a commit"
    card.write(tmp_path / path.name)
    assert (tmp_path / path.name).read_text() == path.read_text()


def test_the_quantized_mobilenets_have_their_ladder_at_the_same_rungs() -> None:
    known = [card.uploads for path in SHIPPED if (card := Card.read(path)).name.endswith("_quant")]
    assert len(known) == 4
    assert len({uploads and uploads.n for uploads in known} | {500}) == 1
    assert len({uploads and (uploads.rungs, uploads.bytes) for uploads in known}) == 1


def test_there_are_shipped_cards() -> None:
    assert len(SHIPPED) == 5
