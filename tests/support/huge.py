"""Pictures that are small to send and take much to decode."""

from __future__ import annotations

import io
import struct
import zlib
from functools import cache

from PIL import Image


@cache
def huge() -> bytes:
    """A valid WebP of 49 megapixels in some 87 kB: 770 MB in a worker, and seconds."""
    file = io.BytesIO()
    Image.new("RGB", (7000, 7000), (90, 120, 150)).save(file, "WEBP", method=0)
    assert len(file.getvalue()) < 200_000
    return file.getvalue()


def black_png(side: int) -> bytes:
    """A valid PNG of side x side one-bit pixels, which deflate to next to nothing."""
    pack, row = zlib.compressobj(9), bytes(1 + (side + 7) // 8)
    return png(side, side, 1, 0, b"".join([*(pack.compress(row) for _ in range(side)), pack.flush()]))


def png(width: int, height: int, depth: int, colour: int, rows: bytes) -> bytes:
    """A PNG with compressed `rows`, whatever they hold."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
