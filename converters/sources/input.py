"""How pictures become a file's input: its size and its range of values, from the file and from what is asked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ondevice.converters.job import ConversionJob
from ondevice.errors import ConvertError, UsageError
from ondevice.models.card import Input
from ondevice.models.value_range import Range, normalization

_WHOLE = 1.0


def size_of(path: Path | str, shape: Any, job: ConversionJob) -> tuple[int, int, int]:
    """Height, width and channels of the pictures that the network in `path` takes.

    shape: its input's, [pictures, height, width, channels], or [pictures, height, width] for grey ones; None where it
    is open. Raises ConvertError for what is not a picture, UsageError for a size that the job has to say, or that
    cannot be had.
    """
    channels = shape[3] if len(shape) == 4 else 1
    if len(shape) not in (3, 4) or channels not in (1, 3):
        raise ConvertError(f"{path}: its input is {list(shape)}, not [pictures, height, width, 3 or 1]")
    height, width = (given or job.side for given in shape[1:3])
    if not height or not width:
        raise UsageError(f"{path}: its input has no fixed size ({list(shape)}): give --size PIXELS")
    if job.side and (height, width) != (job.side, job.side):
        raise UsageError(f"{path}: its input is {height} x {width}, so --size {job.side} cannot be had")
    return height, width, channels


def input_of(path: Path | str, size: tuple[int, int, int], own: Range | None, job: ConversionJob) -> Input:
    """The input of the network in `path`, for pictures of `size`.

    own: the range of pixels that the network itself wants, where it tells. Of the pictures it takes the whole, unless
    the job says a crop: see `ondevice.converters.material.cropped`. Raises UsageError where the job has to say.
    """
    values = job.normalization or (normalization(own) if own else None)
    if values is None:
        raise UsageError(f"{path} does not say what values it takes: give --range=-1,1 or --range 0,1 or --range 0,255")
    crop = _WHOLE if job.crop is None else job.crop
    try:
        return Input(*size, *values, crop, bool(job.bgr))
    except ValueError as error:
        raise UsageError(f"{path}: {error}") from error
