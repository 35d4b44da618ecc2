"""`ondevice demo` as its user meets it: what it prints, its page and report, how it ends, and what it refuses."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from serving import Endpoint, children, living, until

from ondevice import extras
from ondevice.cli import demo
from ondevice.errors import MissingError, UsageError
from ondevice.lab.demo.run import MODES
from ondevice.lab.demo.scenario import Scenario

Cli = Callable[..., "subprocess.CompletedProcess[str]"]
PATIENCE_S = 120.0


class Done(NamedTuple):
    """A whole run: what it printed, the folder that it ran in, and what its page was told."""

    status: int
    out: str
    err: str
    folder: Path
    told: list[dict[str, Any]]


def start(folder: Path, *flags: object) -> subprocess.Popen[str]:
    """In a process group of its own, as a shell starts it."""
    return subprocess.Popen(
        [sys.executable, "-m", "ondevice", "demo", *map(str, flags)],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        process_group=0,
        env={**os.environ, "ONDEVICE_HOME": str(folder / "home")},
    )


def line_with(process: subprocess.Popen[str], text: str) -> str:
    """The first line on its standard error in which that stands."""
    assert process.stderr
    return next(line for line in process.stderr if text in line)


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Done:
    pytest.importorskip("matplotlib")
    folder = tmp_path_factory.mktemp("demo")
    with start(folder, "--live") as process:
        try:
            url = line_with(process, "http://").split()[-1]
            with urllib.request.urlopen(f"{url}events", timeout=PATIENCE_S) as reply:
                told = [json.loads(line.removeprefix(b"data: ")) for line in reply if line.startswith(b"data: ")]
            out, err = process.communicate(timeout=PATIENCE_S)
        finally:
            process.kill()
    return Done(process.returncode, out, err, folder, told)


def test_it_ends_well(done: Done) -> None:
    assert done.status == 0
    # A busy machine is said to be busy; there is nothing else to say after the first lines.
    assert all("this machine was busy" in line for line in done.err.splitlines())


def test_the_table_has_a_line_for_each_mode(done: Done) -> None:
    heads, _, *rows = done.out.splitlines()[: 2 + len(MODES)]
    assert heads.split("  ")[0] == "mode"
    assert [row.split()[0] for row in rows] == list(MODES)
    share = {row.split()[0]: float(row.split()[1]) for row in rows}
    assert all(0 <= each <= 1 for each in share.values())
    # There is no signal for ten of the pictures.
    assert share["cloud"] <= 1 - 10 / Scenario().requests


def test_it_says_what_the_table_means(done: Done) -> None:
    said = " ".join(done.out.split())
    assert re.search(rf"Of {Scenario().requests} pictures, auto had \d+ right and on time, the phone alone \d+,", said)


def test_the_report_is_where_it_says(done: Done) -> None:
    assert "With figures: ondevice-demo.html" in done.out.splitlines()
    report = (done.folder / "ondevice-demo.html").read_text(encoding="utf-8")
    assert report.count("<svg") == 3
    assert sorted(path.name for path in done.folder.iterdir()) == ["home", "ondevice-demo.html"]


def test_the_page_was_told_everything(done: Done) -> None:
    scenario, *records, end = done.told
    assert (scenario["kind"], end["kind"]) == ("scenario", "end")
    assert end["meaning"] in " ".join(done.out.split())
    for mode in MODES:
        numbers = [record["number"] for record in records if record["mode"] == mode]
        assert numbers == list(range(Scenario().requests))


def commands(out: str) -> list[list[str]]:
    """The command lines that are suggested, without the program's name."""
    lines = [line for line in out.splitlines() if re.match(r"  \S*ondevice ", line)]
    return [shlex.split(line)[1:] for line in lines]


def test_the_lines_to_type_next_work(done: Done, cli: Cli, data: Path, home: Path) -> None:
    pull, serve, offload = commands(done.out)
    pulled = cli(*pull, "--from", data / "tflite")
    assert pulled.returncode == 0, pulled.stderr
    photo = min((data / "imagenet").glob("*.JPEG"))
    with Endpoint(home, *serve[1:]) as endpoint:
        there = {"PHOTOS": str(photo), "http://localhost:8000": endpoint.url}
        asked = cli(*(there.get(word, word) for word in offload), "--format", "json")
    assert asked.returncode == 0, asked.stderr
    assert len(json.loads(asked.stdout)["requests"]) == 1


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.parametrize("playing", [False, True], ids=["at the start", "in the middle"])
def test_a_signal_ends_it_and_all_that_it_started(tmp_path: Path, number: int, status: int, *, playing: bool) -> None:
    with start(tmp_path, "--live") as process:
        try:
            url = line_with(process, "http://").split()[-1]
            if playing:
                with urllib.request.urlopen(f"{url}events", timeout=PATIENCE_S) as reply:
                    next(line for line in reply if b'"record"' in line)
            below = [pid for child in children(process.pid) for pid in (child, *children(child))]
            os.killpg(process.pid, number) if number == signal.SIGINT else process.send_signal(number)
            out, err = process.communicate(timeout=PATIENCE_S)
        finally:
            process.kill()
    assert (process.returncode, out) == (status, "")
    assert err == ("ondevice: error: interrupted\n" if number == signal.SIGINT else "")
    until(lambda: not living(below))  # they notice that what started them has ended
    assert [path.name for path in tmp_path.iterdir() if path.name != "home"] == []


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--port", "8001"], "give --live too"),
        (["--live", "--port", "65536"], "65536"),
        (["--report", "."], "is a folder"),
        (["--report", "no/such/report.html"], "folder 'no/such' does not exist"),
        (["--seed", "-1"], "-1"),
        (["--seed", "good"], "good"),
        (["pictures"], "pictures"),
    ],
)
def test_wrong_usage_is_one_line(cli: Cli, flags: list[str], said: str) -> None:
    refused = cli("demo", *flags)
    assert (refused.returncode, refused.stdout) == (2, "")
    (line,) = refused.stderr.splitlines()
    assert line.startswith("ondevice: error: ")
    assert said in line


def test_a_port_that_is_taken(cli: Cli, tmp_path: Path) -> None:
    with Endpoint(tmp_path) as taken:
        refused = cli("demo", "--live", "--port", taken.port)
    assert refused.returncode == 2
    assert refused.stderr.splitlines()[-1] == (
        f"ondevice: error: port {taken.port} cannot be used: address already in use"
    )


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_may_not_be_written_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tmp_path.chmod(0o555)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match="may not be written to"):
        demo.demo(None, False, None, 6)


def test_without_the_endpoint_s_packages_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    _lack(monkeypatch, "serve")
    with pytest.raises(MissingError, match=r"`ondevice demo` needs more packages: run `pip install 'aiohttp>=3'`"):
        demo.demo(None, False, None, 6)


def test_without_matplotlib_a_report_that_is_asked_for_is_refused_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    _lack(monkeypatch, "lab")
    with pytest.raises(MissingError, match=r"`--report` needs more packages: run `pip install 'matplotlib>=3'`"):
        demo.demo(Path("report.html"), False, None, 6)


def test_without_matplotlib_there_is_a_table_and_how_to_have_a_report(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    from demo_runs import SCENARIO, runs

    monkeypatch.chdir(tmp_path)
    _lack(monkeypatch, "lab")
    monkeypatch.setattr(demo, "_play", lambda scenario, live, port: runs())
    monkeypatch.setattr("ondevice.lab.demo.scenario.Scenario", lambda seed: SCENARIO)
    demo.demo(None, False, None, 6)
    out = capsys.readouterr().out
    assert out.startswith("mode ")
    assert "No report: its figures need more packages: run `pip install 'matplotlib>=3'`" in out.splitlines()
    assert list(tmp_path.iterdir()) == []


def _lack(monkeypatch: pytest.MonkeyPatch, extra: str) -> None:
    """As if what this extra requires were not installed."""
    required = {"serve": "aiohttp>=3", "lab": "matplotlib>=3"}[extra]
    real = extras.missing
    monkeypatch.setattr(extras, "missing", lambda name: [required] if name == extra else real(name))


def test_the_suggested_models_are_in_the_zoo() -> None:
    pull, serve, offload = commands(demo._next_steps())
    assert pull[:2] == ["models", "pull"]
    assert serve == ["serve", "--models", ",".join(pull[2:])]
    assert offload[-1] in pull
