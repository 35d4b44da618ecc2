"""Random input of any shape and dtype, in the ranges of benchmark_model."""

from __future__ import annotations

import numpy as np
import pytest

from ondevice.random_input import tensors
from ondevice.runtime import TensorSpec


@pytest.mark.parametrize(
    ("dtype", "low", "high"),
    [
        ("float32", -0.5, 0.5),
        ("float16", -0.5, 0.5),
        ("uint8", 0, 254),
        ("int8", -127, 127),
        ("int16", 0, 99),
        ("int32", 0, 99),
        ("int64", 0, 99),
        ("bool", 0, 1),
    ],
)
def test_the_ranges_are_benchmark_models(dtype: str, low: float, high: float) -> None:
    (tensor,) = tensors([TensorSpec(0, (1, 100, 100), np.dtype(dtype), 0, 0)], np.random.default_rng(0))
    assert (tensor.shape, tensor.dtype) == ((1, 100, 100), np.dtype(dtype))
    assert tensor.min() == pytest.approx(low, abs=0.001)
    assert tensor.max() == pytest.approx(high, abs=0.001)


def test_texts_are_texts() -> None:
    (tensor,) = tensors([TensorSpec(0, (2,), np.dtype("S"), 0, 0)], np.random.default_rng(0))
    assert tensor.tolist() == [b"random"] * 2


def test_a_seed_repeats() -> None:
    spec = TensorSpec(0, (4,), np.dtype("float32"), 0, 0)
    first, again = (tensors([spec, spec], np.random.default_rng(1)) for _ in range(2))
    assert np.array_equal(first, again)
    assert not np.array_equal(*first)
