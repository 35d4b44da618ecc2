"""`ondevice evaluate --uploads`: the ladder printed, and written into a card."""

from __future__ import annotations

import csv
import io
import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import features
from refusals import one_line

from ondevice import intake
from ondevice.cli.evaluate_uploads import UploadFlags
from ondevice.models import zoo
from ondevice.models.overrides import Overrides
from ondevice.protocol.rung import Compression
from ondevice.selection.ladder import rungs_for

Cli = Callable[..., "subprocess.CompletedProcess[str]"]
HEADS = [
    "model", "sent", "n", "failed", "bytes", "top1", "top1_low", "top1_high", "kept", "encode_p50_ms",
]  # fmt: skip


@pytest.fixture
def digits(tmp_path: Path) -> Path:
    """Two pictures of each of four digits, a folder a digit."""
    for digit in "0147":
        (tmp_path / "digits" / digit).mkdir(parents=True)
        for path in sorted((zoo.samples_dir() / digit).glob("*.png"))[:2]:
            (tmp_path / "digits" / digit / path.name).symlink_to(path)
    return tmp_path / "digits"


@pytest.fixture
def mine(stranger: Path) -> zoo.Entry:
    """A model of the user's own, with a card."""
    return intake.add(stranger, "mine", Overrides("digits", (-1.0, 1.0), crop=1.0))


def test_the_ladder_of_a_model_in_every_format(cli: Cli, digits: Path) -> None:
    command = ("evaluate", "digits_xs_int8", digits, "--uploads", "--format")
    done = cli(*command, "json")
    assert (done.returncode, done.stderr) == (0, "")
    rows = json.loads(done.stdout)
    assert [*rows[0]] == HEADS
    assert (rows[0]["sent"], rows[0]["kept"], rows[0]["encode_p50_ms"]) == ("file", 1.0, None)
    assert {row["sent"] for row in rows[1:]} == {rung.text for rung in rungs_for(40)}
    assert {row["n"] for row in rows} == {8}
    assert all(row["top1_low"] <= row["top1"] <= row["top1_high"] for row in rows)
    sizes = [row["bytes"] for row in rows[1:]]
    assert sizes == sorted(sizes)
    lines = [json.loads(line) for line in cli(*command, "jsonl").stdout.splitlines()]
    table = [*csv.DictReader(io.StringIO(cli(*command, "csv").stdout))]
    shown = cli(*command, "table").stdout.splitlines()
    assert [row["sent"] for row in lines] == [row["sent"] for row in table] == [row["sent"] for row in rows]
    assert shown[0].split() == HEADS
    assert len(shown) == 2 + len(rows)


def test_chosen_uploads_alone_and_beside_the_ladder(cli: Cli, digits: Path) -> None:
    command = ("evaluate", "digits_xs_int8", digits, "--upload", "128,75", "--upload", "96,60,webp", "--format", "json")
    assert [row["sent"] for row in json.loads(cli(*command).stdout)] == ["file", "96,60,webp", "128,75"]
    both = {row["sent"] for row in json.loads(cli(*command, "--uploads").stdout)}
    assert both == {"file", "96,60,webp", "128,75", *(rung.text for rung in rungs_for(40))}


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("--upload", "128"), "--upload '128' is not an upload: give SIDE,QUALITY, such as 192,40, or 192,40,webp"),
        (("--upload", "128,40,gif"), "--upload '128,40,gif' is not an upload"),
        (("--uploads", "--per-class"), "--per-class and --confusion are of whole pictures"),
        (("--upload", "128,40", "--confusion", "-"), "--per-class and --confusion are of whole pictures"),
        (("--uploads", "--update-card"), "the card of digits_xs_int8 is part of ondevice and stays"),
    ],
)
def test_what_cannot_be_meant_is_told_before_anything_is_measured(cli: Cli, flags: tuple[str, ...], said: str) -> None:
    assert said in one_line(cli("evaluate", "digits_xs_int8", "nowhere", *flags), 2)


def test_a_picture_that_cannot_be_read_is_reported_and_left_out(cli: Cli, digits: Path) -> None:
    (digits / "0" / "bad.png").write_bytes(b"no picture")
    done = cli("evaluate", "digits_xs_int8", digits, "--upload", "64,40", "--format", "json")
    assert done.returncode == 1
    assert "bad.png: is not a picture" in done.stderr
    assert [(row["n"], row["failed"]) for row in json.loads(done.stdout)] == [(8, 1), (8, 1)]


def test_it_is_written_into_the_card_and_shown(cli: Cli, digits: Path, mine: zoo.Entry) -> None:
    command = ("evaluate", "mine", digits, "--upload", "64,40", "--upload", "128,90", "--format", "json")
    assert cli(*command).returncode == 0
    assert zoo.find("mine") == mine, "nothing is written unless it is asked for"
    done = cli(*command, "--update-card")
    whole, *rows = json.loads(done.stdout)
    known = zoo.find("mine").card.uploads
    assert known is not None
    assert (known.rungs, known.n) == (("64,40", "128,90"), 8)
    assert list(known.bytes) == [row["bytes"] for row in rows]
    assert list(known.top1) == pytest.approx([row["top1"] for row in rows], abs=1e-4)
    assert known.whole == pytest.approx(whole["top1"], abs=1e-4)
    assert known.data.startswith("8 pictures of digits, by `ondevice evaluate` with ")
    assert done.stderr.endswith(f"mine.toml: 2 uploads, {known.data}\n")
    assert zoo.find("mine").card.accuracy is None, "of whole files as many were not asked for"
    said = json.loads(cli("models", "show", "mine", "--format", "json").stdout)["uploads"]
    assert (said["rungs"], said["bytes"], said["n"]) == ([*known.rungs], [*known.bytes], 8)


def test_the_models_page_shows_the_ladder(cli: Cli, digits: Path, mine: zoo.Entry) -> None:
    assert "uploads" not in cli("models", "show", "mine").stdout
    cli("evaluate", "mine", digits, "--upload", "64,40", "--upload", "128,90", "--update-card")
    fields, table = cli("models", "show", "mine").stdout.split("\n\n")
    (line,) = [line for line in fields.splitlines() if line.startswith("uploads ")]
    assert "64,40 (" in line
    assert "8 pictures of digits" in line
    assert [row.split()[0] for row in table.splitlines()[2:]] == ["64,40", "128,90"]
    rows = [*csv.DictReader(io.StringIO(cli("models", "show", "mine", "--format", "csv").stdout))]
    assert [row["field"] for row in rows].count("uploads") == 1


def test_a_ladder_from_more_pictures_is_replaced_only_if_that_is_meant(cli: Cli, digits: Path, mine: zoo.Entry) -> None:
    command = ("evaluate", "mine", digits, "--upload", "64,40", "--update-card")
    assert cli(*command).returncode == 0
    said = one_line(cli(*command, "--limit", 4), 2)
    assert said.startswith("ondevice: error: the card has the uploads of 8 pictures of digits, by `ondevice evaluate`")
    assert said.endswith("of 8 pictures, more than these 4: --force replaces it")
    assert cli(*command, "--limit", 4, "--force").returncode == 0
    known = zoo.find("mine").card.uploads
    assert known is not None
    assert (known.n, known.data[:28]) == (4, "4 of 8 pictures of digits, b")


def test_adding_a_model_that_is_fed_otherwise_forgets_its_ladder(cli: Cli, digits: Path, mine: zoo.Entry) -> None:
    cli("evaluate", "mine", digits, "--upload", "64,40", "--update-card")
    known = zoo.find("mine").card.uploads
    assert known is not None
    for name, flags, kept in (("same", (), known), ("other", ("--crop", "0.8"), None)):
        done = cli("models", "add", mine.path, "--name", name, *flags)
        assert done.returncode == 0, done.stderr
        assert zoo.find(name).card.uploads == kept


def test_without_webp_it_is_left_out_with_a_note(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(features, "check", lambda name: name != "webp")
    found = UploadFlags(uploads=True).rungs(224)
    assert {rung.compression for rung in found} == {Compression.JPEG}
    assert capsys.readouterr().err == "ondevice: this machine's Pillow cannot write WebP: it is left out\n"
