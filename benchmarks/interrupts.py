"""Ctrl-C at any moment of any command: what each of 200 leaves, and says.

    python benchmarks/interrupts.py [--presses 200] [--against PYTHON]

Each command is run once to its end, or for as long as it is watched; then again for each press, which comes at moments
spread evenly over that time, the first as the process starts. The press goes to the whole process group, as a
terminal's does. What came before the first line of our `main` had run is Python's to answer, with its own traceback,
and is counted as such. `left` is what a press leaves: processes, and files in the folders for temporary files, the
cache and the models that are not whole. With `--against PYTHON`, that of another environment, its `ondevice` is shown
too.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from ondevice.cli import console
from ondevice.models import zoo

SAMPLES = zoo.samples_dir()
MODEL = "digits_xs_int8"
# A server that is not there: its port, 9, is for what is thrown away.
NOBODY = "http://127.0.0.1:9"
COMMANDS: tuple[tuple[str, ...], ...] = (
    ("run", MODEL, str(SAMPLES)),
    ("bench", MODEL, "--threads", "1", "--runs", "2000"),
    ("evaluate", MODEL, str(SAMPLES)),
    ("models", "list"),
    ("devices", "list"),
    ("doctor",),
    ("serve", "--models", MODEL, "--port", "0"),
    ("offload", str(SAMPLES / "7"), "--endpoint", NOBODY, "--local", MODEL, "--sla", "100"),
    ("link", "--trace", "cellular", "--to", "127.0.0.1:9", "--port", "0"),
    ("simulate", "--models", "SET", "--network", "normal:mean=50,std=25", "--sla", "100-300:10", "--jobs", "2"),
    ("convert", "--list"),
    ("demo",),
)
SET = "model,top1,mean_ms,std_ms\nsmall,0.5,10,1\nlarge,0.8,60,5\n"
# Those that do not end by themselves, or take long, are watched for so many seconds: until they do what they do.
WATCHED_S = 3.0
# Longer than any of them takes to end.
PATIENCE_S = 30.0
# What names processes and folders of ours, and of nobody else.
MARK = "ONDEVICE_INTERRUPTS"


class Pressed(NamedTuple):
    """What came of one press. how: `before`, `ended` by itself, `interrupted`, `traceback` or `other`."""

    how: str
    said: str
    left: tuple[str, ...]


def command(python: str, arguments: tuple[str, ...], folder: Path) -> list[str]:
    """The command, with its files."""
    models = folder / "set.csv"
    models.write_text(SET)
    entry = "import sys; from ondevice.cli import main; sys.exit(main())"
    return [python, "-c", entry, *(str(models) if each == "SET" else each for each in arguments)]


@contextlib.contextmanager
def started(python: str, arguments: tuple[str, ...]) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
    """The command in a group and folders of its own."""
    with tempfile.TemporaryDirectory(prefix="interrupts") as name:
        folder = Path(name)
        for each in ("home", "tmp", "work"):
            (folder / each).mkdir()
        environment = {**os.environ, "ONDEVICE_HOME": str(folder / "home"), "TMPDIR": str(folder / "tmp"), MARK: name}
        process = subprocess.Popen(
            command(python, arguments, folder),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=(folder / "said").open("wb"),
            cwd=folder / "work",
            env=environment,
            start_new_session=True,
        )
        try:
            yield process, folder
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def length_s(python: str, arguments: tuple[str, ...]) -> float:
    """How long it takes, as far as it is watched."""
    begun = time.monotonic()
    with started(python, arguments) as (process, _), contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(WATCHED_S)
    return time.monotonic() - begun


def press(python: str, arguments: tuple[str, ...], after_s: float) -> Pressed:
    """Start it, and press after so many seconds."""
    with started(python, arguments) as (process, folder):
        time.sleep(after_s)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGINT)
        try:
            status = process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            return Pressed("hangs", "", ())
        said = (folder / "said").read_text(errors="replace")
        return Pressed(_how(status, said), said, tuple(_left(folder)))


def _how(status: int, said: str) -> str:
    if "Traceback" in said or "Exception ignored" in said:
        ours = ", in main\n" in said  # the frame of `main`, which had begun
        return "traceback" if ours or "KeyboardInterrupt" not in said else "before"
    if status == -signal.SIGINT and not said:  # before Python had set its own handler
        return "before"
    interrupted = status == 130 and said.splitlines()[-1:] == ["ondevice: error: interrupted"]
    return "interrupted" if interrupted else "ended" if status in (0, 1, 130) else f"other ({status})"


def _left(folder: Path) -> Iterator[str]:
    """Processes of ours, once they had a moment to end, and files that are not whole."""
    until = time.monotonic() + 2.0
    while (running := list(_processes(folder))) and time.monotonic() < until:
        time.sleep(0.02)
    yield from (f"process {number}" for number in running)
    yield from (f"tmp/{path.name}" for path in (folder / "tmp").iterdir())
    yield from (f"work/{path.name}" for path in (folder / "work").iterdir())
    yield from (f"home/{path.name}" for path in (folder / "home").rglob("*.part"))


def _processes(folder: Path) -> Iterator[int]:
    mark = f"{MARK}={folder}".encode()
    for path in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):
            if mark in path.read_bytes():
                yield int(path.parent.name)


def rows_of(name: str, python: str, presses: int) -> list[dict[str, Any]]:
    """A line a command, and one for all."""
    shares = [presses // len(COMMANDS) + (number < presses % len(COMMANDS)) for number in range(len(COMMANDS))]
    rows, every = [], list[Pressed]()
    for arguments, count in zip(COMMANDS, shares, strict=True):
        length = length_s(python, arguments)
        found = [press(python, arguments, length * number / count) for number in range(count)]
        every += found
        rows.append(figures(name, " ".join(arguments[:1]), found) | {"over_ms": length * 1e3})
    return [*rows, figures(name, "all", every) | {"over_ms": None}]


def figures(version: str, name: str, found: list[Pressed]) -> dict[str, Any]:
    """What came of the presses."""
    hows = Counter(each.how for each in found)
    bad = [each for each in found if each.how not in ("before", "interrupted", "ended") or each.left]
    for each in bad:
        print(f"{version} {name}: {each.how}, left {each.left}: {each.said[-1500:]}", file=sys.stderr)
    return {
        "version": version,
        "command": name,
        "presses": len(found),
        "before main": hows["before"],
        "one line": hows["interrupted"],
        "ended": hows["ended"],
        "traceback": hows["traceback"],
        "other": len(found) - sum(hows[how] for how in ("before", "interrupted", "ended", "traceback")),
        "left": sum(bool(each.left) for each in found),
    }


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--presses", type=int, default=200)
    parser.add_argument("--against", metavar="PYTHON")
    given = parser.parse_args()
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # a shell has it so in the background, and all inherit it
        signal.signal(signal.SIGINT, signal.default_int_handler)
    rows = rows_of("this", sys.executable, given.presses)
    if given.against:
        rows += rows_of("other", given.against, given.presses)
    console.emit(rows, console.Format.TABLE, ".0f")


if __name__ == "__main__":
    main()
