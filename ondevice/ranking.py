"""Which classes the scores of a model put first."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


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
