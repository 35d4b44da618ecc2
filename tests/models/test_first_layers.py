"""What a network wants of pixels, seen from its first operators."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tflite import Network, colours

from ondevice.models import classifier, first_layers

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


@pytest.mark.parametrize(
    ("scaling", "wanted"),
    [
        ([("MUL", 1 / 255)], (0, 255)),
        ([("DIV", 255.0)], (0, 255)),
        ([("MUL", 1 / 127.5), ("SUB", 1.0)], (0, 255)),
        ([("SUB", 127.5), ("DIV", 127.5)], (0, 255)),
        ([("MUL", 0.5), ("ADD", 0.5)], (-1, 1)),
        ([("MUL", 255.0)], (0, 1)),
        ([("SUB", IMAGENET[0]), ("DIV", IMAGENET[1])], (0, 1)),
        ([("MUL", 1 / 255), ("SUB", IMAGENET[0]), ("DIV", IMAGENET[1])], (0, 255)),
        ([], None),
        ([("MUL", 1.0)], None),
    ],
)
def test_the_numbers_say_it(scaling: list[tuple[str, Any]], wanted: tuple[float, float] | None, tmp_path: Path) -> None:
    path = colours(tmp_path / "net.tflite", scaling=scaling)
    assert first_layers.value_range(classifier.read(path)) == wanted


@pytest.mark.parametrize(
    ("dtype", "quantization", "wanted"),
    [
        ("int8", (2 / 255, 0), (-1, 1)),
        ("uint8", (1 / 255, 0), (0, 1)),
        ("int8", (1.0, -128), (0, 255)),
        ("int8", (0.0187, -14), None),
    ],
)
def test_so_does_what_the_input_is_quantized_to(
    dtype: str, quantization: tuple[float, int], wanted: tuple[float, float] | None, tmp_path: Path
) -> None:
    net = Network()
    given = net.tensor((1, 4, 4, 3))
    stored = net.operator("QUANTIZE", [given], [net.tensor((1, 4, 4, 3), dtype, quantization=quantization)])
    real = net.operator("DEQUANTIZE", [stored], [net.tensor((1, 4, 4, 3))])
    flat = net.operator("MEAN", [real, net.constant([1, 2], "int32")], [net.tensor((1, 3))], kind="ReducerOptions")
    path = net.write(tmp_path / "net.tflite", [given], [flat])
    assert first_layers.value_range(classifier.read(path)) == wanted


@pytest.mark.parametrize(("scaled", "wanted"), [(1 / 255, (0, 255)), (1 / 127.5, (0, 255)), (1.0, None), (0.1, None)])
@pytest.mark.parametrize("name", ["CONV_2D", "DEPTHWISE_CONV_2D"])
@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_so_do_filters_into_which_the_scaling_was_multiplied(
    name: str, dtype: str, scaled: float, wanted: tuple[float, float] | None, tmp_path: Path
) -> None:
    shape = (6, 3, 3, 3) if name == "CONV_2D" else (1, 3, 3, 6)
    filters = np.random.default_rng(0).normal(0, 0.2, shape) * scaled
    net = Network()
    given, seen, flat = net.tensor((1, 8, 8, 3)), net.tensor((1, 8, 8, 6)), net.tensor((1, 6))
    held = net.constant(filters, dtype)
    if dtype != "float32":
        held = net.operator("DEQUANTIZE", [held], [net.tensor(shape)])
    options = "Conv2DOptions" if name == "CONV_2D" else "DepthwiseConv2DOptions"
    net.operator(name, [given, held, net.constant(np.zeros(6))], [seen], kind=options, strideH=1, strideW=1)
    net.operator("MEAN", [seen, net.constant([1, 2], "int32")], [flat], kind="ReducerOptions")
    path = net.write(tmp_path / "net.tflite", [given], [flat])
    assert first_layers.value_range(classifier.read(path)) == wanted


@pytest.mark.parametrize("weights", [np.zeros((2, 3)), np.float32(1e-6), None])
def test_filters_of_nothing_say_nothing(weights: Any, tmp_path: Path) -> None:
    net = Network()
    given, seen = net.tensor((1, 1, 1, 3)), net.tensor((1, 2))
    held = [] if weights is None else [net.constant(weights)]
    net.operator("FULLY_CONNECTED", [given, *held], [seen], kind="FullyConnectedOptions")
    path = net.write(tmp_path / "net.tflite", [given], [seen])
    assert first_layers.value_range(classifier.read(path)) is None


def test_what_is_done_in_two_ways_says_nothing(tmp_path: Path) -> None:
    net = Network()
    given = net.tensor((1, 4, 4, 3))
    halves = [
        net.operator("MUL", [given, net.constant(factor)], [net.tensor((1, 4, 4, 3))], kind="MulOptions")
        for factor in (1 / 255, 1 / 127.5)
    ]
    both = net.operator("ADD", halves, [net.tensor((1, 4, 4, 3))], kind="AddOptions")
    flat = net.operator("MEAN", [both, net.constant([1, 2], "int32")], [net.tensor((1, 3))], kind="ReducerOptions")
    path = net.write(tmp_path / "net.tflite", [given], [flat])
    assert first_layers.value_range(classifier.read(path)) is None


def test_a_constant_less_the_picture_says_nothing(tmp_path: Path) -> None:
    net = Network()
    given = net.tensor((1, 4, 4, 3))
    turned = net.operator("SUB", [net.constant(255.0), given], [net.tensor((1, 4, 4, 3))], kind="SubOptions")
    flat = net.operator("MEAN", [turned, net.constant([1, 2], "int32")], [net.tensor((1, 3))], kind="ReducerOptions")
    path = net.write(tmp_path / "net.tflite", [given], [flat])
    assert first_layers.value_range(classifier.read(path)) is None
