"""Which classes the scores of a model put first."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ondevice.models.output import Meaning


def best(stored: NDArray[Any], top: int) -> NDArray[np.intp]:
    """The indexes of the `top` greatest of the stored scores [classes], equal ones in the order of their index.

    Quantized scores are compared as they are stored. Raises ValueError where one is not a number (NaN).
    """
    if stored.dtype.kind == "f":
        if np.isnan(stored).any():
            raise ValueError("one of its scores is not a number (NaN)")
        descending = -stored
    else:
        descending = ~stored  # turns the order round as - does for floats; of uint8, - would not
    return np.argsort(descending, kind="stable")[:top]


def two_classes(values: NDArray[Any], meaning: Meaning) -> NDArray[np.float32]:
    """The scores [..., 2] of two classes, 1 - p and p, from the one real output [..., 1] of a network.

    meaning: whether that is the probability p of class 1, or its logit.
    """
    p = np.asarray(values, np.float64)
    if meaning is Meaning.LOGIT:
        p = 1 / (1 + np.exp(-np.clip(p, -500, 500)))  # within what a float64 holds
    return np.concatenate([1 - p, p], axis=-1).astype(np.float32)
