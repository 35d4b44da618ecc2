"""What is sent of a picture: its file, or only as much as the endpoint's models look at, whichever is there sooner."""

from __future__ import annotations

import io
import math
import stat
from pathlib import Path
from time import perf_counter
from typing import NamedTuple

from PIL import Image

from ondevice import words
from ondevice.errors import ImageError
from ondevice.image import MAX_BYTES, ImageSource, describe, pixels
from ondevice.models.card import Input
from ondevice.timing.recent import Recent

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
# What scaled pictures are sent as. At 90 JPEG's own loss is small beside that of scaling; a 256 x 256 photo takes some
# 20 kB.
_JPEG, _QUALITY = "image/jpeg", 90
# Models look at no less than this share of the shorter side: the usual centre crop.
_CROP = 0.875
# Before any picture was scaled: bytes a pixel of JPEG at that quality, and the time for one, ms, as on a slow phone.
_BYTES_A_PIXEL, _SCALING_MS = 0.35, 8.0


class Upload(NamedTuple):
    """What is sent of a picture. kind: its media type."""

    body: bytes
    kind: str


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
        return not isinstance(self.source, str | Path) or not _is_special(Path(self.source))

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

    def scaled(self, side: int) -> tuple[Upload, float]:
        """A JPEG of the centre, upright, side x side pixels, and how long that took, ms. Raises ImageError."""
        start = perf_counter()
        array = pixels(self.source if self.file is None else self.file, Input(side, side, crop=1.0))
        made = io.BytesIO()
        Image.fromarray(array).save(made, "JPEG", quality=_QUALITY)
        return Upload(made.getvalue(), _JPEG), (perf_counter() - start) * 1e3

    @staticmethod
    def _kind_of(data: bytes) -> str:
        return next((kind for start, kind in _KINDS.items() if data.startswith(start)), "")


class Scaling:
    """What scaling takes, and how large what comes of it is, as seen lately."""

    def __init__(self) -> None:
        self._took, self._bytes_a_pixel = Recent([_SCALING_MS]), Recent([_BYTES_A_PIXEL])

    def expect(self, side: int) -> tuple[float, int]:
        """The time, ms, and the size, bytes, to expect of a picture of side x side pixels."""
        return self._took.distribution.mean_ms, round(self._bytes_a_pixel.distribution.mean_ms * side * side)

    def learn(self, side: int, took_ms: float, size_bytes: int) -> None:
        """Learn from a picture that was scaled to side x side pixels."""
        self._took.add(took_ms)
        self._bytes_a_pixel.add(size_bytes / (side * side))


def side_for(model_side: int) -> int:
    """The side of what is sent, so that a model of this input side loses nothing to the usual centre crop."""
    return math.ceil(model_side / _CROP)


def _check(size_bytes: int, source: ImageSource) -> None:
    if size_bytes > MAX_BYTES:
        raise ImageError(f"{describe(source)}: over {MAX_BYTES >> 20} MiB; make it smaller first", source)


def _is_special(path: Path) -> bool:
    """Whether it is a pipe, a device or the like."""
    try:
        kind = path.stat().st_mode
    except (OSError, ValueError):  # who reads it says so
        return False
    return not (stat.S_ISREG(kind) or stat.S_ISDIR(kind))


def _read(path: Path) -> bytes:
    try:
        _check(path.stat().st_size, path)
        if not _is_special(path):
            return path.read_bytes()
        with path.open("rb") as file:  # which may have no end
            data = file.read(MAX_BYTES + 1)
        _check(len(data), path)
        return data
    except (OSError, ValueError) as error:  # a name with a zero in it is a ValueError
        said = words.reason(error)
        if isinstance(error, FileNotFoundError):
            said = "no such file"
        raise ImageError(f"{describe(path)}: {said}", path) from error
