"""A process that runs a module of this package: started, watched, ended.

>>> with start("ondevice.trial", "model.tflite", "litert") as child:
...     print(child.death())

It runs this very copy of the package, whatever the working directory holds; it has a session of its own, so that Ctrl-C
in the terminal is its parent's to handle; it is given the handles that it is told of and no other; and it ends when its
parent does.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Self

from ondevice import words
from ondevice._version import __version__
from ondevice.errors import OnDeviceError
from ondevice.process import signals
from ondevice.process.death import Death, last_line
from ondevice.process.start import REPLACED

_START = str(Path(__file__).absolute().with_name("start.py"))
# Between closing its handles and its end a process has nothing to do; one that takes longer has become another program.
_ENDING_S = 1.0


class Child:
    """A running child, dead after its `with`. It prints to its log, but for standard output where that is piped."""

    def __init__(self, process: subprocess.Popen[bytes], log: IO[bytes], lifeline: socket.socket) -> None:
        self._process, self._log, self._lifeline = process, log, lifeline

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.end()

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def stdin(self) -> IO[bytes]:
        """Its standard input, where it is piped."""
        assert self._process.stdin is not None
        return self._process.stdin

    @property
    def stdout(self) -> IO[bytes]:
        """Its standard output, where it is piped."""
        assert self._process.stdout is not None
        return self._process.stdout

    def ends(self, within_s: float) -> bool:
        """Whether it ends within so many seconds; 0 asks whether it has."""
        left_s = _ENDING_S
        try:
            self._lifeline.settimeout(within_s)
            # It closes when the child dies, which is noticed at once; waiting for a process looks every 50 ms.
            self._lifeline.recv(1)
        except OSError:
            left_s = 0.0
        try:
            self._process.wait(left_s)
        except subprocess.TimeoutExpired:
            return False
        return True

    def death(self) -> Death:
        """How it ended, once it has. Raises OnDeviceError where the package was replaced after this process began."""
        death = Death(self._process.wait(), last_line(self._log))
        if death.status == REPLACED:
            raise OnDeviceError(death.said)
        return death

    def terminate(self) -> None:
        """Ask it to end, by SIGTERM."""
        self._process.terminate()

    def kill(self) -> None:
        """End it, whatever it does, and what it has started in its group."""
        if self._process.returncode is None:  # its number is its own until it was waited for
            # macOS forbids it for what has ended already.
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)

    def end(self) -> None:
        """Kill it, and close all that belongs to it, its log too."""
        self.kill()
        self._process.wait()
        for handle in (self._process.stdin, self._process.stdout, self._lifeline, self._log):
            if handle is not None:
                with contextlib.suppress(BrokenPipeError):
                    handle.close()


def start(
    module: str,
    *arguments: str,
    log: IO[bytes] | None = None,
    piped: bool = False,
    handles: Sequence[int] = (),
    environment: Mapping[str, str] | None = None,
) -> Child:
    """Start a process that runs the `main()` of a module of this package; the caller has to `end` it, or use `with`.

    log: where it prints to; None: a file that nobody sees. piped: it has pipes for standard input and output, else
    nothing to read and its log. handles: descriptors that it gets, under the same numbers. environment: what is added.
    Raises OnDeviceError where the system does not let us.
    """
    log = log or tempfile.TemporaryFile()  # noqa: SIM115  # the child's, which outlives this function
    with contextlib.ExitStack() as undone:
        undone.callback(log.close)
        ours, theirs = socket.socketpair()
        undone.callback(ours.close)
        with signals.held():  # in the middle of starting one, nobody would know that it runs
            command = [sys.executable, "-P", _START, str(theirs.fileno()), __version__, module, *arguments]
            with theirs:
                process = _popen(command, log, piped, (theirs.fileno(), *handles), environment or {})
            child = Child(process, log, ours)
            undone.callback(child.end)
        undone.pop_all()
    return child


def _popen(
    command: Sequence[str], log: IO[bytes], piped: bool, handles: Sequence[int], environment: Mapping[str, str]
) -> subprocess.Popen[bytes]:
    pipe = subprocess.PIPE if piped else None
    try:
        return subprocess.Popen(
            command,
            stdin=pipe or subprocess.DEVNULL,
            stdout=pipe or log,
            stderr=log,
            pass_fds=handles,
            env={**os.environ, **environment},
            start_new_session=True,
        )
    except OSError as error:
        raise OnDeviceError(f"no process can be started with {command[0]}: {words.reason(error)}") from error
