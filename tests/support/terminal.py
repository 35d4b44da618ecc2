"""The command line in front of a terminal: what a person at it sees."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest


def in_a_terminal(*arguments: object, **environment: str) -> tuple[str, str, int]:
    """What `ondevice` prints, what a terminal gets on standard error, and the exit status."""
    pty = pytest.importorskip("pty")
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "ondevice", *map(str, arguments)]
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "120", "LINES": "40", **environment}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=theirs, text=True, env=environment) as process:
        os.close(theirs)
        shown = b""
        while piece := _read(ours):
            shown += piece
        os.close(ours)
        assert process.stdout
        return process.stdout.read(), shown.decode(), process.wait()


def result_in_a_terminal(*arguments: object) -> tuple[str, int]:
    """What a terminal gets on standard output, and the exit status."""
    pty = pytest.importorskip("pty")
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "ondevice", *map(str, arguments)]
    with subprocess.Popen(command, stdout=theirs, stderr=subprocess.DEVNULL) as process:
        os.close(theirs)
        shown = b""
        while piece := _read(ours):
            shown += piece
        os.close(ours)
        return shown.decode(), process.wait()


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65536)
    except OSError:  # Linux's way to say that nobody writes to it any more
        return b""
