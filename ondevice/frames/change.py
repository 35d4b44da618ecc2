"""Whether a frame shows something else than the last one did."""

from __future__ import annotations

from typing import Any

import numpy as np

from ondevice.errors import ImageError, UsageError
from ondevice.image import ImageSource, pixels
from ondevice.models.card import Input

# What is compared: a grey picture so many pixels a side. Each stands for some 8 x 8 of a small camera's, which
# averages its noise away; a hand in the picture is still several.
_SIDE = 64
# A pixel differs from here on, of 255: JPEG and a camera's noise of 10 move such averages by less than 8 (see
# tests/ondevice/frames/test_change.py), a lamp or a person by far more.
_LEVELS = 16
_GREY = Input(_SIDE, _SIDE, channels=1, crop=1.0)


class ChangeFilter:
    """Lets a frame pass where at least that share of it differs from the last that passed, so that slow changes add up.

    What is compared is the centre square, which is what models look at. share: over 0, up to 1. Raises UsageError.
    """

    def __init__(self, share: float) -> None:
        if not 0 < share <= 1:
            raise UsageError(f"changed must be a share of the picture, over 0 and up to 1, such as 0.02, not {share:g}")
        self._share = share
        self._last: np.ndarray[Any, np.dtype[np.int16]] | None = None

    def passes(self, source: ImageSource) -> bool:
        """Whether it does. What cannot be read passes: who classifies it says what is wrong."""
        try:
            seen = pixels(source, _GREY).astype(np.int16)
        except ImageError:
            return True
        if self._last is not None and (abs(seen - self._last) >= _LEVELS).mean() < self._share:
            return False
        self._last = seen
        return True
