"""Standard output, error and input that are closed, full or without room: one line, or none, and never a traceback."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest
from refusals import one_line_error

from ondevice.models import zoo

COMMAND = [sys.executable, "-m", "ondevice"]
MODEL = "digits_xs_int8"
full = pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
REDIRECTED = [pytest.param(">/dev/full", "no space left on device", marks=full), (">&-", "it is closed")]


def redirected(redirection: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    """What a shell makes of `ondevice ARGUMENTS REDIRECTION`."""
    return subprocess.run(
        ["sh", "-c", f'exec "$@" {redirection}', "sh", *COMMAND, *map(str, arguments)],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


@pytest.mark.parametrize(("redirection", "reason"), REDIRECTED)
@pytest.mark.parametrize(
    "arguments",
    [
        ("--version",),
        ("--help",),
        ("models",),
        ("models", "list"),
        ("models", "show", MODEL),
        ("devices", "show", "pixel-3", "--format", "json"),
        ("run", MODEL, "SAMPLE"),
        ("run", MODEL, "SAMPLE", "--format", "jsonl"),
        ("bench", MODEL, "--runs", "2", "--min-secs", "0"),
        ("evaluate", MODEL, zoo.samples_dir()),
        ("doctor",),
        ("convert", "--list"),
    ],
    ids=lambda arguments: "-".join(map(str, arguments)),
)
def test_what_cannot_be_printed_is_told_in_one_line(
    arguments: tuple[object, ...], redirection: str, reason: str, sample: Path
) -> None:
    done = redirected(redirection, *(sample if argument == "SAMPLE" else argument for argument in arguments))
    *notes, last = done.stderr.splitlines()
    assert last == f"ondevice: error: standard output cannot be written to: {reason}"
    assert all(line.startswith("ondevice: ") and "error" not in line for line in notes)
    assert done.returncode == 1


@pytest.mark.parametrize("redirection", [">&-", pytest.param(">/dev/full", marks=full)])
def test_an_endpoint_that_cannot_print_its_address_serves(redirection: str) -> None:
    serve = [*COMMAND, "serve", "--models", MODEL, "--port", "0"]
    with subprocess.Popen(
        ["sh", "-c", f'exec "$@" {redirection}', "sh", *serve], stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr
        try:
            lines = iter(process.stderr.readline, "")
            url = next(match[0] for line in lines if (match := re.search(r"http://127[^/]*", line)))
            assert "warning: standard output cannot be written to" in next(lines)
            with urllib.request.urlopen(f"{url}/v2/health/ready", timeout=30) as reply:
                assert reply.status == 200
            process.send_signal(signal.SIGTERM)
            rest = process.communicate(timeout=60)[1]
        finally:
            process.kill()
    assert process.returncode == 0, rest
    assert "Traceback" not in rest


@pytest.mark.parametrize("redirection", ["2>&-", pytest.param("2>/dev/full", marks=full)])
def test_without_standard_error_there_is_the_result(redirection: str, tmp_path: Path, sample: Path) -> None:
    missing = tmp_path / "missing.png"
    done = redirected(redirection, "run", MODEL, missing, sample, "--format", "csv")
    assert done.returncode == 1  # for the picture that is missing, of which nothing can be told
    assert done.stdout.splitlines()[1].startswith(f"{sample},1,7,")


def test_a_picture_on_a_closed_standard_input_is_told(sample: Path) -> None:
    done = redirected("<&-", "run", MODEL, "-")
    said = "ondevice: error: standard input: it is closed; it takes one picture"
    assert done.stderr.splitlines() == [said, "ondevice: 1 of 1 pictures could not be read"]
    assert done.returncode == 1


def test_a_reader_that_has_enough_ends_it_without_a_word(sample: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing) as nobody:
        done = subprocess.run(
            [*COMMAND, "models", "list"], stdout=nobody, stderr=subprocess.PIPE, text=True, check=False, timeout=60
        )
    assert (done.stderr, done.returncode) == ("", 1)


def test_a_pipe_that_others_have_made_non_blocking_gets_it_all() -> None:
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    # More than the 64 kB of a pipe.
    program = "from ondevice.cli import standard; standard.secure(); print('x' * 1_000_000); print('end', flush=True)"
    with subprocess.Popen(
        [sys.executable, "-c", program], stdout=writing, stderr=subprocess.PIPE, text=True
    ) as process:
        os.close(writing)
        time.sleep(0.5)  # most often it finds the pipe full by then
        with os.fdopen(reading) as pipe:
            said = pipe.read()
        assert process.stderr
        assert (process.stderr.read(), process.wait()) == ("", 0)
    assert said == "x" * 1_000_000 + "\nend\n"


def test_what_is_printed_without_a_buffer_fails_as_well(sample: Path) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    with Path("/dev/full").open("w") as nowhere:
        done = subprocess.run(
            [sys.executable, "-u", "-m", "ondevice", "models", "list"],
            stdout=nowhere, stderr=subprocess.PIPE, text=True, check=False, timeout=60,
        )  # fmt: skip
    assert "no space left" in one_line_error(done.stderr)
    assert done.returncode == 1
