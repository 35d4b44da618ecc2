"""Files that have no end: given up in words, in time and in bounded memory, by every command that is given one."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from project import INSTALLED, ROOT

from ondevice import reading
from ondevice.models import files
from ondevice.reading import EndlessError, TooLargeError

zero = pytest.mark.skipif(not Path("/dev/zero").exists(), reason="this system has no /dev/zero")
MODEL = "digits_xs_int8"
# `ondevice` with less patience for pipes, and without the memory that reading a device to its end takes.
HURRIED = """
import resource
resource.setrlimit(resource.RLIMIT_DATA, (2 << 30, 2 << 30))
from ondevice import reading
reading.SILENCE_S = 0.2
from ondevice.cli import main
main()
"""
SIMULATE = ("--network", "normal:mean=50,std=25", "--sla", "100")
LINK = ("--to", "127.0.0.1:9", "--port", "0")


@pytest.fixture
def pipe(tmp_path: Path) -> Path:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    return path


@contextmanager
def writing(path: Path, *pieces: bytes) -> Iterator[None]:
    """Somebody who writes to a pipe, as soon as it is read."""

    def write() -> None:
        with path.open("wb") as file:
            for piece in pieces:
                file.write(piece)

    thread = threading.Thread(target=write)
    thread.start()
    yield
    thread.join()


def hurried(*arguments: object, stdin: Path | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", HURRIED, *map(str, arguments)]
    with (stdin or Path(os.devnull)).open("rb") as source:
        return subprocess.run(command, stdin=source, capture_output=True, text=True, timeout=60, check=False)


@zero
def test_a_device_without_end_is_too_large() -> None:
    with pytest.raises(TooLargeError, match="over 64 MiB"):
        reading.whole("/dev/zero")
    with Path("/dev/zero").open("rb") as file, pytest.raises(TooLargeError, match=r"over 0.5 MiB"):
        reading.stream(file, 1 << 19)


def test_a_file_that_is_too_large_is_not_read(tmp_path: Path) -> None:
    huge = tmp_path / "huge"
    huge.touch()
    os.truncate(huge, 1 << 40)
    with pytest.raises(TooLargeError):
        reading.whole(huge)


def test_a_pipe_that_nobody_writes_to_is_given_up(pipe: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "SILENCE_S", 0.1)
    with pytest.raises(EndlessError, match=r"nothing came out of it for 0\.1 s"):
        reading.whole(pipe)
    holding = os.open(pipe, os.O_RDWR)  # somebody holds it open, and says nothing
    try:
        with pytest.raises(EndlessError):
            reading.whole(pipe)
    finally:
        os.close(holding)


def test_a_pipe_is_read_to_its_end(pipe: Path) -> None:
    with writing(pipe, b"a" * 100_000, b"b" * 300_000):
        assert reading.whole(pipe) == b"a" * 100_000 + b"b" * 300_000
    with writing(pipe):
        assert reading.whole(pipe) == b""


def test_what_a_shell_gives_for_a_command_is_read() -> None:
    ours, theirs = os.pipe()
    os.write(theirs, b"1\r\n2\r")
    os.close(theirs)
    assert reading.text(f"/dev/fd/{ours}") == "1\n2\n"
    os.close(ours)


def test_folders_and_what_is_not_there_have_their_own_errors(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError):
        reading.whole(tmp_path)
    with pytest.raises(FileNotFoundError):
        reading.whole(tmp_path / "none")
    assert reading.whole(os.devnull) == b""
    assert reading.ends(tmp_path)
    assert reading.ends("x" * 5000)
    assert not reading.ends(os.devnull)


@zero
@pytest.mark.parametrize(
    "arguments",
    [
        ("run", MODEL, "/dev/zero"),
        ("offload", "/dev/zero", "--local", MODEL, "--mode", "device"),
        ("link", "--trace", "/dev/zero", *LINK),
        ("simulate", "--models", "/dev/zero", *SIMULATE),
        ("simulate", "--models", "/dev/zero", "--network", "trace:/dev/zero,rtt=30", "--sla", "100"),
        ("run", MODEL, "SAMPLE", "--labels", "/dev/zero"),
        ("bench", "--compare", "/dev/zero", "/dev/zero"),
        ("serve", "--models", MODEL, "--port", "0", "--tls-cert", "/dev/zero", "--tls-key", "/dev/zero"),
    ],
    ids=lambda arguments: "-".join(arguments[:2]),
)
def test_commands_given_a_device_without_end(arguments: tuple[str, ...], sample: Path) -> None:
    done = hurried(*(str(sample) if argument == "SAMPLE" else argument for argument in arguments))
    assert done.returncode in (1, 2)
    assert "Traceback" not in done.stderr
    assert any(said in done.stderr for said in ("over 64 MiB", "over 4 MiB", "is a device"))


@zero
def test_a_picture_without_end_on_standard_input() -> None:
    done = hurried("run", MODEL, "-", stdin=Path("/dev/zero"))
    assert "standard input: over 64 MiB" in done.stderr
    assert done.returncode == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ("run", MODEL, "PIPE"),
        ("link", "--trace", "PIPE", *LINK),
        ("simulate", "--models", "PIPE", *SIMULATE),
        ("run", MODEL, "SAMPLE", "--labels", "PIPE"),
        ("serve", "--models", MODEL, "--port", "0", "--profiles", "PIPE"),
        ("serve", "--models", MODEL, "--port", "0", "--tokens", "PIPE"),
    ],
    ids=lambda arguments: "-".join(arguments[:2]),
)
def test_commands_given_a_pipe_that_nobody_writes_to(arguments: tuple[str, ...], pipe: Path, sample: Path) -> None:
    named = {"PIPE": str(pipe), "SAMPLE": str(sample)}
    done = hurried(*(named.get(argument, argument) for argument in arguments))
    assert done.returncode in (1, 2)
    assert "Traceback" not in done.stderr
    assert "nothing came out of it" in done.stderr or "is not a file" in done.stderr


def test_a_picture_may_come_through_a_pipe(pipe: Path, sample: Path) -> None:
    with writing(pipe, sample.read_bytes()):
        done = hurried("run", MODEL, pipe, "--format", "csv")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[1].startswith(f"{pipe},1,7,")


def test_what_comes_through_a_pipe_may_be_no_picture(pipe: Path) -> None:
    with writing(pipe, b"no picture"):
        done = hurried("run", MODEL, pipe)
    assert f"{pipe}: is not a picture" in done.stderr


def test_what_is_written_to_a_pipe_goes_through_it(pipe: Path) -> None:
    reading_end = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    with files.replacing(pipe) as out:
        out.write(b"result")
    assert os.read(reading_end, 100) == b"result"
    os.close(reading_end)
    assert pipe.is_fifo()
    assert [path.name for path in pipe.parent.iterdir()] == ["pipe"]


# What is read otherwise is ours, or the system's, and nobody names it.
OWN = {
    "ondevice/_checkout.py",
    "ondevice/devices/card.py",
    "ondevice/devices/networks.py",
    "ondevice/host/names.py",
    "ondevice/host/procfs.py",
    "ondevice/limits/cgroup.py",
    "ondevice/bench/mlperf/logs.py",
    "cloud/app/openapi.py",
    "cloud/ray/remains.py",
    # A SavedModel's program, which was seen to be a file, and may be as large as such messages can be.
    "converters/sources/loading.py",
    # What was written just before.
    "converters/sources/pytorch.py",
    "lab/demo/pages.py",
}


def test_nothing_that_a_person_names_is_read_whole_elsewhere() -> None:
    found = set()
    for path in (path for room in INSTALLED for path in (ROOT / room).rglob("*.py")):
        calls = (node.func for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call))
        if any(isinstance(call, ast.Attribute) and call.attr in ("read_text", "read_bytes") for call in calls):
            found.add(path.relative_to(ROOT).as_posix())
    assert found <= OWN
