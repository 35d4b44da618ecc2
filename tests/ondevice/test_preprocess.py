"""From pixels to tensors: normalization and quantization against the formula."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from ondevice.models.card import Input
from ondevice.preprocess import Preprocessor
from ondevice.runtime import TensorSpec

Array = np.ndarray[Any, Any]
CHANNEL_MEANS, CHANNEL_STDS = (123.7, 116.3, 103.5), (58.4, 57.1, 57.4)


def spec(dtype: str, shape: tuple[int, ...], scale: float = 0.0, zero_point: int = 0) -> TensorSpec:
    return TensorSpec(0, shape, np.dtype(dtype), scale, zero_point)


def all_values(channels: int = 3) -> Array:
    """16 x 16 pixels in which each channel takes every value, in another order."""
    ramp = np.arange(256, dtype=np.uint8)
    return np.stack([np.roll(ramp, 50 * c) for c in range(channels)], axis=1).reshape(16, 16, channels)


def stored(pixel: int, mean: float, std: float, scale: float, zero_point: int, low: int) -> int:
    """What the class's description says of one pixel, in plain Python, halves to even as numpy rounds."""
    return min(max(round((pixel - mean) / std / scale) + zero_point, low), low + 255)


@pytest.mark.parametrize(
    ("dtype", "mean", "std", "scale", "zero_point"),
    [
        ("uint8", (127.5,), (127.5,), 0.0078125, 128),
        ("uint8", (0.0,), (255.0,), 0.00390625, 0),
        ("uint8", CHANNEL_MEANS, CHANNEL_STDS, 0.0187, 114),
        ("int8", (127.5,), (127.5,), 0.00784313, -1),
        ("int8", (0.0,), (1.0,), 1.0, -128),
        ("int8", (0.0,), (255.0,), 0.0078125, -20),
        ("int8", CHANNEL_MEANS, CHANNEL_STDS, 0.0187, -14),
    ],
)
def test_quantized_inputs_follow_the_formula(
    dtype: str, mean: tuple[float, ...], std: tuple[float, ...], scale: float, zero_point: int
) -> None:
    prepare = Preprocessor(Input(16, 16, 3, mean, std), spec(dtype, (1, 16, 16, 3), scale, zero_point))
    image = all_values()
    tensor = prepare.tensor(image)
    low = -128 if dtype == "int8" else 0
    assert (tensor.dtype, tensor.shape) == (np.dtype(dtype), (1, 16, 16, 3))
    for c in range(3):
        m, s = mean[c % len(mean)], std[c % len(std)]
        assert tensor[0, :, :, c].ravel().tolist() == [
            stored(int(p), m, s, scale, zero_point, low) for p in image[:, :, c].ravel()
        ]


def test_clipping_at_both_ends() -> None:
    narrow = Preprocessor(Input(16, 16, 1, (127.5,), (127.5,)), spec("int8", (1, 16, 16, 1), 0.001, 0))
    tensor = narrow.tensor(all_values(1)).ravel()
    assert (tensor[0], tensor[255]) == (-128, 127)
    assert np.all(np.diff(tensor.astype(int)) >= 0)


@pytest.mark.parametrize(
    ("dtype", "zero_point", "same"), [("uint8", 128, True), ("uint8", 127, False), ("int8", 0, False)]
)
def test_identity(dtype: str, zero_point: int, same: bool) -> None:
    prepare = Preprocessor(Input(16, 16, 3, (128,), (128,)), spec(dtype, (1, 16, 16, 3), 1 / 128, zero_point))
    image = all_values()
    tensor = prepare.tensor(image)
    assert np.array_equal(tensor[0], image) is same
    assert np.shares_memory(tensor, image) is same


def test_a_quantized_input_without_scale_counts_as_scale_one() -> None:
    prepare = Preprocessor(Input(16, 16, 1, (0,), (1,)), spec("uint8", (1, 16, 16, 1)))
    assert np.array_equal(prepare.tensor(all_values(1))[0], all_values(1))


@pytest.mark.parametrize(
    ("channels", "mean", "std"),
    [
        (3, (127.5,), (127.5,)),
        (3, CHANNEL_MEANS, CHANNEL_STDS),
        (3, CHANNEL_MEANS, (58.0,)),
        (3, (0.0,), CHANNEL_STDS),
        (1, (0.0,), (255.0,)),
    ],
)
@pytest.mark.parametrize("channels_first", [False, True])
def test_float_inputs(channels: int, mean: tuple[float, ...], std: tuple[float, ...], channels_first: bool) -> None:
    shape = (1, channels, 16, 16) if channels_first else (1, 16, 16, channels)
    prepare = Preprocessor(Input(16, 16, channels, mean, std), spec("float32", shape), channels_first)
    image = all_values(channels)
    tensor = prepare.tensor(image)
    assert (tensor.dtype, tensor.shape) == (np.dtype(np.float32), shape)
    for c in range(channels):
        plane = tensor[0, c] if channels_first else tensor[0, :, :, c]
        expected = (image[:, :, c].astype(float) - mean[c % len(mean)]) / std[c % len(std)]
        assert np.abs(plane - expected).max() < 1e-5


def test_channels_first_transposes() -> None:
    image = np.random.default_rng(0).integers(0, 256, (5, 7, 3)).astype(np.uint8)
    prepare = Preprocessor(Input(5, 7, 3, (128,), (128,)), spec("uint8", (1, 3, 5, 7), 1 / 128, 128), True)
    tensor = prepare.tensor(image)
    assert tensor.shape == (1, 3, 5, 7)
    assert all(tensor[0, c, y, x] == image[y, x, c] for c in range(3) for y in range(5) for x in range(7))


def test_prepare_decodes_crops_and_normalizes() -> None:
    picture = np.zeros((40, 40, 3), np.uint8)
    picture[10:30, 10:30] = 255
    prepare = Preprocessor(Input(10, 10, 3, (127.5,), (127.5,), crop=0.5), spec("float32", (1, 10, 10, 3)))
    tensor = prepare.prepare(picture)
    assert tensor.shape == (1, 10, 10, 3)
    assert np.median(tensor) == 1.0
    assert math.isclose(float(tensor[0, 5, 5, 0]), 1.0)


@pytest.mark.parametrize("cut", [32, 40, 48])
def test_a_picture_whose_centre_was_cut_out_is_seen_as_the_whole_one(cut: int) -> None:
    """As far as it shows what the model looks at."""
    whole = np.random.default_rng(1).integers(0, 256, (64, 80, 3)).astype(np.uint8)
    top, left = (64 - cut) // 2, (80 - cut) // 2
    centre = whole[top : top + cut, left : left + cut]
    prepare = Preprocessor(Input(16, 16, crop=0.5), spec("float32", (1, 16, 16, 3)))
    seen = prepare.prepare(whole)
    # Around the cut there are other pixels in the whole picture, which the filter takes a little of.
    assert np.abs(prepare.prepare(centre, cropped=cut / 64) - seen)[:, 1:-1, 1:-1].max() < 0.01
    assert np.abs(prepare.prepare(centre) - seen).max() > 0.1
