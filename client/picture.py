"""A picture that is to be sent, and what is sent of it."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from ondevice import reading, words
from ondevice.errors import ImageError
from ondevice.image import MAX_BYTES, ImageSource, describe
from ondevice.protocol.rung import Rung

# Of files that endpoints read as they are: how they begin, and their type.
_KINDS = {
    b"\xff\xd8\xff": "image/jpeg",
    b"\x89PNG\r\n": "image/png",
    b"RIFF": "image/webp",
    b"GIF8": "image/gif",
    b"BM": "image/bmp",
    b"II*\0": "image/tiff",
    b"MM\0*": "image/tiff",
}


class Upload(NamedTuple):
    """What is sent of a picture. kind: its media type. rung: what it was made; None: it is the file. cropped: the share
    of the shorter side that was cut out. told: whether the endpoint is told that.
    """

    body: bytes
    kind: str
    rung: Rung | None = None
    cropped: float = 1.0
    told: bool = False

    @property
    def text(self) -> str:
        """In a word."""
        return self.rung.text if self.rung else "file"


class Picture:
    """One picture to be sent. Raises ImageError for what cannot be read."""

    def __init__(self, source: ImageSource) -> None:
        self.source = source
        self._file: bytes | None = None
        self._loaded = False

    @property
    def file(self) -> bytes | None:
        """Its file, if it is of a kind that endpoints read; None for pixels and other files."""
        if not self._loaded:
            self.load()
        return self._file

    @property
    def loaded(self) -> bool:
        """Whether `file` is there without reading anything."""
        return self._loaded or not isinstance(self.source, str | Path)

    @property
    def regular(self) -> bool:
        """Whether reading it comes to an end: not that of a pipe or a device."""
        return not isinstance(self.source, str | Path) or reading.ends(self.source)

    def load(self) -> None:
        """Have `file` there, which reads it. Raises ImageError.

        Not a cached_property: those have one lock for all pictures, and one slow file would hold up everybody's.
        """
        data = b""
        if isinstance(self.source, bytes):
            data = self.source
            _check(len(data), data)
        elif isinstance(self.source, str | Path):
            data = _read(Path(self.source))
        self._file = data if self._kind_of(data) else None
        self._loaded = True

    @property
    def readable(self) -> ImageSource:
        """Its file if that was read already, else the source."""
        return self._file or self.source

    @property
    def kind(self) -> str:
        """The file's media type."""
        return self._kind_of(self.file or b"")

    @staticmethod
    def _kind_of(data: bytes) -> str:
        return next((kind for start, kind in _KINDS.items() if data.startswith(start)), "")


def _check(size_bytes: int, source: ImageSource) -> None:
    if size_bytes > MAX_BYTES:
        raise ImageError(f"{describe(source)}: over {MAX_BYTES >> 20} MiB; make it smaller first", source)


def _read(path: Path) -> bytes:
    try:
        return reading.whole(path, MAX_BYTES)
    except reading.EndlessError as error:
        raise ImageError(f"{describe(path)}: {error}; make it smaller first", path) from error
    except (OSError, ValueError) as error:  # a name with a zero in it is a ValueError
        said = words.reason(error)
        if isinstance(error, FileNotFoundError):
            said = "no such file"
        raise ImageError(f"{describe(path)}: {said}", path) from error
