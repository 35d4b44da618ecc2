"""What is told of a model before it is used: the commands that settle what nobody has said."""

from __future__ import annotations

import dataclasses
import shlex
from pathlib import Path

import pytest
from tflite import colours

from ondevice.cli import described
from ondevice.models import files, zoo
from ondevice.models.card import Card, Conversion, Input
from ondevice.models.description import describe_model


@pytest.fixture
def old(tmp_path: Path) -> zoo.Entry:
    """A file that 0.1.0 converted, with the card and the labels that it left beside it."""
    folder = tmp_path / "out dir"
    folder.mkdir()
    path = colours(folder / "net_fp32.tflite")
    (folder / "net_fp32.labels.txt").write_text("red\ngreen\nblue\n", encoding="utf-8")
    card = Card(
        name="net_fp32", family="net", architecture="Keras model net", precision="fp32", input=Input(8, 8),
        labels="net_fp32.labels.txt", size_bytes=path.stat().st_size, sha256=files.sha256(path), licence="own",
        source="converted from my net.keras", conversion=Conversion("", "", "", "", "", 1.0, 0.0, 0.0),
    )  # fmt: skip
    return zoo.Entry(card, path.with_suffix(".toml"), path, "beside")


def told(entry: zoo.Entry | None, path: Path, capsys: pytest.CaptureFixture[str]) -> list[str]:
    """The command in what is told."""
    described.tell(path, entry, describe_model(path, None))
    said = capsys.readouterr().err
    assert said.count("`") == 2
    return shlex.split(said.split("`")[1])


def test_a_converted_file_is_converted_to_its_place_again(old: zoo.Entry, capsys: pytest.CaptureFixture[str]) -> None:
    convert = ["ondevice", "convert", "my net.keras", "--name", "net", "--precision", "fp32"]
    place = ["--out", str(old.path.parent), "--force"]
    labels = ["--labels", str(old.path.with_name("net_fp32.labels.txt"))]
    assert told(old, old.path, capsys) == [*convert, *labels, *place]
    int8 = dataclasses.replace(old.card, name="net_int8", precision="int8", labels="imagenet")
    assert told(old._replace(card=int8), old.path, capsys) == [
        *convert[:-1], "int8", "--calibration", "DIR", "--labels", "imagenet", *place
    ]  # fmt: skip


def test_an_added_file_is_added_again(old: zoo.Entry, capsys: pytest.CaptureFixture[str]) -> None:
    add = ["ondevice", "models", "add", str(old.path), "--name", "net_fp32", "--force"]
    for entry in (
        old._replace(origin="added"),
        old._replace(card=dataclasses.replace(old.card, source="added from net.tflite")),
    ):
        assert told(entry, old.path, capsys) == [*add, "--labels", "FILE", "--range=LOW,HIGH"]


def test_a_guessed_range_is_kept_by_a_command_with_all_that_it_asks_for(
    old: zoo.Entry, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    add = ["ondevice", "models", "add"]
    labelled = colours(tmp_path / "net.tflite")
    labelled.with_name("labels.txt").write_text("red\ngreen\nblue\n", encoding="utf-8")
    assert told(None, labelled, capsys) == [*add, str(labelled), "--range=LOW,HIGH"]
    odd = labelled.rename(old.path.with_name("my net.tflite"))
    old.path.with_name("net_fp32.labels.txt").unlink()
    assert told(None, odd, capsys) == [*add, str(odd), "--name", "my_net", "--range=LOW,HIGH", "--labels", "FILE"]
