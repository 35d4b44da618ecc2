"""`ondevice offload` as its user meets it: formats, the live table, errors, a dead endpoint, Ctrl-C."""

from __future__ import annotations

import json
import math
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("httptools", reason="needs the extra: pip install 'ondevice-cnn[serve]'")

from offloading import COLUMNS, LOCAL, LONG, NOWHERE, labelled, summary_of
from refusals import one_line
from serving import PICTURE
from terminal import in_a_terminal

from ondevice.cli.offload import offload
from ondevice.errors import UsageError

Cli = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return labelled(tmp_path)


# What it prints


@pytest.mark.parametrize("form", ["table", "md"])
def test_tables_are_followed_by_the_summary(cli: Cli, folder: Path, form: str) -> None:
    done = cli("offload", folder, *LOCAL, *LONG, "--mode", "device", "--threads", 2, "--format", form)
    assert (done.returncode, done.stderr) == (0, "")
    requests, summary = done.stdout.split("\n\n")
    assert requests.splitlines()[0].replace("|", "").split() == COLUMNS
    assert len(requests.splitlines()) == 2 + 8
    figures = summary_of(summary.replace("|", ""))
    assert (figures["requests"], figures["device"], figures["sent_bytes"]) == ("8", "1.000", "0")
    assert float(figures["device_busy_ms"]) > 0


def test_pictures_without_a_truth(cli: Cli, sample: Path) -> None:
    done = cli("offload", "-", sample, *LOCAL, *LONG, "--mode", "device", "--format", "json", stdin=PICTURE)
    printed = json.loads(done.stdout)
    assert [row["image"] for row in printed["requests"]] == ["-", str(sample)]
    assert [row["label"] for row in printed["requests"]] == ["7", "7"]
    assert printed["requests"][0].keys() == printed["requests"][1].keys() >= set(COLUMNS) - {"right"}
    assert "right" not in printed["requests"][0]
    assert printed["summary"].keys() & {"top1", "effective_top1"} == set()


def test_a_folder_whose_labels_are_wrong_is_asked_all_the_same(cli: Cli, sample: Path, tmp_path: Path) -> None:
    shutil.copy(sample, tmp_path / "n01440764_7.png")
    (tmp_path / "labels.csv").write_text("index,wnid,name\n0,n01440764,tench\n")
    done = cli("offload", tmp_path, *LOCAL, *LONG, "--mode", "device", "--format", "jsonl")
    assert done.returncode == 0
    assert "right" not in json.loads(done.stdout)
    assert "right answers are not counted: " in done.stderr
    assert "it lists 1 classes, the model knows 10" in done.stderr


def test_a_stray_picture_is_asked_about_all_the_same(cli: Cli, folder: Path, sample: Path) -> None:
    shutil.copy(sample, folder / "stray.png")
    done = cli("offload", folder, *LOCAL, *LONG, "--mode", "device", "--format", "jsonl")
    assert (done.returncode, len(done.stdout.splitlines())) == (0, 9)
    assert "right" not in done.stdout
    assert "passed over 1 picture outside any class folder: " in done.stderr
    assert "right answers are not counted: 8 of 9 pictures have a class" in done.stderr


def test_an_emulated_phone_is_told_of(cli: Cli, sample: Path) -> None:
    flags = ("--local", "digits_s_int8", "--device", "pieslicer-phone", "--mode", "device", "--sla", 1000)
    done = cli("offload", sample, *flags, "--format", "jsonl")
    assert json.loads(done.stdout)["device"] == "pieslicer-phone"
    assert "ondevice: emulated pieslicer-phone" in done.stderr


# In a terminal


def test_the_live_table_is_shown_in_a_terminal_alone(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "none.png").write_bytes(b"")
    flags = (*LOCAL, *LONG, "--mode", "device", "--format", "csv")
    printed, shown, status = in_a_terminal("offload", folder, *flags)
    assert (status, len(printed.splitlines())) == (0, 1 + 8)
    assert "\x1b[" not in printed
    assert re.search(r"image +label +score +right +where +model +total_ms +on_time +why", shown)
    assert re.search(r"8 requests, attainment 1.000, top1 [01]\.\d+, effective_top1 [01]\.\d+, cloud 0.000", shown)
    assert len(re.findall("7/0[01].png", shown)) >= 2
    printed, shown, status = in_a_terminal("offload", folder / "1", tmp_path / "none.png", *flags)
    assert status == 1
    assert re.search(r"ondevice: error: \S+none.png: ", shown)
    assert "1 of 3 pictures have no answer" in shown


# Pictures and clouds that fail


def test_a_dead_endpoint_is_told_once_and_the_device_answers(cli: Cli, folder: Path) -> None:
    done = cli("offload", folder, "-e", NOWHERE, *LOCAL, *LONG, "--format", "jsonl")
    assert done.returncode == 0
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert [row["where"] for row in rows] == 8 * ["device"]
    notes = [line for line in done.stderr.splitlines() if line.startswith("ondevice: ")]
    assert len(notes) == 1
    assert notes[0].startswith("ondevice: the cloud fails: 127.0.0.1:9 refuses connections")


@pytest.mark.parametrize("flags", [(), (*LOCAL, "--mode", "cloud")])
def test_a_dead_endpoint_without_a_model_here_is_one_line(cli: Cli, sample: Path, flags: tuple[str, ...]) -> None:
    said = one_line(cli("offload", sample, "-e", NOWHERE, *flags), 1)
    assert "no answer from the cloud: 127.0.0.1:9 refuses connections" in said


# Ctrl-C


@pytest.mark.parametrize("form", ["jsonl", "json"])
def test_ctrl_c_prints_what_there_is(folder: Path, form: str) -> None:
    flags = [*LOCAL, "--sla", "5000", "--mode", "device", "--every", "100", "--repeat", "1000", "-f", form]
    command = [sys.executable, "-m", "ondevice", "offload", "gone.png", str(folder), *flags]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert process.stderr
        assert "gone.png: no such file" in process.stderr.readline()
        lines = [process.stdout.readline(), process.stdout.readline()] if form == "jsonl" else []
        process.send_signal(signal.SIGINT)
        printed, noted = process.communicate(timeout=30)
    assert (process.returncode, noted.splitlines()[-1]) == (130, "ondevice: error: interrupted")
    if form == "jsonl":
        rows = [json.loads(line) for line in (*lines, *printed.splitlines())]
        count = int(summary_of(noted.partition("ondevice: ")[0])["requests"])
        assert count >= 1
    else:
        rows, count = json.loads(printed)["requests"], json.loads(printed)["summary"]["requests"]
    assert rows[0] == {"image": "gone.png", "error": "gone.png: no such file"}
    assert len(rows) == 1 + count < 8000


# Wrong use


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ({}, "mode auto needs an endpoint, such as http://localhost:8000; device needs none"),
        ({"endpoint": "localhost:8000"}, "has no scheme; did you mean http://localhost:8000?"),
        ({"endpoint": NOWHERE, "sla": 0.0}, "the deadline must be over 0 ms"),
        ({"endpoint": NOWHERE, "sla": math.nan}, "the deadline must be over 0 ms"),
        ({"endpoint": NOWHERE, "sla": 1e300}, "the deadline must be at most an hour"),
        ({"endpoint": NOWHERE, "mode": "both"}, "no mode 'both': there are device, cloud, hedge, auto, cascade"),
        ({"endpoint": NOWHERE, "mode": "device"}, "mode device needs a local model"),
        ({"local": ["digits_xs_int8"]}, "mode auto needs an endpoint"),
        ({"endpoint": NOWHERE, "threads": 2}, "--device and --threads are for the local model"),
        ({"endpoint": NOWHERE, "device": "pixel-3"}, "--device and --threads are for the local model"),
        ({"endpoint": NOWHERE, "every": 0.0}, "--every takes ms above 0, up to an hour, not 0"),
        ({"endpoint": NOWHERE, "every": math.inf}, "--every takes ms above 0, up to an hour, not inf"),
        ({"endpoint": NOWHERE, "patience": -1.0}, "patience must be from 0 ms to an hour, not -1"),
        ({"endpoint": NOWHERE, "patience": math.nan}, "patience must be from 0 ms"),
        ({"endpoint": NOWHERE, "top": 0}, "top must be 1 or more, not 0"),
        ({"endpoint": NOWHERE, "confident": 0.0}, "confident must be over 0, not 0"),
        ({"endpoint": NOWHERE, "token_file": Path("none")}, "--token-file none: cannot be read: no such file"),
        ({"endpoint": NOWHERE, "token_file": Path(os.devnull)}, "has no token in it"),
        ({"endpoint": NOWHERE, "ca": Path("x"), "insecure": True}, "give one or the other"),
        ({"endpoint": "https://127.0.0.1:9", "ca": Path("none.pem")}, "none.pem: not a file of certificates"),
        ({"endpoint": NOWHERE, "images": [""]}, "an empty picture name"),
    ],
)
def test_wrong_use_is_told(sample: Path, flags: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=re.escape(said)) as caught:
        offload(**{"images": [str(sample)], **flags})
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("flags", "status", "said"),
    [
        (("-e", "localhost:8000"), 2, "has no scheme"),
        (("-e", NOWHERE, "--repeat", 0), 2, "--repeat"),
        (("-e", NOWHERE, "--local", "digits_xs_int7"), 1, "did you mean digits_xs_int8"),
        (("-e", NOWHERE, "--local", "none.tflite"), 1, "none.tflite: no such file"),
    ],
)
def test_errors_are_one_line(cli: Cli, sample: Path, flags: tuple[object, ...], status: int, said: str) -> None:
    assert said in one_line(cli("offload", sample, *flags), status)
