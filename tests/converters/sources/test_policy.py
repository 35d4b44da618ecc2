"""Networks that were trained in other floats than float32, in float32."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from ondevice.converters.export import saver, tensorflow, to_tflite
from ondevice.converters.layers import Inside
from ondevice.converters.sources.policy import in_float32, retyped
from ondevice.models.card import Input

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
PICTURES = np.random.default_rng(0).random((4, 16, 16, 3), np.float32)


@pytest.fixture(scope="module", autouse=True)
def _tensorflow() -> None:
    pytest.importorskip("tensorflow")


def network(policy: str) -> Any:
    """One with a nested one, operators between, and statistics that are no training's beginning."""
    keras = tensorflow().keras
    keras.config.set_dtype_policy(policy)
    try:
        kinds = keras.layers
        inputs = keras.Input((16, 16, 3))
        x = keras.Sequential([kinds.RandomFlip(), kinds.Rescaling(2.0)])(inputs) - 1.0
        x = keras.Sequential([kinds.Conv2D(4, 3), kinds.BatchNormalization(), kinds.DepthwiseConv2D(3)])(x)
        x = kinds.Dense(3, activation="softmax", dtype="float32")(kinds.Flatten()(x))
        model = keras.Model(inputs, x)
    finally:
        keras.config.set_dtype_policy("float32")
    model.set_weights([weights + 0.1 for weights in model.get_weights()])
    return model


@pytest.mark.parametrize(
    ("policy", "worst"), [("mixed_float16", 5e-3), ("float16", 5e-3), ("mixed_bfloat16", 5e-2), ("float64", 1e-6)]
)
def test_the_weights_are_the_same_and_all_computes_in_float32(policy: str, worst: float) -> None:
    before = network(policy)
    after = in_float32(before)
    for old, new in zip(before.get_weights(), after.get_weights(), strict=True):
        np.testing.assert_allclose(np.asarray(new, np.float32), np.asarray(old, np.float32), rtol=1e-6)
    np.testing.assert_allclose(after(PICTURES, training=False), before(PICTURES, training=False), atol=worst)
    assert {tensor.dtype for tensor in (*after.inputs, *after.outputs)} == {"float32"}
    assert {variable.dtype for variable in after.weights} == {"float32"}


def test_no_cast_is_left_in_the_file() -> None:
    inside = Inside(to_tflite(saver(in_float32(network("mixed_float16"))), "fp32"), Input(16, 16, 3))
    assert {layer.kind for layer in inside.layers} & {"CAST"} == set()


def test_a_float32_network_is_left_alone() -> None:
    model = network("float32")
    assert in_float32(model) is model


def test_what_is_retyped() -> None:
    policy = {"module": "keras", "class_name": "DTypePolicy", "config": {"name": "mixed_float16"}}
    config = {"layers": [{"config": {"dtype": policy}}, {"dtype": "float16", "name": "float16"}], "dtype": "uint8"}
    assert retyped(config) == {
        "layers": [{"config": {"dtype": "float32"}}, {"dtype": "float32", "name": "float16"}],
        "dtype": "uint8",
    }
