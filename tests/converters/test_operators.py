"""What costs time in a file: read off graphs of known operators."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ondevice.converters.export import saver, tensorflow, to_tflite
from ondevice.converters.operators import Operators
from ondevice.models import zoo

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


@pytest.fixture(scope="module")
def turned() -> Any:
    """A network that turns its pictures twice, and takes a sine, for which TFLite has no int8 kernel."""
    pytest.importorskip("tensorflow")
    keras = tensorflow().keras
    kinds = keras.layers
    inputs = keras.Input((8, 8, 3))
    x = kinds.Conv2D(4, 3, activation="relu")(inputs)
    x = kinds.Conv2D(4, 3, activation="relu")(kinds.Permute((2, 1, 3))(x))
    x = keras.ops.sin(kinds.Permute((2, 1, 3))(x) + 1.0)
    return keras.Model(inputs, kinds.Dense(10)(kinds.Flatten()(x)))


def read(folder: Path, content: bytes) -> Operators:
    path = folder / "net.tflite"
    path.write_bytes(content)
    return Operators.read(path)


def test_transposes_are_counted(turned: Any, tmp_path: Path) -> None:
    assert read(tmp_path, to_tflite(saver(turned), "fp32")).transposes == 2


def test_a_file_in_int8_throughout_has_no_floats() -> None:
    path = zoo.find("digits_s_int8").path
    assert Operators.read(path) == (0, 0, "")


def test_all_that_computes_in_a_float_file_is_counted_by_its_kind(turned: Any, tmp_path: Path) -> None:
    found = read(tmp_path, to_tflite(saver(turned), "fp32"))
    assert found.floats == sum(int(part.split()[0]) for part in found.kinds.split(", "))
    assert {"2 CONV_2D", "1 SIN", "2 TRANSPOSE"} <= {*found.kinds.split(", ")}


# What AI Edge Quantizer reads activations with says so.
@pytest.mark.filterwarnings("ignore:Warning. Enabling:UserWarning")
def test_what_an_int8_file_computes_in_floats_is_named(turned: Any, tmp_path: Path) -> None:
    from ondevice.converters import quantization

    images = np.random.default_rng(0).random((4, 1, 8, 8, 3), np.float32)
    found = read(tmp_path, quantization.int8(to_tflite(saver(turned), "fp32"), list(images), "int8"))
    assert 0 < found.floats < 3
    assert "SIN" in found.kinds
