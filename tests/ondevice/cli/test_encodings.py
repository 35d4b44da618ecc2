"""Labels and file names that the encoding of a terminal, a pipe or a log lacks: escaped, in every format."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from terminal import in_a_terminal

pytestmark = pytest.mark.usefixtures("tried")
Cli = Callable[..., "subprocess.CompletedProcess[str]"]
NAMES = ("魚", "café", *(f"name {i}" for i in range(8)))
# A name that is not text in any encoding, as disks and archives of other systems have them.
NOT_TEXT = os.fsdecode(b"p\xff.png")
ASCII = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
LATIN = {"PYTHONIOENCODING": "latin-1"}


def ondevice(environment: Mapping[str, str], *arguments: object) -> subprocess.CompletedProcess[bytes]:
    """What a process of its own printed, for Python makes the streams when it starts."""
    command = [sys.executable, "-m", "ondevice", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, env={**os.environ, **environment}, check=False)


@pytest.fixture
def folder(stranger: Path, sample: Path, tmp_path: Path, cli: Cli) -> Path:
    """A folder with a picture in `set/name 0`, and a model; `fish` is that model with names for its classes."""
    (tmp_path / "labels.txt").write_text("\n".join(NAMES), encoding="utf-8")
    (tmp_path / "set" / "name 0").mkdir(parents=True)
    shutil.copy(sample, tmp_path / "set" / "name 0" / NOT_TEXT)
    shutil.copy(stranger, tmp_path / os.fsdecode(b"m\xff.tflite"))
    added = cli("models", "add", stranger, "--name", "fish", "--labels", tmp_path / "labels.txt", "--range=-1,1")
    assert added.returncode == 0, added.stderr
    return tmp_path


@pytest.mark.parametrize(
    ("form", "environment"),
    [("table", ASCII), ("table", LATIN), ("md", LATIN), ("json", LATIN), ("jsonl", ASCII), ("csv", LATIN)],
    ids=["table-ascii", "table", "md", "json", "jsonl-ascii", "csv"],
)
def test_run_prints_every_label_and_name_in_every_format(form: str, environment: dict[str, str], folder: Path) -> None:
    done = ondevice(environment, "run", "fish", folder / "set" / "name 0" / NOT_TEXT, "--format", form, "--top", 10)
    assert (done.stderr, done.returncode) == (b"", 0)
    printed = done.stdout.decode("ascii" if environment is ASCII else "latin-1")
    assert "\\u9b5a" in printed
    assert ("caf\\u00e9" if "json" in form else "caf\\xe9" if environment is ASCII else "café") in printed
    if form == "csv":
        assert [row["rank"] for row in csv.DictReader(io.StringIO(printed))] == [str(rank) for rank in range(1, 11)]
    if form == "json":
        assert {best["label"] for best in json.loads(printed)[0]["top"]} == set(NAMES)


def test_columns_are_as_wide_as_the_escapes(folder: Path) -> None:
    done = ondevice(ASCII, "run", "fish", folder / "set" / "name 0" / NOT_TEXT, "--top", 10)
    heads, rule, *rows = done.stdout.decode().splitlines()
    end = heads.index("score") + len("score")
    assert len(rows) == 10
    assert rule[end - 7 : end] == "  -----"
    assert all(0 <= float(row[end - 5 : end]) <= 1 for row in rows)


def test_every_command_that_names_something_prints_it(folder: Path) -> None:
    picture, odd = folder / "set" / "name 0" / NOT_TEXT, folder / os.fsdecode(b"m\xff.tflite")
    for arguments in (
        ("evaluate", "fish", folder / "set"),
        ("models", "show", "fish"),
        ("bench", odd, "--runs", 3, "--warmup", 1, "--format", "csv"),
        ("offload", picture, "--local", "fish", "--mode", "device", "--format", "csv"),
        ("run", odd, picture, "--format", "csv"),
        ("devices", "list"),
        ("run", "--help"),
    ):
        done = ondevice(ASCII, *arguments)
        assert done.returncode == 0, (arguments, done.stderr)
        assert done.stdout.isascii()
        assert b"Traceback" not in done.stderr


def test_errors_name_files_of_any_name_in_one_line(folder: Path) -> None:
    for arguments, status in (
        (("run", folder / os.fsdecode(b"m\xff.tflite"), folder / "set", NOT_TEXT), 1),
        (("models", "add", folder / "渔.tflite", "--labels", "渔.txt"), 1),
        (("evaluate", "fish", folder / "渔"), 2),
        (("渔",), 2),
    ):
        done = ondevice(ASCII, *arguments)
        assert done.returncode == status, (arguments, done.stderr)
        assert done.stderr.isascii()
        assert all(line.startswith(b"ondevice: ") for line in done.stderr.splitlines())


def test_saved_files_are_utf_8_whatever_the_terminal_has(folder: Path) -> None:
    (folder / "渔.tflite").symlink_to(folder / "stranger.tflite")
    models = [folder / "渔.tflite", folder / os.fsdecode(b"m\xff.tflite")]
    done = ondevice({}, "bench", *models, "--runs", 3, "--save", folder / "out.json", "--plot", folder / "out.svg")
    assert done.returncode == 0, done.stderr
    assert len(json.loads((folder / "out.json").read_text(encoding="utf-8"))) == 2
    assert (folder / "out.svg").read_text(encoding="utf-8")


def test_a_progress_bar_names_what_the_terminal_cannot_show(folder: Path) -> None:
    odd, pictures = folder / "渔.tflite", folder / "set"
    shutil.copy(folder / "stranger.tflite", odd)
    shutil.copy(pictures / "name 0" / NOT_TEXT, pictures / "second.png")
    printed, shown, status = in_a_terminal("run", odd, pictures, **ASCII)
    assert (status, "Traceback" in shown) == (0, False)
    assert len(printed.splitlines()) == 12
