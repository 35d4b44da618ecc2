"""`ondevice demo` as its user meets it: what it prints, its page and report, and how it ends."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from demo_runs import commands
from serving import Endpoint, children, living, until

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


def played(folder: Path) -> Done:
    with start(folder, "--live") as process:
        try:
            url = line_with(process, "http://").split()[-1]
            with urllib.request.urlopen(f"{url}events", timeout=PATIENCE_S) as reply:
                told = [json.loads(line.removeprefix(b"data: ")) for line in reply if line.startswith(b"data: ")]
            out, err = process.communicate(timeout=PATIENCE_S)
        finally:
            process.kill()
    return Done(process.returncode, out, err, folder, told)


@pytest.fixture(scope="module")
def under_way(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Future[Done]]:
    """A whole run: most of its time it waits, for which other tests need not wait."""
    with ThreadPoolExecutor(1) as pool:
        yield pool.submit(played, tmp_path_factory.mktemp("demo"))


@pytest.fixture(scope="module")
def done(under_way: Future[Done]) -> Done:
    pytest.importorskip("matplotlib")
    return under_way.result()


@pytest.mark.usefixtures("under_way")
@pytest.mark.parametrize(
    ("number", "status", "playing"),
    [(signal.SIGTERM, 143, False), (signal.SIGINT, 130, True)],
    ids=["at the start", "in the middle"],
)
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
    assert [path.name for path in done.folder.iterdir()] == ["ondevice-demo.html"]


def test_the_page_was_told_everything(done: Done) -> None:
    scenario, *records, end = done.told
    assert (scenario["kind"], end["kind"]) == ("scenario", "end")
    assert end["meaning"] in " ".join(done.out.split())
    for mode in MODES:
        numbers = [record["number"] for record in records if record["mode"] == mode]
        assert numbers == list(range(Scenario().requests))


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
