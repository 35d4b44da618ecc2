"""Processes started, watched and ended, whatever they do."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from serving import living, until

import ondevice
from ondevice.errors import OnDeviceError
from ondevice.process import child
from ondevice.process.child import Child

linux = pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")


@pytest.fixture
def program(tmp_path: Path) -> Any:
    """Starts a child whose module this is the text of."""

    @contextlib.contextmanager
    def start(text: str, *arguments: str, **options: Any) -> Iterator[Child]:
        (tmp_path / "program.py").write_text(text)
        options["environment"] = {**options.get("environment", {}), "PYTHONPATH": str(tmp_path)}
        with child.start("program", *arguments, **options) as started:
            yield started

    return start


def main(*lines: str) -> str:
    """A module with this as its `main`."""
    return "\n    ".join(["import os, sys, time\ndef main():", *lines])


SLEEP = main("time.sleep(600)")


def test_it_has_its_arguments_and_its_exit_status_is_told(program: Any) -> None:
    with program(main("print(sys.argv[1:]); return 3"), "one", "two words") as started:
        death = started.death()
    assert (death.status, death.said) == (3, "['one', 'two words']")


def test_it_runs_this_copy_and_searches_nothing_in_the_working_directory(
    program: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("select.py", "ondevice.py"):
        (tmp_path / "here").mkdir(exist_ok=True)
        (tmp_path / "here" / name).write_text("raise SystemExit('a stranger')")
    monkeypatch.chdir(tmp_path / "here")
    text = main("import select, ondevice; print(os.path.dirname(ondevice.__file__), sys.flags.safe_path)")
    with program(text) as started:
        assert started.death().said == f"{Path(ondevice.__file__).parent} True"


def test_a_package_that_was_replaced_ends_it_in_one_line(program: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(child, "__version__", "0.0.1")
    with program(main("print('never')")) as started, pytest.raises(OnDeviceError) as caught:
        started.death()
    assert str(caught.value) == f"ondevice 0.0.1 was replaced by {ondevice.__version__} while it ran: start it again"


def test_what_python_says_last_is_told(program: Any) -> None:
    with program(main("raise ValueError('mine')")) as started:
        assert str(started.death()) == "(exit status 1): ValueError: mine"


def test_it_ends_or_it_does_not(program: Any) -> None:
    with program(main("os.read(0, 1)"), piped=True) as started:
        assert not started.ends(0)
        assert not started.ends(0.01)
        started.stdin.close()
        assert started.ends(60)
        assert started.ends(0)
        assert started.death().status == 0


def test_one_that_becomes_another_program_has_not_ended(program: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(child, "_ENDING_S", 0.01)
    with program(main("os.execvp('sleep', ['sleep', '600'])")) as started:
        started._lifeline.settimeout(60)
        assert started._lifeline.recv(1) == b""
        assert not started.ends(60)
        started.kill()
        assert started.ends(60)
        assert started.death().cause == "SIGKILL"


def test_it_can_be_asked_to_end(program: Any) -> None:
    with program(SLEEP) as started:
        started.terminate()
        assert started.death().cause == "SIGTERM"
        started.kill()  # which has nothing left to do
    assert started.ends(0)


@linux
def test_what_it_has_started_dies_with_it(program: Any) -> None:
    text = main(
        "import subprocess",
        "print(subprocess.Popen(['sleep', '600']).pid, flush=True)",
        "time.sleep(600)",
    )
    with program(text, piped=True) as started:
        pids = [started.pid, int(started.stdout.readline())]
        assert living(pids) == pids
    until(lambda: not living(pids))


@linux
def test_it_has_a_session_of_its_own_and_only_the_handles_that_it_is_given(program: Any) -> None:
    ours, theirs = os.pipe()
    with open(os.devnull) as other:  # noqa: PTH123  # a handle that it is not given
        os.set_inheritable(other.fileno(), True)
        names = "for name in sorted(os.listdir('/proc/self/fd'), key=int):"
        text = main(names, "    try: print(name, os.readlink('/proc/self/fd/' + name))", "    except OSError: pass")
        text += "\n    print(os.getsid(0) == os.getpid())"
        with program(text, handles=[theirs], piped=True) as started:
            lines = started.stdout.read().decode().split("\n")
    os.close(ours)
    os.close(theirs)
    assert lines[-2:] == ["True", ""]
    assert [line.split(" ")[1].split(":")[0] for line in lines[:2]] == ["pipe", "pipe"]
    # Its log, its socket to us, and the pipe.
    assert len(lines) - 2 == 5
    assert f"{theirs} pipe" in "".join(lines)


@linux
@pytest.mark.parametrize("way", ["os.kill(os.getpid(), 9)", "os._exit(0)"])
def test_it_dies_with_its_parent(tmp_path: Path, way: str) -> None:
    (tmp_path / "program.py").write_text(SLEEP)
    parent = f"import os; from ondevice.process import child; print(child.start('program').pid, flush=True); {way}"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([os.environ.get("PYTHONPATH", ""), str(tmp_path)])}
    done = subprocess.run([sys.executable, "-c", parent], stdout=subprocess.PIPE, env=environment, check=False)
    until(lambda: not living([int(done.stdout)]))


def test_a_system_that_starts_no_process_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/nonexistent")
    with pytest.raises(OnDeviceError) as caught:
        child.start("ondevice.trial")
    assert str(caught.value) == "no process can be started with /nonexistent: no such file or directory"


@linux
def test_a_signal_in_the_middle_of_starting_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: Any
) -> None:
    pids: list[int] = []

    class Interrupted(subprocess.Popen[bytes]):
        def __init__(self, *arguments: Any, **settings: Any) -> None:
            super().__init__(*arguments, **settings)
            pids.append(self.pid)
            signal.raise_signal(signal.SIGINT)

    handles, before = handle_count(), signal.getsignal(signal.SIGINT)
    monkeypatch.setattr(subprocess, "Popen", Interrupted)
    with pytest.raises(KeyboardInterrupt), program(SLEEP):
        raise AssertionError("it was not interrupted")
    assert len(pids) == 1
    assert living(pids) == []
    assert handle_count() == handles
    assert signal.getsignal(signal.SIGINT) == before


def handle_count() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def test_its_log_is_the_one_that_is_given(program: Any) -> None:
    with tempfile.TemporaryFile() as log, program(main("print('said')"), log=log) as started:
        assert started.death().said == "said"
        log.seek(0)
        assert log.read() == b"said\n"
