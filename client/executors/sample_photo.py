"""A picture that is like a photo to decode, for measuring what this device takes before the first request."""

from __future__ import annotations

import io
from functools import cache

import numpy as np
from PIL import Image

# Pixels: as ImageNet's photos.
_SIZE = (400, 350)


@cache
def sample_photo() -> bytes:
    """A JPEG of smooth noise."""
    made = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 256, (_SIZE[1] // 8, _SIZE[0] // 8, 3), np.uint8)
    Image.fromarray(noise).resize(_SIZE).save(made, "JPEG")
    return made.getvalue()
