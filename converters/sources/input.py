"""How pictures become a file's input: its size and its range of values, from the file and from what is asked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ondevice.converters.job import ConversionJob
from ondevice.errors import ConvertError, UsageError
from ondevice.models.card import Input


def input_of(path: Path, shape: Any, rescales: bool, job: ConversionJob) -> Input:
    """The input of the network in `path`, whose shape is [pictures, height, width, channels], None where it is open.

    rescales: whether it takes pixels as they are. Raises ConvertError for what is not a picture, UsageError for what
    the job has to say.
    """
    if len(shape) != 4 or shape[3] not in (1, 3):
        raise ConvertError(f"{path}: its input is {list(shape)}, not [pictures, height, width, 3 or 1]")
    height, width = (given or job.side for given in shape[1:3])
    if not height or not width:
        raise UsageError(f"{path}: its input has no fixed size ({list(shape)}): give --size PIXELS")
    if job.side and (height, width) != (job.side, job.side):
        raise UsageError(f"{path}: its input is {height} x {width}, so --size {job.side} cannot be had")
    low, high = job.value_range or ((0.0, 255.0) if rescales else (0.0, 0.0))
    if low >= high:
        raise UsageError(f"{path} does not say what values it takes: give --range=-1,1 or --range 0,1 or --range 0,255")
    std = 255 / (high - low)
    return Input(height, width, shape[3], (-low * std,), (std,), job.crop)
