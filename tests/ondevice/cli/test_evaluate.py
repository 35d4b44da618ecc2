"""`ondevice evaluate`: the forms of a data set, and what is told of each class."""

from __future__ import annotations

import csv
import io
import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image
from refusals import one_line
from tflite import colours

from ondevice import extras
from ondevice.cli.console import Format
from ondevice.cli.evaluate import DetailFlags
from ondevice.errors import MissingError
from ondevice.models import zoo

Cli = Callable[..., "subprocess.CompletedProcess[str]"]
RGB = {"red": (255, 0, 0), "green": (0, 255, 0), "blue": (0, 0, 255)}


def picture(path: Path, colour: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (12, 12), RGB[colour]).save(path)


@pytest.fixture
def added(cli: Cli, tmp_path: Path, tried: None) -> Callable[..., str]:
    """Adds a network that tells red, green and blue apart, with these names for them; gives its name."""

    def add(*names: str) -> str:
        (tmp_path / "names.txt").write_text("\n".join(names))
        model = colours(tmp_path / "model.tflite")
        done = cli("models", "add", model, "--name", "mine", "--labels", tmp_path / "names.txt", "--range", "0,1")
        assert done.returncode == 0, done.stderr
        return "mine"

    return add


@pytest.fixture
def digits(tmp_path: Path) -> Path:
    """Three pictures of each of four digits, a folder a digit."""
    for digit in "0147":
        (tmp_path / "digits" / digit).mkdir(parents=True)
        for path in sorted((zoo.samples_dir() / digit).glob("*.png"))[:3]:
            shutil.copy(path, tmp_path / "digits" / digit)
    return tmp_path / "digits"


def test_folders_as_people_name_them(cli: Cli, added: Callable[..., str], tmp_path: Path) -> None:
    model = added("circle", "golden retriever", "black footed albatross")
    for name, colour in {"Circle": "red", "golden_retriever": "green", "001.Black_footed_Albatross": "blue"}.items():
        picture(tmp_path / "set" / "val" / name / "a.png", colour)
        picture(tmp_path / "set" / "train" / name / "a.png", "red")
    picture(tmp_path / "set" / "val" / "stray.png", "red")
    done = cli("evaluate", model, tmp_path / "set", "--format", "json")
    (row,) = json.loads(done.stdout)
    assert (row["n"], row["top1"], row["skipped"]) == (3, 1.0, 1)
    assert done.stderr.splitlines() == [
        f"ondevice: {tmp_path}/set: measured on val, not on train",
        f"ondevice: passed over 1 picture outside any class folder: {tmp_path}/set/val/stray.png",
    ]


def test_a_table(cli: Cli, added: Callable[..., str], tmp_path: Path) -> None:
    model = added("cat", "dog", "owl")
    for name, colour in {"1": "red", "2": "green", "3": "blue"}.items():
        picture(tmp_path / "set" / "images" / f"{name}.png", colour)
    (tmp_path / "set" / "annotations.csv").write_text("filename,label\n1.png,cat\n2.png,Dog\n3.png,cat\n")
    done = cli("evaluate", model, tmp_path / "set", "--format", "json")
    (row,) = json.loads(done.stdout)
    assert (row["n"], round(row["top1"], 3), row["skipped"]) == (3, 0.667, 0)
    assert done.stderr.endswith("annotations.csv: pictures by 'filename', their classes by 'label'\n")


def test_two_classes_of_one_name(cli: Cli, added: Callable[..., str], tmp_path: Path) -> None:
    """All three are answered as they should be; counting 'crane' as the first class would make two of three right."""
    model = added("crane", "heron", "crane")
    picture(tmp_path / "set" / "crane" / "bird.png", "red")
    picture(tmp_path / "set" / "crane" / "machine.png", "blue")
    picture(tmp_path / "set" / "heron" / "a.png", "green")
    said = one_line(cli("evaluate", model, tmp_path / "set"), 2)
    assert "folder 'crane' stands for 2 classes of " in said
    assert said.endswith("mine.labels.txt: name the folders by index (0, 2)")
    picture(tmp_path / "set" / "0" / "bird.png", "red")
    shutil.rmtree(tmp_path / "set" / "crane")
    picture(tmp_path / "set" / "2" / "machine.png", "blue")
    done = cli("evaluate", model, tmp_path / "set", "--per-class", "--format", "csv")
    rows = list(csv.DictReader(io.StringIO(done.stdout)))
    assert [(row["class"], row["top1"]) for row in rows] == [
        ("crane (0)", "1.0"),
        ("heron", "1.0"),
        ("crane (2)", "1.0"),
    ]
    assert "its folders are indexes: 0 is crane, 2 is crane" in done.stderr


def test_each_class_in_every_format(cli: Cli, digits: Path) -> None:
    per_class = ("evaluate", "digits_xs_int8", digits, "--per-class", "--format")
    plain = json.loads(cli(*per_class[:3], "--format", "json").stdout)
    whole = json.loads(cli(*per_class, "json").stdout)
    assert whole.keys() == {"summary", "classes"}
    assert whole["summary"].keys() == plain[0].keys()
    rows = whole["classes"]
    assert [(row["index"], row["class"], row["n"]) for row in rows] == [
        (0, "0", 3),
        (1, "1", 3),
        (4, "4", 3),
        (7, "7", 3),
    ]
    assert sum(row["right"] for row in rows) == round(12 * whole["summary"]["top1"])
    lines = cli(*per_class, "jsonl")
    assert [json.loads(line) for line in lines.stdout.splitlines()] == rows
    assert "top1_low" in lines.stderr
    table = cli(*per_class, "csv")
    assert [row["right"] for row in csv.DictReader(io.StringIO(table.stdout))] == [str(row["right"]) for row in rows]
    assert "top1_low" in table.stderr
    for form in ("table", "md"):
        summary, classes = cli(*per_class, form).stdout.split("\n\n")
        assert "top5" in summary
        assert classes.splitlines()[0].replace("|", "").split() == list(rows[0])
        assert len(classes.splitlines()) == 2 + 4


def test_the_matrix_printed_and_in_files(cli: Cli, digits: Path, tmp_path: Path) -> None:
    command = ("evaluate", "digits_xs_int8", digits, "--confusion")
    to_file = cli(*command, tmp_path / "matrix.csv")
    assert to_file.stderr == f"ondevice: saved: {tmp_path}/matrix.csv\n"
    heads, *rows = csv.reader((tmp_path / "matrix.csv").read_text().splitlines())
    assert heads[:2] == ["index", "class"]
    assert [row[1] for row in rows] == heads[2:]
    assert {"0", "1", "4", "7"} <= {*heads}
    assert sum(int(cell) for row in rows for cell in row[2:]) == 12
    assert cli(*command, "-", "--format", "csv").stdout == (tmp_path / "matrix.csv").read_text()
    shown = cli(*command, "-").stdout.split("\n\n")[1].splitlines()
    assert (shown[0].split(), len(shown)) == (heads[:2] + heads[2:], 2 + len(rows))
    answers = json.loads(cli(*command, "-", "--format", "json").stdout)["confusion"]
    assert [sum(row["answers"].values()) for row in answers] == [3, 3, 3, 3]


def test_the_matrix_drawn(cli: Cli, digits: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    done = cli("evaluate", "digits_xs_int8", digits, "--confusion", tmp_path / "matrix.PNG")
    assert done.stderr == f"ondevice: drawn: {tmp_path}/matrix.PNG\n"
    with Image.open(tmp_path / "matrix.PNG") as drawn:
        assert drawn.format == "PNG"


def test_what_draws_it_may_be_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extras, "missing", lambda extra, *needed: ["matplotlib>=3"] if extra == "lab" else [])
    with pytest.raises(MissingError) as caught:
        DetailFlags(confusion=Path("matrix.png")).check(Format.TABLE)
    assert str(caught.value) == "--confusion matrix.png needs more packages: run `pip install 'matplotlib>=3'`"
    DetailFlags(confusion=Path("matrix.csv")).check(Format.TABLE)


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("--confusion", "matrix.xls"), "--confusion makes .csv, .png, .svg, .pdf, or prints to -, not 'matrix.xls'"),
        (("--confusion", "nowhere/m.csv"), "--confusion nowhere/m.csv: folder 'nowhere' does not exist"),
        (
            ("--confusion", "-", "--per-class", "-f", "csv"),
            "--per-class and --confusion - are two tables, and csv holds",
        ),
        (("--limit", "0"), "0 is not in the range x>=1"),
    ],
    ids=["suffix", "folder", "two tables", "limit"],
)
def test_what_cannot_be_done_is_said_before_anything_is_measured(cli: Cli, flags: tuple[str, ...], said: str) -> None:
    assert said in one_line(cli("evaluate", "digits_xs_int8", "gone", *flags), 2)


def test_a_limit(cli: Cli, digits: Path) -> None:
    done = cli("evaluate", "digits_xs_int8", digits, "--limit", 8, "--per-class", "--format", "json")
    printed = json.loads(done.stdout)
    assert (printed["summary"]["n"], printed["summary"]["left_out"]) == (8, 4)
    assert [row["n"] for row in printed["classes"]] == [2, 2, 2, 2]
    assert done.stderr == "ondevice: 8 of 12 pictures, evenly over the classes, the same ones every time\n"
