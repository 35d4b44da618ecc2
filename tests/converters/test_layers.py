"""Looking inside files: layers as real numbers, and the layer at which two files of one network part."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from ondevice.converters import layers, pictures
from ondevice.converters.export import Save, once, saver, tensorflow, to_tflite
from ondevice.converters.layers import Inside
from ondevice.models import zoo
from ondevice.models.card import Input

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
WANTED = Input(32, 32, 3)
IMAGES = pictures.noise(4, WANTED, 0)


def network() -> Any:
    """Four convolutions with as many filters as no other has."""
    pytest.importorskip("tensorflow")
    keras = tensorflow().keras
    keras.utils.set_random_seed(1)
    kinds = keras.layers
    convolutions = [kinds.Conv2D(n, 3, activation="relu", name=f"with_{n}") for n in (8, 12, 16, 20)]
    return keras.Sequential([keras.Input((32, 32, 3)), *convolutions, kinds.GlobalAveragePooling2D(), kinds.Dense(10)])


@pytest.fixture(scope="module")
def save() -> Iterator[Save]:
    with once(saver(network())) as kept:
        yield kept


@pytest.fixture(scope="module")
def good(save: Save) -> bytes:
    return to_tflite(save, "fp32")


def broken_at(name: str) -> bytes:
    """The same network with a layer of other weights."""
    model = network()
    layer = model.get_layer(name)
    layer.set_weights([np.roll(layer.get_weights()[0], 1, axis=3), layer.get_weights()[1]])
    return to_tflite(saver(model), "fp32")


@pytest.mark.parametrize("filters", [12, 20])
def test_the_layer_that_is_broken_is_found(filters: int, good: bytes) -> None:
    said = layers.first_growth(good, broken_at(f"with_{filters}"), WANTED, IMAGES)
    assert said.startswith("the error grows first at operator ")
    assert "CONV_2D '" in said
    inside = Inside(good, WANTED)
    number = int(said.removeprefix("the error grows first at operator ").split(",")[0])
    assert next(layer for layer in inside.layers if layer.number == number).shape[-1] == filters
    assert said.endswith("of its output's spread, 0.02 before it")


def test_a_file_is_as_good_as_itself(good: bytes) -> None:
    assert layers.first_growth(good, good, WANTED, IMAGES) == ""


def test_int8_that_is_calibrated_well_has_no_such_layer(good: bytes, save: Save) -> None:
    content = to_tflite(save, "int8", pictures.tensors(IMAGES, WANTED)[:, None])
    assert layers.first_growth(good, content, WANTED, IMAGES) == ""


def test_int8_that_is_calibrated_on_pictures_that_are_too_dark(good: bytes, save: Save) -> None:
    content = to_tflite(save, "int8", pictures.tensors(IMAGES, WANTED)[:, None] / 100)
    said = layers.first_growth(good, content, WANTED, IMAGES)
    number = int(said.removeprefix("the error grows first at operator ").split(",")[0])
    first = Inside(content, WANTED).layers[0]
    assert (first.kind, first.number) == ("CONV_2D", number)


@pytest.mark.parametrize("size", ["xs", "s", "m"])
def test_the_bundled_int8_models_drift_nowhere(size: str) -> None:
    good, int8 = (zoo.find(f"digits_{size}_{precision}") for precision in ("fp32", "int8"))
    paths = [str(path) for path in sorted(zoo.samples_dir().glob("*/*.png"))[::50]]
    images = pictures.load(paths, good.card.input).images
    assert layers.first_growth(good.path.read_bytes(), int8.path.read_bytes(), good.card.input, images) == ""


def test_logits_are_what_goes_into_the_softmax() -> None:
    entry = zoo.find("digits_s_fp32")
    images = pictures.load([str(path) for path in sorted(zoo.samples_dir().glob("7/*.png"))], entry.card.input).images
    logits = layers.logits(entry.path.read_bytes(), entry.card.input, images)
    inside = Inside(entry.path.read_bytes(), entry.card.input)
    powers = np.exp(logits)
    for row, image in zip(powers / powers.sum(axis=1, keepdims=True), images, strict=True):
        inside.run(image)
        np.testing.assert_allclose(inside.value(inside.layers[-1]), row, atol=1e-5)


def test_values_of_an_int8_file_are_real_numbers() -> None:
    entry = zoo.find("digits_s_int8")
    inside = Inside(entry.path.read_bytes(), entry.card.input)
    inside.run(pictures.load([str(next(zoo.samples_dir().glob("7/*.png")))], entry.card.input).images[0])
    scores = inside.value(inside.layers[-1])
    assert scores.sum() == pytest.approx(1, abs=0.05)
    assert all(layer.kind not in ("QUANTIZE", "DEQUANTIZE") for layer in inside.layers)
