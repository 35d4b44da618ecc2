"""What a command says when it does not do what it was asked to."""

from __future__ import annotations

import subprocess


def one_line_error(stderr: str) -> str:
    """The one line that stands there, an error."""
    lines = stderr.splitlines()
    assert len(lines) == 1, stderr
    assert lines[0].startswith("ondevice: error: ")
    return lines[0]


def one_line(done: subprocess.CompletedProcess[str], status: int) -> str:
    """The error of a command that printed nothing else."""
    assert (done.stdout, done.returncode) == ("", status), done.stderr
    return one_line_error(done.stderr)
