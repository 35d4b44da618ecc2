"""`ondevice bench` as a user meets it: real processes, formats, limits and bad input."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import no_classifiers
import pytest
from PIL import Image
from refusals import one_line_error
from terminal import in_a_terminal

from ondevice import host
from ondevice.bench import record
from ondevice.bench.measure import measure
from ondevice.bench.record import BenchRecord
from ondevice.bench.spec import Spec
from ondevice.cli import bench
from ondevice.cli.console import Format
from ondevice.models import zoo
from ondevice.timing import profile

Cli = Callable[..., "subprocess.CompletedProcess[str]"]
linux = pytest.mark.skipif(sys.platform != "linux", reason="limits, and /proc, are Linux's")

QUICK = ("--runs", 5, "--min-secs", 0, "--warmup", 1)
DIGITS = ("bench", "digits_xs_int8", *QUICK)


def bad_pixels(path: Path) -> Path:
    path.write_text("no picture")
    return path


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The records of two models on one and two threads."""
    path = tmp_path_factory.mktemp("sweep") / "sweep.json"
    command = ["bench", "digits_xs_int8", "digits_m_fp32", "--threads", "1,2", *QUICK, "--format", "json"]
    done = subprocess.run([sys.executable, "-m", "ondevice", *map(str, command)], stdout=subprocess.PIPE, check=True)
    path.write_bytes(done.stdout)
    return path


# Formats: one record behind all


def test_a_table_with_its_verdict_and_the_reasons(cli: Cli) -> None:
    done = cli(*DIGITS)
    head, rule, row, blank, reason = done.stdout.splitlines()
    assert (done.returncode, done.stderr, blank) == (0, "", "")
    assert {"model", "device", "runtime", "threads", "p50_ms", "p99_ms", "init_ms", "verdict"} <= set(head.split())
    assert set(rule) == {"-", " "}
    assert row.startswith("digits_xs_int8  ")
    assert row.endswith("  INVALID")
    assert reason.startswith("INVALID: digits_xs_int8, 1 thread: too few runs: 5 of 50")


def test_models_and_threads_are_swept(sweep: Path) -> None:
    found = [(r.model, r.num_threads) for r in record.read(sweep)]
    assert found == [("digits_xs_int8", 1), ("digits_xs_int8", 2), ("digits_m_fp32", 1), ("digits_m_fp32", 2)]


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """What the command prints for these records: a run prints once, and here two forms of the same are wanted."""

    def printed(records: list[BenchRecord], **arguments: Any) -> str:
        turns = iter(records)
        monkeypatch.setattr("ondevice.bench.measure.measure", lambda *_: next(turns))
        monkeypatch.setattr(signal, "signal", lambda *_: None)
        bench.bench(**arguments)
        return capsys.readouterr().out

    return printed


@pytest.mark.parametrize("form", [Format.TABLE, Format.MD])
@pytest.mark.parametrize("written", [Format.JSON, Format.JSONL])
def test_read_prints_what_the_run_printed(
    given: Callable[..., str], sweep: Path, tmp_path: Path, written: Format, form: Format
) -> None:
    records = record.read(sweep)
    models = [r.model for r in records]
    (tmp_path / "run").write_text(given(records, models=models, form=written))
    shown = given(records, models=models, form=form)
    assert shown == given([], read=tmp_path / "run", form=form)
    assert all("; ".join(r.reasons) in shown for r in records)


def test_what_is_printed_as_json_has_every_digit_that_a_table_is_made_from(
    given: Callable[..., str], tmp_path: Path
) -> None:
    measured = measure(Spec("digits_xs_int8", warmup=1, runs=20, min_secs=0))
    (tmp_path / "run").write_text(given([measured], models=["digits_xs_int8"], form=Format.JSON))
    (again,) = record.read(tmp_path / "run")
    assert (again.init_ms, again.samples_ms) == (measured.init_ms, measured.samples_ms)


def test_json_read_and_printed_again_is_the_same(cli: Cli, sweep: Path) -> None:
    done = cli("bench", "--read", sweep, "--format", "json")
    assert (done.returncode, done.stdout, done.stderr) == (0, sweep.read_text(), "")


def test_csv_has_a_row_a_record_and_no_samples(cli: Cli, sweep: Path) -> None:
    done = cli("bench", "--read", sweep, "--format", "csv")
    rows = list(csv.DictReader(io.StringIO(done.stdout)))
    assert [(row["model"], row["num_threads"]) for row in rows][1:3] == [
        ("digits_xs_int8", "2"),
        ("digits_m_fp32", "1"),
    ]
    assert rows[0]["host.cores"] == str(host.system.cores())
    assert not [name for name in rows[0] if "samples" in name]
    assert not [name for row in rows for name, value in row.items() if name is None or value is None]


def test_csv_of_records_under_different_limits(cli: Cli, sweep: Path, tmp_path: Path) -> None:
    one, two = json.loads(sweep.read_text())[:2]
    (tmp_path / "both.json").write_text(json.dumps([one, two | {"limits": {"cpus": [0, 1]}}]))
    done = cli("bench", "--read", tmp_path / "both.json", "--format", "csv")
    assert done.returncode == 0, done.stderr
    assert [row["limits.cpus"] for row in csv.DictReader(io.StringIO(done.stdout))] == ["", "0; 1"]


def test_markdown(cli: Cli) -> None:
    lines = cli(*DIGITS, "--format", "md").stdout.splitlines()
    assert lines[0].startswith("| model | device | runtime | threads | runs |")
    assert lines[1].startswith("| --- | --- | --- | ---: |")
    assert lines[2].startswith("| digits_xs_int8 | ")


def test_standard_output_has_the_result_alone_beside_a_progress_bar(home: Path) -> None:
    reader, terminal = os.openpty()
    command = ["bench", "digits_xs_int8", "--runs", 60, "--min-secs", 0, "--interval", 15, "--format", "json"]
    done = subprocess.run(
        [sys.executable, "-m", "ondevice", *map(str, command)], stdout=subprocess.PIPE, stderr=terminal, check=True,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "100"},
    )  # fmt: skip
    os.close(terminal)
    shown = b""
    with contextlib.suppress(OSError):  # the terminal's other end is closed
        while more := os.read(reader, 1 << 16):
            shown += more
    os.close(reader)
    assert json.loads(done.stdout)[0]["num_runs"] == 60
    assert b"digits_xs_int8, 1 thread" in shown
    assert b"/60" in shown


# Pictures, plots, profiles, comparisons


def test_a_bad_picture_is_reported_and_the_others_measured(cli: Cli, sample: Path, tmp_path: Path) -> None:
    done = cli(*DIGITS, "--image", bad_pixels(tmp_path / "bad.png"), "--image", sample, "--format", "json")
    (found,) = json.loads(done.stdout)
    assert f"{tmp_path / 'bad.png'}: is not a picture" in one_line_error(done.stderr)
    assert (found["decode"], len(found["decode_samples_ms"])) == (True, 5)


def test_no_picture_at_all_is_an_error(cli: Cli, tmp_path: Path) -> None:
    done = cli(*DIGITS, "--image", bad_pixels(tmp_path / "bad.png"))
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.splitlines()[-1] == "ondevice: error: none of the pictures can be read"
    assert "Traceback" not in done.stderr
    (tmp_path / "empty").mkdir()
    assert f"--image {tmp_path / 'empty'}: no picture in it" in one_line_error(
        cli(*DIGITS, "--image", tmp_path / "empty").stderr
    )


def test_a_plot_is_a_picture(cli: Cli, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    done = cli(*DIGITS, "--plot", tmp_path / "x.png")
    assert (done.returncode, done.stderr) == (0, f"ondevice: drawn: {tmp_path / 'x.png'}\n")
    with Image.open(tmp_path / "x.png") as picture:
        assert (picture.format, picture.width > 200) == ("PNG", True)


def test_a_plot_that_cannot_be_made_is_refused_before_any_measuring(cli: Cli, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    # The model is missing too: had it got there, that would be the error.
    done = cli("bench", "nothing.tflite", "--plot", tmp_path / "x.gif")
    assert (done.returncode, done.stdout, list(tmp_path.iterdir())) == (2, "", [])
    assert "--plot makes .png, .svg, .pdf, not 'x.gif'" in one_line_error(done.stderr)


def test_saved_profiles_are_what_was_measured(cli: Cli, tmp_path: Path) -> None:
    done = cli(*DIGITS, "--threads", "1,2", "--format", "json", "--save", tmp_path / "profiles.json")
    assert done.stderr == f"ondevice: saved: {tmp_path / 'profiles.json'}\n"
    profiles = profile.loads((tmp_path / "profiles.json").read_text())
    for found, row in zip(profiles, json.loads(done.stdout), strict=True):
        assert (found.model, found.threads, found.n) == (row["model"], row["num_threads"], 5)
        assert (found.host, found.runtime) == (row["device"], row["runtime"])
        assert found.mean_ms == pytest.approx(row["avg_ms"], abs=1e-5)
        assert found.quantiles_ms[10] == pytest.approx(row["p50_ms"], abs=1e-5)


def test_profiles_that_cannot_be_saved_are_one_line(cli: Cli, tmp_path: Path) -> None:
    bad_pixels(tmp_path / "file")
    done = cli(*DIGITS, "--save", tmp_path / "file" / "p.json")
    assert done.returncode == 1
    assert "not a directory" in one_line_error(done.stderr) or "file exists" in one_line_error(done.stderr)
    assert "digits_xs_int8" in done.stdout


def test_compare(cli: Cli, sweep: Path, tmp_path: Path) -> None:
    rows = json.loads(sweep.read_text())
    for row in rows:
        row["samples_ms"] = [2 * value for value in row["samples_ms"]]
    (tmp_path / "twice.json").write_text(json.dumps(rows[1:]))
    done = cli("bench", "--compare", sweep, tmp_path / "twice.json", "--format", "json")
    found = json.loads(done.stdout)
    assert [(row["model"], row["threads"]) for row in found] == [
        ("digits_xs_int8", 2), ("digits_m_fp32", 1), ("digits_m_fp32", 2),
    ]  # fmt: skip
    assert [row["B / A"] for row in found] == pytest.approx([2.0] * 3, rel=1e-3)
    assert all(row["finding"].endswith("(A and B INVALID)") for row in found)


def test_any_file_is_timed_and_run_says_what_it_is(cli: Cli, tmp_path: Path, sample: Path) -> None:
    detector = no_classifiers.detector(tmp_path / "detect.tflite", (1, -1, -1, 3))
    steps = no_classifiers.lstm(tmp_path / "steps.tflite", (-1, 12, 8))
    done = cli("bench", steps, *QUICK)
    assert done.returncode == 0
    assert "steps [1, 12, 8] float32" in done.stdout.splitlines()[2]
    assert done.stderr == (
        "ondevice: steps.tflite leaves the batch open (steps [?, 12, 8] float32): it is 1; "
        "`--shape 8,12,8` makes it 8\n"
    )
    sized = (steps, ("--shape", "1,12,8")), (detector, ("--shape", "1,24,40,3")), (detector, ("--size", 24))
    for model, flags in sized:
        assert cli("bench", model, *QUICK, *flags, "--format", "json").returncode == 0
    for model in (detector, steps):
        done = cli("run", model, sample)
        assert (done.returncode, done.stdout) == (1, "")
        said = rf".*: {model}: not an image classifier \(.*\): input .*, outputs? .*; `ondevice bench {model}` times it"
        assert re.fullmatch(said, one_line_error(done.stderr))


def test_two_files_of_one_name_are_told_apart_and_compared_each_with_itself(cli: Cli, tmp_path: Path) -> None:
    paths = []
    for folder, name in (("a", "digits_xs_int8"), ("b", "digits_l_fp32")):
        paths.append(tmp_path / folder / "model.tflite")
        paths[-1].parent.mkdir()
        paths[-1].write_bytes(zoo.find(name).path.read_bytes() + bytes(16))
    done = cli("bench", *paths, *QUICK, "--format", "json", "--save", tmp_path / "profiles.json")
    (tmp_path / "both.json").write_text(done.stdout)
    (tmp_path / "b.json").write_text(json.dumps(json.loads(done.stdout)[1:]))
    assert [one.model for one in profile.loads((tmp_path / "profiles.json").read_text())] == ["a/model", "b/model"]
    shown = cli("bench", "--read", tmp_path / "both.json").stdout.splitlines()
    assert [line.split()[0] for line in shown[2:4]] == ["a/model", "b/model"]
    same = json.loads(cli("bench", "--compare", *[tmp_path / "both.json"] * 2, "--format", "json").stdout)
    assert [(row["model"], row["B / A"]) for row in same] == [("a/model", 1.0), ("b/model", 1.0)]
    one = cli("bench", "--compare", tmp_path / "both.json", tmp_path / "b.json", "--format", "json")
    assert [(row["model"], row["B / A"]) for row in json.loads(one.stdout)] == [("b/model", 1.0)]
    assert re.fullmatch(r"ondevice: not compared, [^\n]*: a/model, 1 thread \([^\n]*both.json\)\n", one.stderr)


@pytest.mark.parametrize(
    ("models", "folders"),
    [
        (["x/a/model.tflite", "x/b/model.tflite"], ["logs/a", "logs/b"]),
        (["digits_xs_int8", "x/b/model.tflite"], ["logs", "logs"]),
        (["/model.tflite", "/x/model.tflite"], ["logs", "logs/x"]),
    ],
)
def test_logs_of_two_files_of_one_name_do_not_mix(models: list[str], folders: list[str]) -> None:
    found = [bench._logged({"log_dir": "logs"}, folder) for _, folder in bench._log_folders(models)]
    assert found == [{"log_dir": folder} for folder in folders]
    assert bench._logged(None, "a") is None


def test_compare_with_nothing_in_common(cli: Cli, sweep: Path, tmp_path: Path) -> None:
    rows = [row | {"model": "other", "path": "other", "sha256": "other"} for row in json.loads(sweep.read_text())]
    (tmp_path / "other.json").write_text(json.dumps(rows))
    done = cli("bench", "--compare", sweep, tmp_path / "other.json")
    assert (done.returncode, done.stdout) == (2, "")
    assert "no measurement of the same model" in one_line_error(done.stderr)


# Bad input


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        ([], 2, "give either models to measure, or --read FILE, or --compare A B"),
        (["digits_xs_int8", "--read", "x.json"], 2, "give either"),
        (["digits_xs_int8", "--shape", "1,x"], 2, "--shape takes whole numbers from 1 on, such as 1,96,64, not '1,x'"),
        (["digits_xs_int8", "--shape", "1,8"], 2, "its inputs have sizes of their own"),
        (["--read", "x.json", "--compare", "x.json", "y.json"], 2, "give either"),
        (["--read", "nowhere.json"], 2, "nowhere.json: no such file"),
        (["digits_xs_int9"], 1, "digits_xs_int8"),
        (["digits_xs_int8", "--threads", "x"], 2, "--threads takes whole numbers such as 1,2,4, not 'x'"),
        (["digits_xs_int8", "--threads", "1,,2"], 2, "not '1,,2'"),
        (["digits_xs_int8", "--threads", "0"], 2, "from 1 to 256, not 0"),
        (["digits_xs_int8", "--runs", "0"], 2, "--runs must be from 1"),
        (["digits_xs_int8", "--scenario", "walk"], 2, "no scenario 'walk': choose single-stream, multi-stream, server"),
        (["digits_xs_int8", "--device", "pixel-33"], 2, "no device 'pixel-33'; did you mean pixel-3"),
        (["digits_xs_int8", "--device", "nexus-5"], 2, "listed, not emulated"),
        (["digits_xs_int8", "--device", "pixel-3", "--threads", "2"], 2, "give --threads 1 or 4, or leave it out"),
        (["digits_xs_int8", "--device", "pixel-3", "--cpus", "0"], 2, "leave --cpus and --cpu-quota out"),
        (["digits_xs_int8", "--device", "pixel-3", "--cpu-quota", "0.5"], 2, "leave --cpus and --cpu-quota out"),
        (["digits_xs_int8", "--cpus", "4000"], 2, "--cpus 4000: this process may run on"),
        (["digits_xs_int8", "--cpus", "a"], 2, "--cpus takes processor numbers such as 0,1 or 0-3,6, not 'a'"),
        (["digits_xs_int8", "--cpu-quota", "0"], 2, "--cpu-quota 0 (0 %): this machine has"),
        (["digits_xs_int8", "--cpu-quota", "500000%"], 2, "--cpu-quota 5000 (500000 %): this machine has"),
        (["digits_xs_int8", "--cpu-quota", "half"], 2, "--cpu-quota takes a number of CPUs"),
        (["digits_xs_int8", "--memory", "lots"], 2, "--memory 'lots' is not a size: give one such as 256MB"),
        (["digits_xs_int8", "--memory", "1000"], 2, "give 1MiB or more"),
        (["digits_xs_int8", "--memory", "20MB"], 1, "does not fit into --memory 20 MB; give it more"),
    ],
)  # fmt: skip
def test_errors_are_one_line_that_says_what_to_do(cli: Cli, arguments: list[str], status: int, said: str) -> None:
    done = cli("bench", *arguments)
    assert said in one_line_error(done.stderr)
    assert (done.returncode, done.stdout) == (status, "")


def test_a_file_that_is_no_record_is_one_line(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "foreign.json").write_text('{"model": "m"}')
    done = cli("bench", "--read", tmp_path / "foreign.json")
    assert (done.returncode, done.stdout) == (2, "")
    assert "foreign.json: not a benchmark record of this version" in one_line_error(done.stderr)


# Limits


@linux
def test_limits_in_force_are_in_the_record(cli: Cli) -> None:
    cpu = min(os.sched_getaffinity(0))
    done = cli(*DIGITS, "--cpus", cpu, "--memory", "500MB", "--format", "json")
    assert json.loads(done.stdout)[0]["limits"] == {"cpus": [cpu], "memory_bytes": 500_000_000}
    assert (done.returncode, done.stderr) == (0, "")


@linux
def test_more_threads_than_processors_are_warned_about(cli: Cli) -> None:
    done = cli(*DIGITS, "--threads", 2, "--cpus", min(os.sched_getaffinity(0)))
    assert done.returncode == 0
    assert done.stderr.startswith("ondevice: warning: digits_xs_int8: 2 threads on 1 usable processor")


@pytest.mark.usefixtures("place")
def test_more_threads_than_the_quota_are_warned_about(cli: Cli) -> None:
    done = cli(*DIGITS, "--cpu-quota", "50%", "--format", "json")
    assert json.loads(done.stdout)[0]["limits"] == {"cpu_quota": 0.5}
    assert done.stderr.startswith("ondevice: warning: digits_xs_int8: 1 thread on a quota of 0.5 processors")


def test_the_bar_does_not_go_beyond_its_end() -> None:
    """The runs go on for the shortest time that was asked for, thousands of them."""
    _, shown, status = in_a_terminal("bench", "digits_xs_int8", "--threads", 1, "--runs", 50, "--min-secs", 1)
    assert status == 0
    moved = [(int(done), int(total)) for done, total in re.findall(r"(\d+)/(\d+)", shown)]
    assert max(done for done, _ in moved) > 50
    assert all(done <= total for done, total in moved)
