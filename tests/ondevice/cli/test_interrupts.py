"""Ctrl-C at given places of a command, from the first line of `main` on: one line, status 130, and nothing left."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

# Ctrl-C as a module begins to be imported, once.
AT_IMPORT = """
import os, signal, sys
def press(event, found):
    if event == "import" and found[0] == WHERE and not pressed:
        pressed.append(True)
        os.kill(os.getpid(), signal.SIGINT)
pressed = []
WHERE = sys.argv[1]
del sys.argv[1]
sys.addaudithook(press)
from ondevice.cli import main
main()
"""
# Its body goes on after Ctrl-C, catches whatever is raised, and says that something else is wrong, as numpy's does.
MODULE = """
import os, signal
try:
    os.kill(os.getpid(), signal.SIGINT)
    for number in range(100_000):
        pass
except BaseException as error:
    raise ImportError("something else") from error
whole = True
"""
IN_AN_IMPORT = """
import time
from ondevice.cli import interrupts
interrupts.arm()
try:
    import slow
    while True:
        time.sleep(0.01)
except KeyboardInterrupt:
    print("interrupted", slow.whole)
"""
WAITING = """
import threading, time
from ondevice.cli import interrupts
interrupts.arm()
interrupts.press_again()
try:
    threading.Event().wait()
except KeyboardInterrupt:
    print("interrupted")
"""
IN_A_FINALIZER = """
import os, signal, time
from ondevice.cli import interrupts
interrupts.arm()
class Pressed:
    def __del__(self):
        os.kill(os.getpid(), signal.SIGINT)
        for number in range(100_000):
            pass
try:
    Pressed()
    while True:
        time.sleep(0.01)
except KeyboardInterrupt:
    print("interrupted")
"""
AT_THE_END = """
import os, signal
from ondevice.cli import interrupts
interrupts.arm()
interrupts.finish()
for number in range(PRESSED):
    os.kill(os.getpid(), signal.SIGINT)
print("ended")
"""


def python(program: str, *arguments: object, **more: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", program, *map(str, arguments)],
        capture_output=True, text=True, timeout=60, check=False, **more,
    )  # type: ignore[call-overload, no-any-return]  # fmt: skip


@pytest.mark.parametrize(
    "where",
    [
        "ondevice.cli.standard", "ondevice.cli.program", "typer", "ondevice.cli.options", "ondevice.runner", "numpy",
        "numpy._core._multiarray_umath", "PIL.Image", "ondevice.runtime", "ondevice.cli.described",
    ],
)  # fmt: skip
def test_while_a_module_is_imported(where: str, sample: Path, home: Path) -> None:
    done = python(AT_IMPORT, where, "run", "digits_xs_int8", sample)
    # Where the import is the last one, the answer may be printed before Ctrl-C is raised, a millisecond or more later.
    assert (done.stderr, done.returncode) == ("ondevice: error: interrupted\n", 130)
    assert list(home.iterdir()) == []


def test_who_ignores_it_is_not_interrupted(sample: Path) -> None:
    ignore: Callable[[], object] = lambda: signal.signal(signal.SIGINT, signal.SIG_IGN)  # noqa: E731
    done = python(AT_IMPORT, "typer", "run", "digits_xs_int8", sample, preexec_fn=ignore)
    assert (done.stderr, done.returncode) == ("", 0)


def test_a_module_that_is_imported_is_left_whole(tmp_path: Path) -> None:
    (tmp_path / "slow.py").write_text(MODULE)
    done = python(IN_AN_IMPORT, cwd=tmp_path)
    assert (done.stdout, done.stderr) == ("interrupted True\n", "")


def test_in_a_finalizer_where_nobody_can_catch_it() -> None:
    done = python(IN_A_FINALIZER)
    assert (done.stdout, done.stderr) == ("interrupted\n", "")


def test_when_all_is_done_it_changes_nothing_and_pressed_again_it_ends() -> None:
    once, twice = (python(AT_THE_END.replace("PRESSED", number)) for number in ("1", "2"))
    assert (once.stdout, once.stderr, once.returncode) == ("ended\n", "", 0)
    assert (twice.stdout, twice.stderr, twice.returncode) == ("", "ondevice: error: interrupted\n", 130)


# Ctrl-C just after something was written, before whoever buffers it has heard so.
WRITTEN = """
import os, signal, sys, time
from ondevice.cli import interrupts, standard
standard.secure()
interrupts.arm()
signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))
put, pressed = standard.WrittenOnce._put, []
def put_and_press(self, data, done):
    more = put(self, data, done)
    if not pressed:
        pressed.append(True)
        os.kill(os.getpid(), NUMBER)
    return more
standard.WrittenOnce._put = put_and_press
stream = getattr(sys, STREAM)
try:
    print("first", file=stream, flush=True)
    while True:
        time.sleep(0.01)
except (KeyboardInterrupt, SystemExit) as raised:
    print("second", type(raised).__name__, file=stream, flush=True)
"""


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
@pytest.mark.parametrize(("number", "raised"), [(signal.SIGINT, "KeyboardInterrupt"), (signal.SIGTERM, "SystemExit")])
def test_what_was_written_is_not_written_again(stream: str, number: int, raised: str) -> None:
    done = python(WRITTEN.replace("STREAM", repr(stream)).replace("NUMBER", str(int(number))))
    assert getattr(done, stream) == f"first\nsecond {raised}\n"


def test_one_that_comes_again_ends_a_wait() -> None:
    """Nothing else may come that would wake it, as where a camera is silent."""
    assert python(WAITING).stdout == "interrupted\n"
