"""A picture and a tensor of ours that a model is tried and timed with, before anybody has sent one."""

from __future__ import annotations

import io
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from ondevice.runtime import TensorSpec

# The side of the picture that a model whose size is not known is tried with: larger inputs are nobody's.
_PIXELS = 1024


def sample_picture(shape: Sequence[int]) -> bytes:
    """A JPEG of soft noise in about the size that an input of this shape takes."""
    return _noise(min(max(shape[1:3]), _PIXELS))


def sample_tensor(spec: TensorSpec) -> np.ndarray[Any, Any]:
    """Noise that an input takes as it is."""
    values = np.random.default_rng(0).integers(0, 100, spec.shape)
    return values.astype(spec.dtype) if spec.dtype != np.float32 else (values / np.float32(100)).astype(np.float32)


@lru_cache(8)  # a set has models of a few sizes, each measured again and again
def _noise(size: int) -> bytes:
    from PIL import Image

    noise = np.random.default_rng(0).integers(0, 256, (size // 8 + 1, size // 8 + 1, 3), np.uint8)
    jpeg = io.BytesIO()
    Image.fromarray(noise).resize((size, size)).save(jpeg, "JPEG")
    return jpeg.getvalue()
