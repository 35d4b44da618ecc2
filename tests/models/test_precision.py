"""In what numbers a network computes: what lies inside counts, not what goes in and comes out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tflite import Network, colours

from ondevice.models import graph, precision
from ondevice.runtime import Executable

AS_BYTES = (0.1, 0)


def whole_numbers(path: Path, given: str, inside: str = "int8") -> Path:
    """A network that squares bytes: it takes them as they are, or floats that it makes bytes of, or other bytes."""
    net = Network()
    end = net.tensor((1, 4), given, "x", None if given == "float32" else AS_BYTES)
    at = net.operator("QUANTIZE", [end], [net.tensor((1, 4), inside, quantization=AS_BYTES)])
    at = net.operator("MUL", [at, at], [net.tensor((1, 4), inside, quantization=AS_BYTES)], kind="MulOptions")
    return net.write(path, [end], [net.operator("DEQUANTIZE", [at], [net.tensor((1, 4))])])


def weights(path: Path, dtype: str) -> Path:
    """A dense layer of floats, with weights that are stored so."""
    net, quantization = Network(), None if dtype.startswith("float") else AS_BYTES
    end, stored = net.tensor((1, 4)), net.tensor((2, 4), dtype, "w", quantization, np.ones((2, 4)))
    made = stored
    if dtype != "float32":
        made = net.operator("DEQUANTIZE", [stored], [net.tensor((2, 4))])
    out = net.operator("FULLY_CONNECTED", [end, made, -1], [net.tensor((1, 2))], kind="FullyConnectedOptions")
    return net.write(path, [end], [out])


@pytest.mark.parametrize(
    ("given", "inside", "expected"),
    [
        ("float32", "int8", "int8"),
        ("int8", "int8", "int8"),
        ("uint8", "int8", "uint8"),
        ("float32", "uint8", "uint8"),
    ],
)
def test_whole_numbers_inside_whatever_is_given(given: str, inside: str, expected: str, tmp_path: Path) -> None:
    assert precision.of(graph.read(whole_numbers(tmp_path / "net.tflite", given, inside))) == expected


@pytest.mark.parametrize(("dtype", "expected"), [("float32", "fp32"), ("float16", "fp16"), ("int8", "dynamic")])
def test_floats_inside_go_by_the_weights(dtype: str, expected: str, tmp_path: Path) -> None:
    assert precision.of(graph.read(weights(tmp_path / "net.tflite", dtype))) == expected


@pytest.mark.parametrize("quantization", [None, AS_BYTES])
def test_floats_inside_of_a_network_that_is_given_bytes(quantization: tuple[float, int] | None, tmp_path: Path) -> None:
    path = colours(tmp_path / "net.tflite", dtype="uint8", quantization=quantization)
    assert Executable(path).precision == "fp32"
