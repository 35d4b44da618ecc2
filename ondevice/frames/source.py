"""Where frames come from."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Generator, Iterable, Iterator

from ondevice.errors import ImageError
from ondevice.frames.jpegs import MAX_FRAME_BYTES, JpegSplitter
from ondevice.image import ImageSource


class FrameSource(ABC):
    """Gives pictures as they come, to whoever iterates over it, once.

    name: what it is called to a person, without passwords. broken: pictures that were begun and did not come whole.
    lost: how often a link was lost and taken up again.
    """

    broken = lost = 0

    def __init__(self, name: str) -> None:
        self.name = name
        self._closing = threading.Event()

    @abstractmethod
    def __iter__(self) -> Iterator[ImageSource]:
        """The pictures; each is waited for. Raises OnDeviceError where none come."""

    def close(self) -> None:
        """From any thread: no more are wanted."""
        self._closing.set()

    def _split(self, pieces: Iterable[bytes]) -> Generator[bytes, None, None]:
        """The JPEG pictures in these bytes. Raises ImageError where there are none in as many as the largest may have,
        or none at all.
        """
        splitter, before = JpegSplitter(), self.broken
        try:
            for piece in pieces:
                for frame in splitter.feed(piece):
                    yield frame
                    if self._closing.is_set():
                        return
                self.broken = before + splitter.broken
                self._check_first(splitter)
        except Exception:  # it was cut, and with it the picture that had begun
            splitter.end()
            self.broken = before + splitter.broken
            raise
        splitter.end()
        self.broken = before + splitter.broken
        if not splitter.frames:
            came = "pictures came, but none was whole" if splitter.broken else "it ended before a JPEG picture came"
            raise ImageError(f"{self.name}: {came}", self.name)

    def _check_first(self, splitter: JpegSplitter) -> None:
        """Raise ImageError where so much came without a picture that none will."""
        if not splitter.frames and splitter.skipped_bytes > MAX_FRAME_BYTES:
            raise ImageError(f"{self.name}: no JPEG picture in the first {MAX_FRAME_BYTES >> 20} MiB", self.name)
