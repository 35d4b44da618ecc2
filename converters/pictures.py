"""Pictures to calibrate on and to check with: chosen evenly, and prepared by the runner's own pipeline."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ondevice.errors import ImageError, UsageError, naming
from ondevice.image import pixels
from ondevice.models.card import Input
from ondevice.preprocess import Normalization
from ondevice.sources import expand

Images = NDArray[np.uint8]


class Loaded(NamedTuple):
    """Decoded pictures [n, height, width, channels], their files, and how many could not be read."""

    images: Images
    paths: tuple[str, ...]
    unreadable: int


def listed(folder: str, flag: str) -> tuple[tuple[str, ...], int]:
    """The pictures of a folder by their names, and how many other files it holds. Raises UsageError for none."""
    if not Path(folder).is_dir():
        raise UsageError(f"{flag} {folder}: no such folder")
    with naming(flag):
        return expand([folder])


def even(paths: Sequence[str], size: int, seed: int) -> tuple[str, ...]:
    """`size` of the paths, evenly spaced, the seed choosing where to begin; all, where there are no more."""
    n = len(paths)
    if n <= size:
        return tuple(paths)
    begin = np.random.default_rng(seed).integers(0, n // size)
    return tuple(paths[int(begin + i * n / size)] for i in range(size))


def load(paths: Sequence[str], wanted: Input) -> Loaded:
    """Decode pictures as the runner does. Raises UsageError where none can be read."""
    images, good = [], []
    for path in paths:
        try:
            images.append(pixels(path, wanted))
            good.append(path)
        except ImageError:
            continue
    if not images:
        raise UsageError(f"none of {len(paths)} pictures can be read, such as {paths[0]}")
    return Loaded(np.stack(images), tuple(good), len(paths) - len(good))


def noise(count: int, wanted: Input, seed: int) -> Images:
    """Random pixels, where answers do not matter."""
    shape = (count, wanted.height, wanted.width, wanted.channels)
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


def tensors(images: Images, wanted: Input) -> NDArray[np.float32]:
    """The real-valued inputs [n, height, width, channels] of pictures, red first, as a float model takes them."""
    return Normalization.of(wanted)(images[..., ::-1] if wanted.bgr else images)
