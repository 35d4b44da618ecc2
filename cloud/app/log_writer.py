"""The log's way out: a thread writes, so that a pipe that nobody reads and a full disk hold up no request."""

from __future__ import annotations

import os
import select
import threading
from collections import deque
from time import time

from ondevice.cloud.app import log_lines

# Some ten thousand lines, ten seconds of a thousand requests each; what comes while so much waits is dropped.
_MOST_BYTES = 4 << 20


class LogWriter:
    """Writes lines to a descriptor, such as standard error's, in the order in which they were put.

    What finds too much waiting, and what the system refuses to write, is dropped and counted. Writing is tried again
    with whatever comes next, and begins then with a line that says how many are missing.
    """

    def __init__(self, descriptor: int) -> None:
        # Its own: the number must not come to mean a client's socket because somebody closed the stream.
        self._descriptor = os.dup(descriptor)
        self._changed = threading.Condition()
        self._waiting: deque[bytes] = deque()
        self._waiting_bytes = 0
        self._closed = False
        self._dropped = self._told = 0
        # Whether the last line was written in part.
        self._torn = False
        # A daemon: one that is stuck in a write must not keep the process from ending.
        self._thread = threading.Thread(target=self._run, name="log", daemon=True)
        self._thread.start()

    @property
    def dropped(self) -> int:
        """How many lines were not written."""
        return self._dropped

    def put(self, lines: bytes) -> None:
        """Have whole lines written. It never waits for the writing; any thread may call it."""
        with self._changed:
            if self._closed or self._waiting_bytes + len(lines) > _MOST_BYTES:
                self._dropped += lines.count(b"\n")
                return
            self._waiting.append(lines)
            self._waiting_bytes += len(lines)
            self._changed.notify()

    def close(self, seconds: float) -> None:
        """Take no more, and wait for what is still to be written, but no longer than that."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join(seconds)

    def _run(self) -> None:
        while (lines := self._next()) is not None:
            self._write(lines)
            with self._changed:
                self._waiting_bytes -= len(lines)
        self._tell()
        os.close(self._descriptor)

    def _next(self) -> bytes | None:
        """What is to be written next, or None when that was all."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closed)
            return self._waiting.popleft() if self._waiting else None

    def _write(self, lines: bytes) -> None:
        self._tell()
        unwritten = self._written(lines)
        if unwritten:
            with self._changed:
                self._dropped += unwritten.count(b"\n")

    def _tell(self) -> None:
        """Say how many lines are missing here, if any are."""
        missing = self._dropped - self._told
        if missing:
            gap = log_lines.encode(time(), {"event": "log lines dropped", "lines": missing})
            if not self._written(gap.encode()):
                self._told += missing

    def _written(self, lines: bytes) -> bytes:
        """Write whole lines; gives what could not be written."""
        if self._torn and self._some(b"\n"):
            return lines
        return self._some(lines)

    def _some(self, rest: bytes) -> bytes:
        while rest:
            try:
                count = os.write(self._descriptor, rest)
            except BlockingIOError:  # whoever shares the pipe made it so
                select.select([], [self._descriptor], [])
            except OSError:
                return rest
            else:
                self._torn = rest[count - 1 : count] != b"\n"
                rest = rest[count:]
        return b""
