"""Files read whole that may have no end: devices, pipes that nobody writes to, what is larger than anybody meant.

Every file that a person names and that is read whole is read here. What can be a pipe, such as a shell's `<(command)`,
is read to its end, and given up when nothing comes. A leaf.
"""

from __future__ import annotations

import os
import select
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic
from typing import BinaryIO

# As large as the largest picture that is read. A table of so much text has millions of lines, and takes a gigabyte of
# memory as such.
MOST_BYTES = 64 << 20
# From a pipe whose writer does something, something comes within that; a person that waits for longer looks for the
# fault.
SILENCE_S = 10.0
# The first bytes of what is read; a usual picture or table is done with it.
_PIECE_BYTES = 1 << 18


class EndlessError(OSError):
    """A file that has no end as far as can be told. Its text says so in a few words."""


class TooLargeError(EndlessError):
    """A file of more bytes than anybody meant: `over 64 MiB`."""


def whole(path: str | Path, most_bytes: int = MOST_BYTES) -> bytes:
    """What is in the file. Raises EndlessError, other OSErrors, and ValueError for a name that none can have."""
    with _opened(path) as handle:
        found = os.fstat(handle)
        if stat.S_ISREG(found.st_mode):
            _check(found.st_size, most_bytes)
        pieces: list[bytes] = []
        size = 0
        for piece in _pieces(handle, stat.S_ISFIFO(found.st_mode)):
            pieces.append(piece)
            size += len(piece)
            _check(size, most_bytes)
    return b"".join(pieces)


def text(path: str | Path, encoding: str = "utf-8", errors: str = "strict") -> str:
    """The text in the file, line ends as Python has them. Raises as `whole` does, and UnicodeDecodeError."""
    return whole(path).decode(encoding, errors).replace("\r\n", "\n").replace("\r", "\n")


def stream(file: BinaryIO, most_bytes: int = MOST_BYTES) -> bytes:
    """What comes out of an open file, however long that takes. Raises EndlessError, other OSErrors."""
    found = file.read(most_bytes + 1)
    _check(len(found), most_bytes)
    return found


def ends(path: str | Path) -> bool:
    """Whether reading it comes to an end by itself: not that of a pipe or a device. What is not there has its end."""
    try:
        kind = os.stat(path).st_mode  # noqa: PTH116 - Path takes no names that are too long
    except (OSError, ValueError):  # who reads it says so
        return True
    return stat.S_ISREG(kind) or stat.S_ISDIR(kind)


@contextmanager
def _opened(path: str | Path) -> Iterator[int]:
    # Opening a pipe would wait for its writer.
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        yield handle
    finally:
        os.close(handle)


def _pieces(handle: int, pipe: bool) -> Iterator[bytes]:
    """What is read of it, to its end. Raises EndlessError where that does not come."""
    begun = not pipe
    waits_until = monotonic() + SILENCE_S
    while True:
        try:
            piece = os.read(handle, _PIECE_BYTES)
        except BlockingIOError:  # its writer has nothing to say now
            _wait(handle, waits_until)
            continue
        if not piece and begun:
            return
        if not piece:  # its writer has not come yet, or has gone without a word
            if _wait(handle, waits_until) & select.POLLHUP:
                return
            continue
        yield piece
        begun = True
        waits_until = monotonic() + SILENCE_S


def _wait(handle: int, until: float) -> int:
    """Wait for something to read, or the end; gives poll's word. Raises EndlessError where nothing comes until then."""
    waiting = select.poll()
    waiting.register(handle, select.POLLIN)
    found = waiting.poll(max(until - monotonic(), 0.0) * 1e3)
    if not found:
        raise EndlessError(f"nothing came out of it for {SILENCE_S:g} s")
    return found[0][1]


def _check(size_bytes: int, most_bytes: int) -> None:
    if size_bytes > most_bytes:
        raise TooLargeError(f"over {most_bytes / (1 << 20):g} MiB")
