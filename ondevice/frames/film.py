"""A film, played by ffmpeg at its own pace, as if a camera had taken it now."""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import subprocess
import threading
from collections import deque
from collections.abc import Iterable, Iterator
from pathlib import Path

from ondevice.errors import ImageError, MissingError
from ondevice.frames.source import FrameSource

_LOG = logging.getLogger(__name__)
# What a pipe of Linux holds.
_PIECE_BYTES = 64 << 10
# Of ffmpeg's complaints the last lines are kept: the first is about the file, and a broken one has a line a frame.
_LINES = 5
# It has no more to write, and says its last within milliseconds; so long at most is waited for that.
_ENDING_S = 2.0
# ffmpeg's scale of JPEG quality, 2 (best) to 31: 3 is about JPEG's 90, with which photos lose no right answer.
_QUALITY = "3"


class Film(FrameSource):
    """path: of any file that ffmpeg reads. Raises MissingError where ffmpeg is not there."""

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self._ffmpeg = shutil.which("ffmpeg")
        if self._ffmpeg is None:
            raise MissingError(f"{path}: films need ffmpeg: `sudo apt install ffmpeg`, `pkg install ffmpeg`", "ffmpeg")
        self._process: subprocess.Popen[bytes] | None = None

    def __iter__(self) -> Iterator[bytes]:
        with self._playing() as process, contextlib.closing(self._split(_pieces(process))) as frames:
            said = LastLines(process.stderr or ())
            said.start()
            try:
                yield from frames
            except ImageError as error:
                if why := said.last(process):
                    raise ImageError(f"{self.name}: {why}", self.name) from error
                raise
            if why := said.last(process):
                _LOG.warning("%s: %s", self.name, why)

    def close(self) -> None:
        """End ffmpeg, too."""
        super().close()
        if self._process:
            self._process.kill()

    @contextlib.contextmanager
    def _playing(self) -> Iterator[subprocess.Popen[bytes]]:
        with subprocess.Popen(
            self._command(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        ) as process:
            self._process = process
            try:
                yield process
            finally:
                process.kill()

    def _command(self) -> list[str]:
        """-re: at the film's pace. Of protocols files alone: a playlist in a film's clothes names others."""
        shown = ["-nostdin", "-loglevel", "error", "-re", "-protocol_whitelist", "file,pipe"]
        file = f"file:{Path(self.name).absolute()}"
        jpegs = ["-map", "0:v:0", "-c:v", "mjpeg", "-q:v", _QUALITY, "-f", "mjpeg", "pipe:1"]
        return [str(self._ffmpeg), *shown, "-i", file, *jpegs]


def _pieces(process: subprocess.Popen[bytes]) -> Iterator[bytes]:
    """What comes, as soon as it does."""
    assert process.stdout is not None
    while piece := os.read(process.stdout.fileno(), _PIECE_BYTES):
        yield piece


class LastLines(threading.Thread):
    """Reads all lines, which empties their pipe, and keeps the last."""

    def __init__(self, pipe: Iterable[bytes]) -> None:
        super().__init__(name="ondevice-ffmpeg", daemon=True)
        self.lines: deque[str] = deque(maxlen=_LINES)
        self._pipe = pipe

    def last(self, process: subprocess.Popen[bytes]) -> str:
        """What it had to say of why it ends now; nothing, if all is well."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_ENDING_S)
        process.kill()
        self.join(_ENDING_S)
        return f"ffmpeg says: {self.lines[-1]}" if self.lines else ""

    def run(self) -> None:
        """Until the end."""
        with contextlib.suppress(ValueError):  # closed meanwhile
            for line in self._pipe:
                self.lines.append(line.decode(errors="replace").strip())
