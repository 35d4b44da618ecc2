"""What a compressed picture says of itself in its header: format and pixels, read without decoding anything."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import Any, NamedTuple

# What is larger as decoded is refused once its header is read: as many as phones' cameras have, and 150 MB as pixels,
# which a Raspberry Pi with 1 GB can still hold.
MAX_PIXELS = 50_000_000
# What libjpeg can make a JPEG smaller by while it decodes it; Pillow has no other.
_SCALES = (8, 4, 2)
# A scaled picture has so many pixels a side for each of the network's. With 1 the tensor is 2 levels off what the whole
# picture gives, and every eighth answer of a small network another; with 2.5 it is 0.3 off, and hardly more answers
# change than when the last bit of every hundredth value does. More would cost the scale of 1/8, and with it a third of
# the time, for a camera's 3000 lines and a network of 128.
_ROOM = 2.5
# Cameras write some twenty segments before a JPEG's size, and TIFF files have some thirty tags: only attacks have more.
_MOST_SEGMENTS, _MOST_TAGS = 256, 256
# Of a JPEG whose header has not been seen: photos from the web and from phones have two to four pixels a byte.
_PIXELS_PER_BYTE = 3
# JPEG's markers that begin a frame, and so have its size.
_FRAMES = frozenset({0xC0, 0xC1, 0xC2, 0xC3, 0xC5, 0xC6, 0xC7, 0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF})
# Those of them whose frames come in several scans.
_PROGRESSIVE = frozenset({0xC2, 0xC6, 0xCA, 0xCE})
# TIFF's tags of the size.
_WIDTH, _HEIGHT = 256, 257
# The types that a TIFF's size may have, 16 or 32 bits, and how `struct` reads them.
_TIFF_TYPES = {3: "H", 4: "I"}


class PictureFormat(StrEnum):
    """The formats whose decoding takes clearly different times for a pixel; OTHER: all that are hardly compressed."""

    JPEG = "jpeg"
    PROGRESSIVE = "progressive"
    PNG = "png"
    WEBP = "webp"
    GIF = "gif"
    OTHER = "other"

    # Enum's own is written in Python, and every request's times are looked up by its picture.
    __hash__ = str.__hash__


class PictureHead(NamedTuple):
    """A compressed picture's format and size in pixels, as its header has them, and its length in bytes.

    cropped: the share of a picture's shorter side that it shows, cut out of the centre, as its sender says. What is not
    read is taken for OTHER with a pixel a byte: the decoder will say what is wrong with it.
    """

    format: PictureFormat
    width: int
    height: int
    size_bytes: int
    cropped: float = 1.0

    @property
    def pixels(self) -> int:
        """How many pixels it has, at least one."""
        return max(self.width * self.height, 1)

    @classmethod
    def read(cls, payload: bytes, cropped: float = 1.0) -> PictureHead:
        """From the picture's bytes, of which only the header is looked at; never raises."""
        found = next((reader for magic, reader in _READERS.items() if payload.startswith(magic)), None)
        try:
            known = found(payload) if found else None
        except (struct.error, IndexError):  # it ends within its header
            known = None
        return cls(*(known or (PictureFormat.OTHER, len(payload), 1)), len(payload), cropped)

    @classmethod
    def guessed(cls, size_bytes: int) -> PictureHead:
        """Of a picture that has not been sent yet: most are photos."""
        return cls(PictureFormat.JPEG, _PIXELS_PER_BYTE * size_bytes, 1, size_bytes)

    @classmethod
    def told(cls, fields: Sequence[Any]) -> PictureHead:
        """From another process of ours: the fields, in their order, as JSON has them."""
        kind, *numbers = fields
        return cls(PictureFormat(kind), *numbers)


def jpeg_scale(size: tuple[int, int], ratio: float) -> int:
    """By how much a JPEG of this (width, height) is made smaller while it is decoded: 1, 2, 4 or 8.

    ratio: how many of its pixels, a side, there are for each of the network's. So many are left that the tensor is
    hardly another one; only what would have more than MAX_PIXELS then is scaled as far as it has one for each.
    """
    scale = next((scale for scale in _SCALES if scale * _ROOM <= ratio), 1)
    while size[0] * size[1] > MAX_PIXELS * scale**2 and 2 * scale <= min(ratio, _SCALES[0]):
        scale *= 2
    return scale


_Known = tuple[PictureFormat, int, int]


def _jpeg(data: bytes) -> _Known | None:
    at = 2
    for _ in range(_MOST_SEGMENTS):
        if data[at] != 0xFF:
            return None
        marker = data[at + 1]
        if marker in _FRAMES:
            height, width = struct.unpack_from(">HH", data, at + 5)
            return (PictureFormat.PROGRESSIVE if marker in _PROGRESSIVE else PictureFormat.JPEG), width, height
        # Bytes of 0xFF may fill up what is before a marker.
        at += 1 if marker == 0xFF else 2 + struct.unpack_from(">H", data, at + 2)[0]
    return None


def _png(data: bytes) -> _Known:
    width, height = struct.unpack_from(">II", data, 16)
    return PictureFormat.PNG, width, height


def _gif(data: bytes) -> _Known:
    width, height = struct.unpack_from("<HH", data, 6)
    return PictureFormat.GIF, width, height


def _webp(data: bytes) -> _Known | None:
    chunk = data[12:16]
    if data[8:12] != b"WEBP":
        return None
    if chunk == b"VP8 ":
        width, height = (size & 0x3FFF for size in struct.unpack_from("<HH", data, 26))
    elif chunk == b"VP8L":
        (bits,) = struct.unpack_from("<I", data, 21)
        width, height = (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    elif chunk == b"VP8X":
        struct.unpack_from("<6s", data, 24)
        width, height = (int.from_bytes(data[at : at + 3], "little") + 1 for at in (24, 27))
    else:
        return None
    return PictureFormat.WEBP, width, height


def _bmp(data: bytes) -> _Known:
    width, height = struct.unpack_from("<ii" if data[14] > 12 else "<HH", data, 18)
    return PictureFormat.OTHER, abs(width), abs(height)


def _tiff(data: bytes) -> _Known | None:
    order = "<" if data[:2] == b"II" else ">"
    (at,) = struct.unpack_from(f"{order}I", data, 4)
    (count,) = struct.unpack_from(f"{order}H", data, at)
    sizes: dict[int, int] = {}
    for entry in range(at + 2, at + 2 + 12 * min(count, _MOST_TAGS), 12):
        tag, kind = struct.unpack_from(f"{order}HH", data, entry)
        if tag in (_WIDTH, _HEIGHT) and kind in _TIFF_TYPES:
            (sizes[tag],) = struct.unpack_from(order + _TIFF_TYPES[kind], data, entry + 8)
    return (PictureFormat.OTHER, sizes[_WIDTH], sizes[_HEIGHT]) if len(sizes) == 2 else None


# By how a file begins. PPM is not among them: it is not compressed, and its bytes tell enough.
_READERS: dict[bytes, Callable[[bytes], _Known | None]] = {
    b"\xff\xd8": _jpeg,
    b"\x89PNG\r\n\x1a\n": _png,
    b"RIFF": _webp,
    b"GIF8": _gif,
    b"BM": _bmp,
    b"II*\0": _tiff,
    b"MM\0*": _tiff,
}
# How pictures begin whose header is read here; no JSON begins so.
STARTS = tuple(_READERS)
