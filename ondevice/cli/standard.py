"""The three standard streams, as they may be found: closed, full, without a reader, in another encoding.

What cannot be written to standard output is an error, told in one place; what cannot be written to standard error is
lost, for there is nowhere else to tell it.
"""

from __future__ import annotations

import contextlib
import io
import os
import select
import signal
import sys
from typing import Any

from ondevice import words
from ondevice.cli import interrupts
from ondevice.errors import OnDeviceError

# For a closed stream something is opened that refuses what the stream is for, as a closed one does. It keeps the number
# from the next file or socket that is opened: libuv aborts where it gets one of these three.
_CLOSED = ((0, os.O_WRONLY), (1, os.O_RDONLY), (2, os.O_WRONLY))


class WrittenOnce(io.FileIO):
    """A descriptor of which what was written is known, whenever Ctrl-C comes, or a SIGTERM that is handled: buffers
    write again what they take for not written.
    """

    def write(self, data: Any) -> int:
        """Write all of data, as there is room, or what was written before a signal; gives how many bytes."""
        whole, done = memoryview(data).cast("B"), list[int]()
        try:
            # Not nothing: typer tries so what kind of stream it is, and takes an error for the answer.
            while (at := sum(done)) < len(whole) and self._put(whole[at:], done):
                pass
        except (KeyboardInterrupt, SystemExit) as raised:
            if not done:
                raise
            if isinstance(raised, KeyboardInterrupt):
                interrupts.press_again()
            else:  # which only a handler of SIGTERM raises here
                interrupts.come_again(signal.SIGTERM)
            return sum(done)
        return len(whole)

    def _put(self, data: memoryview, done: list[int]) -> bool:
        """Write of it what there is room for, and note that in done; whether to go on."""
        # All in C, where no signal is heard between the one and the other.
        done.extend(filter(None, map(super().write, (data,))))
        return True


class OutputFile(WrittenOnce):
    """Standard output's descriptor. Raises OnDeviceError, once, for what cannot be written; what comes then is lost.

    Raises BrokenPipeError without a reader.
    """

    _failed = False

    def _put(self, data: memoryview, done: list[int]) -> bool:
        if self._failed:
            return False
        before = len(done)
        try:
            super()._put(data, done)
        except BrokenPipeError:
            raise
        except OSError as error:
            self._failed = True
            raise OnDeviceError(f"standard output cannot be written to: {words.reason(error)}") from error
        if len(done) == before:  # there is no room in a pipe that its other users have made non-blocking
            select.select((), (self,), ())
        return True


class NotesFile(WrittenOnce):
    """Standard error's descriptor; what cannot be written is lost."""

    def _put(self, data: memoryview, done: list[int]) -> bool:
        before = len(done)
        with contextlib.suppress(OSError):
            super()._put(data, done)
        return len(done) > before


def secure() -> None:
    """Have all three open, and what is printed to them handled, from now on.

    What a terminal's or a pipe's encoding lacks, and names that are not text, are printed as an escape: labels, file
    names and our own dashes are `\\u9b5a` in the place of a traceback, as standard error has it anyway.
    """
    for number, way in _CLOSED:
        _occupy(number, way)
    if sys.stdin is None:
        sys.stdin = io.TextIOWrapper(io.BufferedReader(io.FileIO(0, "rb", closefd=False)))
    sys.stdout = _rewired(sys.stdout, 1, OutputFile)
    sys.stderr = _rewired(sys.stderr, 2, NotesFile)


def _occupy(number: int, way: int) -> None:
    try:
        os.fstat(number)
    except OSError:
        os.open(os.devnull, way)  # it gets the lowest number that is free, which is this one
        os.set_inheritable(number, True)


def _rewired(stream: Any, number: int, kind: type[io.FileIO]) -> Any:
    """The stream on a descriptor of that kind; one that is not the system's is somebody's own, and left as it is."""
    if stream is None:
        raw = kind(number, "wb", closefd=False)
        return io.TextIOWrapper(io.BufferedWriter(raw), "utf-8", "backslashreplace", line_buffering=number == 2)
    if type(stream) is not io.TextIOWrapper or _number(stream) != number:
        return stream
    stream.flush()
    raw = kind(number, "wb", closefd=False)
    # Without buffers with `python -u`.
    buffer: Any = raw if stream.write_through else io.BufferedWriter(raw)
    return io.TextIOWrapper(
        buffer,
        stream.encoding,
        "backslashreplace",
        line_buffering=stream.line_buffering,
        write_through=stream.write_through,
    )


def _number(stream: io.TextIOWrapper) -> int | None:
    try:
        return stream.fileno()
    except (OSError, ValueError):
        return None
