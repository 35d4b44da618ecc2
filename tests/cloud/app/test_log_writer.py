"""The thread that writes the log: into pipes that are full, disks that are, and on when they no longer are."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("httptools", reason="needs the extra: pip install 'ondevice-cnn[serve]'")

from serving import until

from ondevice.cloud.app import log_writer
from ondevice.cloud.app.log_writer import LogWriter

PATIENCE_S = 30.0
LINE = b'{"event": "request", "number": %6d}\n'


class Pipe:
    """A pipe that nobody reads until somebody does; `writer` writes into it."""

    def __init__(self) -> None:
        self.reading, self.writing = os.pipe()
        self.writer = LogWriter(self.writing)

    def read(self) -> bytes:
        """All that is written until the writer is closed and done."""
        os.close(self.writing)
        pieces = []
        while piece := os.read(self.reading, 65536):
            pieces.append(piece)
        return b"".join(pieces)


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    made = Pipe()
    yield made
    for descriptor in (made.reading, made.writing):
        with contextlib.suppress(OSError):
            os.close(descriptor)


def events(text: bytes) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines() if line.startswith(b"{") and line.endswith(b"}")]


def closed(writer: LogWriter) -> threading.Thread:
    """Closing it, which takes as long as the reading does."""
    thread = threading.Thread(target=writer.close, args=(PATIENCE_S,))
    thread.start()
    return thread


def test_what_is_put_is_written_in_order(pipe: Pipe) -> None:
    for number in range(10_000):
        pipe.writer.put(LINE % number)
    closing = closed(pipe.writer)
    assert [event["number"] for event in events(pipe.read())] == list(range(10_000))
    closing.join()
    assert pipe.writer.dropped == 0


def test_a_full_pipe_holds_up_nobody_and_what_is_dropped_is_told(pipe: Pipe, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_writer, "_MOST_BYTES", 100 * len(LINE % 0))
    many = 50_000  # 1.9 MB, and a pipe takes 64 kB
    for number in range(many):
        pipe.writer.put(LINE % number)
    dropped = pipe.writer.dropped
    assert dropped > many / 2
    closing = closed(pipe.writer)
    found = events(pipe.read())
    closing.join()
    gaps = [event["lines"] for event in found if event["event"] == "log lines dropped"]
    assert sum(gaps) == pipe.writer.dropped == many - (len(found) - len(gaps))


def test_closing_does_not_wait_for_who_never_reads(pipe: Pipe) -> None:
    pipe.writer.put(bytes(1 << 20) + b"\n")
    pipe.writer.close(0.1)
    pipe.writer.put(b"late\n")
    assert pipe.writer.dropped == 1
    assert os.read(pipe.reading, 1) == b"\0"


def test_a_pipe_whose_reader_has_gone_costs_the_lines_alone(pipe: Pipe) -> None:
    os.close(pipe.reading)
    pipe.writer.put(LINE % 1 + LINE % 2)
    until(lambda: pipe.writer.dropped == 2)
    pipe.writer.put(LINE % 3)
    pipe.writer.close(PATIENCE_S)
    assert pipe.writer.dropped == 3


def test_a_pipe_that_does_not_block_is_waited_for(pipe: Pipe) -> None:
    os.set_blocking(pipe.writing, False)
    pipe.writer.put(b"".join(LINE % number for number in range(10_000)))
    closing = closed(pipe.writer)
    assert len(events(pipe.read())) == 10_000
    closing.join()
    assert pipe.writer.dropped == 0


@contextlib.contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """As on a full disk, a write is cut short at that size, and the next fails."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_after_a_full_disk_it_writes_on_and_says_what_is_missing(tmp_path: Path) -> None:
    path = tmp_path / "log"
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT)
    writer = LogWriter(descriptor)
    size = len(LINE % 0)
    with files_of_at_most(2 * size + 10):
        writer.put(b"".join(LINE % number for number in range(5)))
        until(lambda: writer.dropped == 3)
        writer.put(LINE % 5)
        until(lambda: writer.dropped == 4)
        assert path.stat().st_size == 2 * size + 10
    writer.put(LINE % 6)
    writer.close(PATIENCE_S)
    os.close(descriptor)
    first, second, torn, gap, last = path.read_bytes().splitlines()
    assert [first, second, last] == [(LINE % number).rstrip() for number in (0, 1, 6)]
    assert torn == (LINE % 2)[:10]
    assert (json.loads(gap)["event"], json.loads(gap)["lines"]) == ("log lines dropped", 4)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a disk without room")
def test_no_room_at_all(tmp_path: Path) -> None:
    with Path("/dev/full").open("wb", buffering=0) as full:
        writer = LogWriter(full.fileno())
        writer.put(LINE % 1)
        writer.close(PATIENCE_S)
    assert writer.dropped == 1
