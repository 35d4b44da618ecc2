"""How pictures become a file's input: its size and its range of values, from the file and from what is asked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ondevice.converters.job import ConversionJob
from ondevice.errors import ConvertError, UsageError
from ondevice.models.card import Input
from ondevice.models.value_range import Range

# What people train themselves sees whole pictures; a smaller part is taken in ImageNet's evaluation.
_CROP = 1.0


def size_of(path: Path, shape: Any, job: ConversionJob) -> tuple[int, int, int]:
    """Height, width and channels of the pictures that the network in `path` takes.

    shape: its input's, [pictures, height, width, channels], None where it is open. Raises ConvertError for what is not
    a picture, UsageError for a size that the job has to say, or that cannot be had.
    """
    if len(shape) != 4 or shape[3] not in (1, 3):
        raise ConvertError(f"{path}: its input is {list(shape)}, not [pictures, height, width, 3 or 1]")
    height, width = (given or job.side for given in shape[1:3])
    if not height or not width:
        raise UsageError(f"{path}: its input has no fixed size ({list(shape)}): give --size PIXELS")
    if job.side and (height, width) != (job.side, job.side):
        raise UsageError(f"{path}: its input is {height} x {width}, so --size {job.side} cannot be had")
    return height, width, shape[3]


def input_of(path: Path, size: tuple[int, int, int], own: Range | None, job: ConversionJob) -> Input:
    """The input of the network in `path`, for pictures of `size`.

    own: the range of pixels that the network itself wants, where it tells. Raises UsageError where the job has to say.
    """
    low, high = job.value_range or own or (0.0, 0.0)
    if low >= high:
        raise UsageError(f"{path} does not say what values it takes: give --range=-1,1 or --range 0,1 or --range 0,255")
    std = 255 / (high - low)
    crop = _CROP if job.crop is None else job.crop
    return Input(*size, mean=(0.0 - low * std,), std=(std,), crop=crop)
