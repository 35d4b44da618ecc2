"""MJPEG from a pipe: what `rpicam-vid --codec mjpeg -o -` and `ffmpeg -f mjpeg -` write."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Generator, Iterator

from ondevice import words
from ondevice.errors import UsageError
from ondevice.frames.source import FrameSource

# As much as a pipe of Linux holds: one call takes all that there is.
_PIECE_BYTES = 64 << 10
_STDIN = "-"


class MjpegPipe(FrameSource):
    """path: a named pipe, or a file; `-` is standard input. Raises UsageError where it cannot be opened."""

    def __init__(self, path: str) -> None:
        super().__init__(f"mjpeg:{path}")
        self._path = path
        if path == _STDIN and os.isatty(0):
            raise UsageError(f"{self.name} reads a pipe, as in `rpicam-vid --codec mjpeg -t 0 -o - | ondevice …`")
        if path != _STDIN and not os.path.lexists(path):
            raise UsageError(f"{self.name}: no such file or pipe")
        if path != _STDIN and stat.S_ISDIR(os.stat(path).st_mode):  # noqa: PTH116
            raise UsageError(f"{self.name} is a folder: --watch takes folders")

    def __iter__(self) -> Iterator[bytes]:
        with contextlib.closing(self._pieces()) as pieces:
            yield from self._split(pieces)

    def _pieces(self) -> Generator[bytes, None, None]:
        """What comes, as soon as it does. Not by `sys.stdin`, whose lock a thread that waits keeps to the end."""
        try:
            descriptor = 0 if self._path == _STDIN else os.open(self._path, os.O_RDONLY)
            try:
                while piece := os.read(descriptor, _PIECE_BYTES):
                    yield piece
            finally:
                if descriptor:
                    os.close(descriptor)
        except OSError as error:
            raise UsageError(f"{self.name}: {words.reason(error)}") from error
