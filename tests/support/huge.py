"""A picture that is small to send and takes much to decode."""

from __future__ import annotations

import io
from functools import cache

from PIL import Image


@cache
def huge() -> bytes:
    """A valid WebP of 49 megapixels in some 87 kB: 770 MB in a worker, and seconds."""
    file = io.BytesIO()
    Image.new("RGB", (7000, 7000), (90, 120, 150)).save(file, "WEBP", method=0)
    assert len(file.getvalue()) < 200_000
    return file.getvalue()
