"""A picture that a model of another server is tried and timed with, before anybody has sent one."""

from __future__ import annotations

import io

import numpy as np

from ondevice.protocol.metadata import TensorMetadata

# The side of the picture that a model whose size is not known is tried with: larger inputs are nobody's.
_PIXELS = 1024


def sample_picture(tensor: TensorMetadata) -> bytes:
    """A JPEG of soft noise in about the size that the model takes."""
    from PIL import Image

    size = min(max(tensor.shape[1:3]), _PIXELS)
    noise = np.random.default_rng(0).integers(0, 256, (size // 8 + 1, size // 8 + 1, 3), np.uint8)
    jpeg = io.BytesIO()
    Image.fromarray(noise).resize((size, size)).save(jpeg, "JPEG")
    return jpeg.getvalue()
