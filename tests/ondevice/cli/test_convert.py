"""`ondevice convert` as a user meets it: real processes, real files, and nothing left of what went wrong."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from converting import HOW, SAMPLES, Ran, command, environment

from ondevice.cli.convert import convert
from ondevice.converters import convert as converting
from ondevice.converters.job import PRECISIONS, ConversionResult
from ondevice.models import zoo
from ondevice.models.card import Card

pytestmark = [
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
    pytest.mark.skipif(sys.platform != "linux", reason="finds processes in /proc"),
]
Cli = Callable[..., "subprocess.CompletedProcess[str]"]


def descendants(process: subprocess.Popen[Any]) -> list[int]:
    """The converting processes that it started, by their command lines."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            line = (folder / "cmdline").read_bytes().split(b"\0")
            parent = int((folder / "stat").read_text().rsplit(")", 1)[1].split()[1])
            if b"ondevice.converters.worker" in line and parent == process.pid:
                found.append(int(folder.name))
    return found


def awaited(condition: Callable[[], Any], process: subprocess.Popen[Any]) -> Any:
    """What the condition gives, once it gives something; fails where the process ends before."""
    while not (found := condition()):
        assert process.poll() is None, "it ended before"
        time.sleep(0.01)
    return found


@contextlib.contextmanager
def running(folder: Path, *arguments: object) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        command(folder / "out", *arguments), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env=environment(folder / "home"),
    )  # fmt: skip
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def finished(process: subprocess.Popen[str], folder: Path) -> Ran:
    stdout, stderr = process.communicate(timeout=300)
    done = subprocess.CompletedProcess(process.args, process.returncode, stdout, stderr)
    return Ran(done, folder / "out", folder / "home")


@pytest.fixture(scope="module")
def mixed(networks: Path, tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """One network whose process is killed, one that cannot be converted, and a small one in all precisions."""
    folder = tmp_path_factory.mktemp("mixed")
    sources = [networks / f"{name}.keras" for name in ("victim", "inverse", "small")]
    with running(folder, *sources, "--precision", ",".join(PRECISIONS), *HOW) as process:
        (victim,) = awaited(lambda: descendants(process), process)
        os.kill(victim, signal.SIGKILL)
        return finished(process, folder)


def test_the_table_is_of_what_was_converted_alone(mixed: Ran) -> None:
    lines = mixed.done.stdout.splitlines()
    assert lines[0].split()[:2] == ["model", "precision"]
    assert [line.split()[:2] for line in lines[2:8]] == [["small", kind] for kind in ("source", *PRECISIONS)]
    assert all(line.endswith(" ok") for line in lines[3:8])
    assert lines[8] == ""
    assert lines[9].startswith("Which to take: int8 on CPUs with int8 dot products")
    assert lines[-1].startswith("Peak memory of a conversion: ")


def test_one_that_is_killed_and_one_that_cannot_be_converted_are_told_of(mixed: Ran) -> None:
    died, operator = mixed.errors()
    logs = {error.rsplit("; the log: ", 1)[1] for error in (died, operator)}
    assert died.startswith("ondevice: error: victim: the converting process died (SIGKILL): it said nothing; the log: ")
    assert operator.startswith(
        "ondevice: error: inverse: TFLite has no tf.Erfinv: replace the layers that use it; the log: "
    )
    assert logs == {str(log) for log in mixed.logs()}
    assert "Traceback" in Path(operator.rsplit("; the log: ", 1)[1]).read_text()
    assert mixed.done.returncode == 1


def test_every_file_has_its_card_and_no_other_is_left(mixed: Ran) -> None:
    wanted = [f"small_{precision}.{suffix}" for precision in PRECISIONS for suffix in ("tflite", "toml")]
    assert mixed.names() == sorted(wanted)
    assert list((mixed.home / "tmp").iterdir()) == []


@pytest.mark.parametrize(("failed", "status"), [("", 0), ("its best class differs", 1)])
def test_the_status_is_zero_where_every_file_is_in_place(
    failed: str, status: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    results = (ConversionResult("small", "source"), ConversionResult("small", "fp32", "small.tflite", failed=failed))
    monkeypatch.setattr(converting, "convert", lambda jobs, *_: [converting.Converted(job, results) for job in jobs])
    try:
        convert(sources=["small.keras"])
        ended = 0
    except typer.Exit as caught:
        ended = caught.exit_code
    out, err = capsys.readouterr()
    assert (ended, out.count("\nsmall ")) == (status, 2)
    assert err == (f"ondevice: error: small.tflite is not put in place: {failed}\n" if failed else "")


@pytest.mark.parametrize("precision", PRECISIONS)
def test_the_card_says_how_the_file_came_to_be(precision: str, mixed: Ran) -> None:
    path = mixed.out / f"small_{precision}.tflite"
    card = Card.read(path.with_suffix(".toml"))
    assert (card.name, card.precision, card.labels) == (path.stem, precision, "digits")
    assert (card.size_bytes, card.sha256) == (path.stat().st_size, hashlib.sha256(path.read_bytes()).hexdigest())
    assert (card.input.value_range, card.input.crop) == ((-1.0, 1.0), 1.0)
    assert card.sources == {
        "size": "network itself", "range": "flag", "crop": "flag", "colours": "convention", "labels": "flag",
        "background": "convention", "output": "network itself",
    }  # fmt: skip
    assert card.conversion is not None
    assert card.conversion.calibration == ("20 pictures of samples, seed 0" if precision == "int8" else "none")
    assert card.conversion.check == "180 pictures of samples not calibrated on"
    assert card.conversion.weights == "the source's own"
    assert "tensorflow 2." in card.conversion.tools
    assert card.conversion.agreement >= 0.75
    assert card.accuracy is not None
    assert card.accuracy.n == 180


def test_fp32_answers_as_the_source_does(mixed: Ran) -> None:
    conversion = Card.read(mixed.out / "small_fp32.toml").conversion
    assert conversion is not None
    assert (conversion.agreement, conversion.worst_error < 1e-5) == (1.0, True)


def test_files_shrink(mixed: Ran) -> None:
    size = {precision: (mixed.out / f"small_{precision}.tflite").stat().st_size for precision in PRECISIONS}
    assert size["fp16"] / size["fp32"] < 0.55
    assert max(size[p] for p in ("dynamic", "weight_only", "int8")) / size["fp32"] < 0.35


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_a_file_goes_straight_into_run_bench_and_evaluate(precision: str, mixed: Ran, cli: Cli, sample: Path) -> None:
    path = mixed.out / f"small_{precision}.tflite"
    (answer,) = json.loads(cli("run", path, sample, "--format", "json").stdout)
    (evaluated,) = json.loads(cli("evaluate", path, SAMPLES, "--format", "json").stdout)
    bench = cli("bench", path, "--runs", 5, "--format", "json")
    assert len(answer["top"]) == 5
    assert {top["label"] for top in answer["top"]} <= set("0123456789")
    assert (evaluated["n"], evaluated["failed"]) == (200, 0)
    assert (bench.returncode, bench.stderr.count("error")) == (0, 0)
    assert json.loads(bench.stdout)


def test_models_add_takes_it_with_its_card(mixed: Ran, cli: Cli, sample: Path) -> None:
    done = cli("models", "add", mixed.out / "small_int8.tflite")
    assert done.returncode == 0
    assert done.stderr.startswith(
        "ondevice: its card says: range -1 to 1, crop 1, labels digits.txt (10 classes) (flag);"
    )
    card = Card.read(mixed.out / "small_int8.toml")
    assert zoo.find("small_int8").card == card
    assert cli("run", "small_int8", sample).returncode == 0


def test_what_is_there_is_not_overwritten_unless_forced(mixed: Ran, networks: Path, cli: Cli) -> None:
    before = (mixed.out / "small_fp16.tflite").stat().st_mtime_ns
    done = cli("convert", networks / "small.keras", *HOW, "--precision", "fp16", "--out", mixed.out)
    assert (done.returncode, done.stdout) == (2, "")
    said = f"{mixed.out / 'small_fp16.tflite'} is there already: give --force to replace it, or another --out"
    assert done.stderr == f"ondevice: error: {said}\n"
    assert (mixed.out / "small_fp16.tflite").stat().st_mtime_ns == before


def test_ctrl_c_leaves_pairs_alone(mixed: Ran, networks: Path, tmp_path: Path) -> None:
    precisions = ("int8", *(precision for precision in PRECISIONS if precision != "int8"))
    with running(tmp_path, networks / "small.keras", "--precision", ",".join(precisions), *HOW) as process:
        awaited(lambda: list((tmp_path / "out").glob("*.tflite")), process)
        children = descendants(process)
        process.send_signal(signal.SIGINT)
        result = finished(process, tmp_path)
    assert (result.done.returncode, result.done.stdout) == (130, "")
    assert result.errors() == ["ondevice: error: interrupted"]
    assert len(children) == 1
    assert not Path(f"/proc/{children[0]}").exists()
    names = result.names()
    assert not [name for name in names if name.endswith(".part")]
    assert all(f"{Path(name).stem}.toml" in names for name in names if name.endswith(".tflite"))
    assert list((result.home / "tmp").iterdir()) == []
    # The same input gives the same bytes, in another process too.
    assert (result.out / "small_int8.tflite").read_bytes() == (mixed.out / "small_int8.tflite").read_bytes()
