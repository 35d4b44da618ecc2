"""`ondevice offload` with a running endpoint: near and far, dying, behind TLS."""

from __future__ import annotations

import csv
import json
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

pytest.importorskip("httptools", reason="needs the extra: pip install 'ondevice-cnn[serve]'")

from certificates import self_signed
from offloading import COLUMNS, LOCAL, LONG, labelled, summary_of
from refusals import one_line
from serving import FAMILY, PICTURE, Endpoint, not_by_ray

from ondevice.lab.link import HOST, Direction, Links, LinkSpec

Cli = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return labelled(tmp_path)


# What it prints


def test_json_is_the_requests_and_the_summary(cli: Cli, endpoint: Endpoint, folder: Path) -> None:
    what = ("--mode", "cloud", *LONG, "--top", 3, "--upload", "file")
    done = cli("offload", folder, "-e", endpoint.url, *what, "--format", "json")
    assert (done.returncode, done.stderr) == (0, "")
    printed = json.loads(done.stdout)
    rows, summary = printed["requests"], printed["summary"]
    assert [row["image"] for row in rows] == [str(path) for path in sorted(folder.rglob("*.png"))]
    for row in rows:
        assert list(row)[: len(COLUMNS)] == COLUMNS
        assert row["right"] == (row["label"] == Path(row["image"]).parent.name)
        assert (row["where"], row["why"], row["on_time"], len(row["top"])) == ("cloud", "cloud only", True, 3)
        assert row["model"] in FAMILY
        assert row["sent_bytes"] == Path(row["image"]).stat().st_size
        assert row["total_ms"] > row["network_ms"] + row["invoke_ms"] > 0
    right = sum(row["right"] for row in rows) / 8
    times = sorted(row["total_ms"] for row in rows)
    assert summary == {
        "requests": 8, "unanswered": 0, "unreadable": 0, "attainment": 1.0, "top1": right, "effective_top1": right,
        "cloud": 1.0, "device": 0.0, "p50_ms": pytest.approx((times[3] + times[4]) / 2, abs=1e-5),
        "p95_ms": pytest.approx(times[6] + 0.65 * (times[7] - times[6]), abs=1e-5), "max_ms": times[7],
        "sent_bytes": sum(row["sent_bytes"] for row in rows), "device_busy_ms": 0.0, "uploads": {"file": 8},
        "cloud_failures": {},
    }  # fmt: skip
    assert right >= 0.75


def test_a_local_model_of_unknown_accuracy_is_told_of(
    cli: Cli, endpoint: Endpoint, stranger: Path, sample: Path
) -> None:
    done = cli("offload", sample, "-e", endpoint.url, "--local", stranger, *LONG)
    assert done.returncode == 0
    assert "stranger has no known accuracy: any answer from the cloud is preferred to its own" in done.stderr


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


def test_an_endpoint_that_dies_meanwhile(folder: Path, tmp_path: Path) -> None:
    with Endpoint(tmp_path, "--models", FAMILY[0], "--workers", 1) as dying:
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
    flags = ("-e", far, "--sla", 350, "--format", "json", "--patience")  # too little, and enough to ask in
    waited = cli("offload", sample, *flags, 20_000)
    (row,) = json.loads(waited.stdout)["requests"]
    assert (row["label"], row["on_time"], waited.returncode) == ("7", False, 0)
    assert json.loads(waited.stdout)["summary"]["attainment"] == 0
    gave_up = cli("offload", sample, *flags, 0)
    assert gave_up.returncode == 1
    assert re.search("no answer (in time|within)", gave_up.stderr)
    assert json.loads(gave_up.stdout)["summary"]["cloud_failures"] == {"late": 1}


def test_a_confident_device_ends_a_request_early(cli: Cli, far: str, sample: Path) -> None:
    done = cli("offload", sample, "-e", far, *LOCAL, *LONG, "--mode", "hedge", "--confident", 0.1, "-f", "jsonl")
    row = json.loads(done.stdout)
    assert (row["where"], row["why"]) == ("device", "the device was confident")


@pytest.mark.parametrize(("confident", "where"), [(0.1, "device"), (1.5, "cloud")])
def test_cascade_sends_only_what_the_device_is_not_sure_of(
    cli: Cli, endpoint: Endpoint, sample: Path, confident: float, where: str
) -> None:
    flags = ("--mode", "cascade", "--confident", confident, "--upload", "file")
    done = cli("offload", sample, "-e", endpoint.url, *LOCAL, *LONG, *flags, "-f", "json")
    (row,), summary = json.loads(done.stdout)["requests"], json.loads(done.stdout)["summary"]
    assert row["where"] == where
    assert row["sent_bytes"] == summary["sent_bytes"] == (sample.stat().st_size if where == "cloud" else 0)
    assert ("the device was confident: " if where == "device" else "the device was unsure: ") in row["why"]


# Tokens and certificates


@not_by_ray("its proxy speaks HTTP alone, and --tls-cert is refused")
def test_tokens_and_certificates(cli: Cli, sample: Path, tmp_path: Path) -> None:
    (cert, key), tokens = self_signed(tmp_path), tmp_path / "tokens"
    tokens.write_text("# ours\n\n" + "a1" * 16 + "\n")
    flags = ("--models", FAMILY[0], "--workers", 1, "--tls-cert", cert, "--tls-key", key, "--tokens", tokens)
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
