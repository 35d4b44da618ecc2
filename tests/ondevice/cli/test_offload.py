"""`ondevice offload` as its user meets it: formats, the live table, errors, a dead endpoint, Ctrl-C."""

from __future__ import annotations

import csv
import json
import math
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("httptools", reason="needs the extra: pip install 'ondevice-cnn[serve]'")

from serving import FAMILY, PICTURE, Endpoint
from terminal import in_a_terminal

from ondevice.cli.offload import offload
from ondevice.errors import UsageError
from ondevice.lab.link import HOST, Direction, Links, LinkSpec
from ondevice.models import zoo

Cli = Callable[..., "subprocess.CompletedProcess[str]"]
NOWHERE = "http://127.0.0.1:9"
LOCAL = ("--local", "digits_xs_int8")
COLUMNS = [
    "image", "label", "score", "right", "where", "model",
    "network_ms", "queue_ms", "decode_ms", "invoke_ms", "total_ms", "on_time", "sent_bytes", "why",
]  # fmt: skip
# A deadline that a busy machine meets too.
LONG = ("--sla", 20_000)


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoint]:
    with Endpoint(tmp_path_factory.mktemp("home"), "--models", ",".join(FAMILY[:2])) as running:
        yield running


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two pictures of each of four digits, a folder a digit."""
    for digit in "0147":
        for path in sorted((zoo.samples_dir() / digit).glob("*.png"))[:2]:
            (tmp_path / "labelled" / digit).mkdir(parents=True, exist_ok=True)
            shutil.copy(path, tmp_path / "labelled" / digit)
    return tmp_path / "labelled"


def summary_of(text: str) -> dict[str, str]:
    """The figures of the table of two columns at the end of a text."""
    lines = text.splitlines()
    at = next(number for number, line in enumerate(lines) if line.split() == ["summary", "value"])
    return {key.strip(): value for key, value in (line.rsplit(maxsplit=1) for line in lines[at + 2 :])}


# What it prints


def test_json_is_the_requests_and_the_summary(cli: Cli, endpoint: Endpoint, folder: Path) -> None:
    done = cli("offload", folder, "-e", endpoint.url, "--mode", "cloud", *LONG, "--top", 3, "--format", "json")
    assert (done.returncode, done.stderr) == (0, "")
    printed = json.loads(done.stdout)
    rows, summary = printed["requests"], printed["summary"]
    assert [row["image"] for row in rows] == [str(path) for path in sorted(folder.rglob("*.png"))]
    for row in rows:
        assert list(row)[: len(COLUMNS)] == COLUMNS
        assert row["right"] == (row["label"] == Path(row["image"]).parent.name)
        assert (row["where"], row["why"], row["on_time"], len(row["top"])) == ("cloud", "cloud only", True, 3)
        assert row["model"] in FAMILY[:2]
        assert row["sent_bytes"] == Path(row["image"]).stat().st_size
        assert row["total_ms"] > row["network_ms"] + row["invoke_ms"] > 0
    right = sum(row["right"] for row in rows) / 8
    times = sorted(row["total_ms"] for row in rows)
    assert summary == {
        "requests": 8, "unanswered": 0, "unreadable": 0, "attainment": 1.0, "top1": right, "effective_top1": right,
        "cloud": 1.0, "device": 0.0, "p50_ms": pytest.approx((times[3] + times[4]) / 2, abs=1e-5),
        "p95_ms": pytest.approx(times[6] + 0.65 * (times[7] - times[6]), abs=1e-5), "max_ms": times[7],
        "sent_bytes": sum(row["sent_bytes"] for row in rows), "device_busy_ms": 0.0, "cloud_failures": {},
    }  # fmt: skip
    assert right >= 0.75


@pytest.mark.parametrize("form", ["jsonl", "csv"])
def test_lines_are_requests_alone_and_the_summary_is_on_standard_error(
    cli: Cli, endpoint: Endpoint, folder: Path, form: str
) -> None:
    flags = ("-e", endpoint.url, *LOCAL, *LONG, "--mode", "hedge", "--repeat", 2, "--format", form)
    done = cli("offload", folder, *flags)
    assert done.returncode == 0
    lines = done.stdout.splitlines()
    rows = [json.loads(line) for line in lines] if form == "jsonl" else list(csv.DictReader(lines))
    assert [row["image"] for row in rows] == 2 * [str(path) for path in sorted(folder.rglob("*.png"))]
    assert all(list(row)[: len(COLUMNS)] == COLUMNS for row in rows)
    figures = summary_of(done.stderr)
    assert (figures["requests"], figures["attainment"]) == ("16", "1.000")
    assert done.stderr.startswith("summary")


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


def test_an_emulated_phone_is_told_of(cli: Cli, sample: Path) -> None:
    flags = ("--local", "digits_s_int8", "--device", "pieslicer-phone", "--mode", "device", "--sla", 1000)
    done = cli("offload", sample, *flags, "--format", "jsonl")
    assert json.loads(done.stdout)["device"] == "pieslicer-phone"
    assert "ondevice: emulated pieslicer-phone" in done.stderr


def test_a_local_model_of_unknown_accuracy_is_told_of(
    cli: Cli, endpoint: Endpoint, stranger: Path, sample: Path
) -> None:
    done = cli("offload", sample, "-e", endpoint.url, "--local", stranger, *LONG)
    assert done.returncode == 0
    assert "stranger has no known accuracy: any answer from the cloud is preferred to its own" in done.stderr


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


def test_a_bad_picture_costs_itself_alone(cli: Cli, endpoint: Endpoint, sample: Path, tmp_path: Path) -> None:
    text, cut = tmp_path / "text.jpg", tmp_path / "cut\x1b.png"
    text.write_text("no picture")
    cut.write_bytes(PICTURE[:900])
    done = cli("offload", text, cut, sample, "gone.png", "-e", endpoint.url, *LONG, "--mode", "cloud", "-f", "json")
    assert done.returncode == 1
    printed = json.loads(done.stdout)
    assert ["error" in row for row in printed["requests"]] == [True, True, False, True]
    assert printed["requests"][2]["label"] == "7"
    figures = printed["summary"]
    assert (figures["requests"], figures["unanswered"], figures["unreadable"], figures["attainment"]) == (2, 1, 2, 0.5)
    assert figures["cloud_failures"] == {"rejected": 1}
    *errors, last = done.stderr.splitlines()
    shown = (str(text), str(cut).replace("\x1b", "\N{REPLACEMENT CHARACTER}"), "gone.png")
    assert len(errors) == 3
    for name, error in zip(shown, errors, strict=True):
        assert error.startswith(f"ondevice: error: {name}: ")
    assert "answers 400" in errors[1]
    assert last == "ondevice: 3 of 4 pictures have no answer"


def test_a_dead_endpoint_is_told_once_and_the_device_answers(cli: Cli, folder: Path) -> None:
    done = cli("offload", folder, "-e", NOWHERE, *LOCAL, *LONG, "--format", "jsonl")
    assert done.returncode == 0
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert [row["where"] for row in rows] == 8 * ["device"]
    notes = [line for line in done.stderr.splitlines() if line.startswith("ondevice: ")]
    assert len(notes) == 1
    assert notes[0].startswith("ondevice: the cloud fails: 127.0.0.1:9 refuses connections")


def one_line(done: subprocess.CompletedProcess[str], status: int) -> str:
    lines = done.stderr.splitlines()
    assert (len(lines), done.stdout, done.returncode) == (1, "", status), done.stderr
    assert lines[0].startswith("ondevice: error: ")
    return lines[0]


@pytest.mark.parametrize("flags", [(), (*LOCAL, "--mode", "cloud")])
def test_a_dead_endpoint_without_a_model_here_is_one_line(cli: Cli, sample: Path, flags: tuple[str, ...]) -> None:
    said = one_line(cli("offload", sample, "-e", NOWHERE, *flags), 1)
    assert "no answer from the cloud: 127.0.0.1:9 refuses connections" in said


def test_an_endpoint_that_dies_meanwhile(folder: Path, tmp_path: Path) -> None:
    with Endpoint(tmp_path, "--models", FAMILY[0]) as dying:
        flags = ["-e", dying.url, *LOCAL, "--sla", "5000", "--mode", "hedge", "--every", "100", "-f", "jsonl"]
        command = [sys.executable, "-m", "ondevice", "offload", str(folder), "--repeat", "4", *flags]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            assert process.stdout
            first = json.loads(process.stdout.readline())
            dying.stop(signal.SIGKILL)
            printed, noted = process.communicate(timeout=60)
    rows = [first, *map(json.loads, printed.splitlines())]
    assert (process.returncode, len(rows)) == (0, 32)
    assert (first["where"], rows[-1]["where"]) == ("cloud", "device")
    assert rows[-1]["why"].startswith("the cloud fail")
    fails = [line for line in noted.splitlines() if "the cloud fails" in line]
    assert 1 <= len(fails) == len(set(fails)) <= 2
    assert all(line.startswith("ondevice: ") for line in fails)
    assert summary_of(noted)["requests"] == "32"


# Over a slow link


@pytest.fixture
def far(endpoint: Endpoint) -> Iterator[str]:
    """The endpoint, 400 ms away."""
    both = Direction(latency_ms=200)
    with Links() as links:
        yield f"http://{HOST}:{links.open(LinkSpec((HOST, endpoint.port), both, both)).port}"


def test_how_long_a_late_cloud_is_waited_for(cli: Cli, far: str, sample: Path) -> None:
    flags = ("-e", far, "--sla", 50, "--format", "json", "--patience")
    waited = cli("offload", sample, *flags, 20_000)
    (row,) = json.loads(waited.stdout)["requests"]
    assert (row["label"], row["on_time"], waited.returncode) == ("7", False, 0)
    assert json.loads(waited.stdout)["summary"]["attainment"] == 0
    gave_up = cli("offload", sample, *flags, 0)
    assert gave_up.returncode == 1
    assert "no answer in time" in gave_up.stderr
    assert json.loads(gave_up.stdout)["summary"]["cloud_failures"] == {"late": 1}


def test_a_confident_device_ends_a_request_early(cli: Cli, far: str, sample: Path) -> None:
    done = cli("offload", sample, "-e", far, *LOCAL, *LONG, "--mode", "hedge", "--confident", 0.1, "-f", "jsonl")
    row = json.loads(done.stdout)
    assert (row["where"], row["why"]) == ("device", "the device was confident")


@pytest.mark.parametrize(("confident", "where"), [(0.1, "device"), (1.5, "cloud")])
def test_cascade_sends_only_what_the_device_is_not_sure_of(
    cli: Cli, endpoint: Endpoint, sample: Path, confident: float, where: str
) -> None:
    flags = ("--mode", "cascade", "--confident", confident)
    done = cli("offload", sample, "-e", endpoint.url, *LOCAL, *LONG, *flags, "-f", "json")
    (row,), summary = json.loads(done.stdout)["requests"], json.loads(done.stdout)["summary"]
    assert row["where"] == where
    assert row["sent_bytes"] == summary["sent_bytes"] == (sample.stat().st_size if where == "cloud" else 0)
    assert ("the device was confident: " if where == "device" else "the device was unsure: ") in row["why"]


# Tokens and certificates


def test_tokens_and_certificates(cli: Cli, sample: Path, tmp_path: Path) -> None:
    if not shutil.which("openssl"):
        pytest.skip("no openssl to make a certificate with")
    cert, key, tokens = tmp_path / "cert.pem", tmp_path / "key.pem", tmp_path / "tokens"
    command = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=x -addext subjectAltName=IP:127.0.0.1"
    subprocess.run([*command.split(), "-out", cert, "-keyout", key], check=True, capture_output=True)
    tokens.write_text("# ours\n\n" + "a1" * 16 + "\n")
    flags = ("--models", FAMILY[0], "--tls-cert", cert, "--tls-key", key, "--tokens", tokens)
    with Endpoint(tmp_path, *flags) as running:
        ask = ("offload", sample, "-e", running.url, *LONG)
        good = ("--ca", cert, "--token-file", tokens)
        assert cli(*ask, *good).returncode == 0
        assert cli(*ask, "--insecure", ONDEVICE_TOKEN="a1" * 16).returncode == 0
        assert "its certificate is refused" in one_line(cli(*ask, *good[2:]), 1)
        assert "answers 401" in one_line(cli(*ask, *good[:2], ONDEVICE_TOKEN="b2" * 16), 1)
        refused = cli(*ask, *good[:2], *LOCAL)
        assert refused.returncode == 0
        assert refused.stderr.count(" answers 401: give a valid token") == 1


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
