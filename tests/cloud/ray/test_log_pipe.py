"""The log's way from replicas to the command."""

from __future__ import annotations

import os
import threading
from pathlib import Path

from ondevice.cloud.ray.log_pipe import LogPipe


def write(path: Path, text: bytes) -> None:
    """As a replica does, which has the pipe open for that long."""
    with path.open("wb") as pipe:
        pipe.write(text)


def test_lines_of_several_writers_come_in_whole(tmp_path: Path) -> None:
    told, path = tmp_path / "told", tmp_path / "log"
    with told.open("wb") as stream:
        pipe = LogPipe(path, stream.fileno())
        write(path, b'{"a": 1}\n')
        write(path, b'{"b": 2}\n')
        pipe.close(30.0)
    assert told.read_bytes() == b'{"a": 1}\n{"b": 2}\n'
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_log_that_nobody_reads_holds_up_nobody(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    pipe = LogPipe(tmp_path / "log", writing)
    os.close(reading)
    os.close(writing)
    for _ in range(3):
        write(tmp_path / "log", b"x" * 60_000)
    pipe.close(30.0)
    assert "log pipe" not in [thread.name for thread in threading.enumerate()]
