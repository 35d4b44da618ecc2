"""Random input of any model's own shapes and dtypes, in the ranges that TFLite's benchmark_model draws from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ondevice.runtime import TensorSpec

# Ends of the ranges, the high one left out, here and below as benchmark_model has them, so that times compare.
_REAL = (-0.5, 0.5)
# Quantized values: nearly all that there are.
_INTEGERS = {"uint8": (0, 255), "int8": (-127, 128)}
# All other integers may be places in a table, and tables may be small.
_OTHER_INTEGERS = (0, 100)
_TEXT = b"random"


def tensors(specs: Sequence[TensorSpec], rng: np.random.Generator) -> list[np.ndarray[Any, Any]]:
    """A tensor for each input."""
    return [_tensor(spec, rng) for spec in specs]


def _tensor(spec: TensorSpec, rng: np.random.Generator) -> np.ndarray[Any, Any]:
    if spec.dtype.kind == "b":
        return rng.integers(0, 2, spec.shape).astype(bool)
    if spec.dtype.kind in "iu":
        low, high = _INTEGERS.get(str(spec.dtype), _OTHER_INTEGERS)
        return rng.integers(low, high, spec.shape).astype(spec.dtype)
    if spec.dtype.kind in "fc":
        return rng.uniform(*_REAL, spec.shape).astype(spec.dtype)
    return np.full(spec.shape, _TEXT)
