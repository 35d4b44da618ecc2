"""A network as its conversion sees it: what it is given, what it answers, and what its only output means."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ondevice.converters.export import tensorflow, to_tflite
from ondevice.converters.job import ConversionJob
from ondevice.converters.layers import Inside
from ondevice.converters.pictures import noise
from ondevice.converters.sources.opening import open_source
from ondevice.models.output import Meaning

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
RANGE = (0.0, 1.0)


@pytest.fixture(scope="module", autouse=True)
def _tensorflow() -> None:
    pytest.importorskip("tensorflow")


def saved(folder: Path, *last: Any, shape: tuple[int, ...] = (8, 8, 3)) -> tuple[Any, str]:
    """A network that ends so, and its file."""
    keras = tensorflow().keras
    keras.utils.set_random_seed(3)
    model = keras.Sequential([keras.Input(shape), keras.layers.Flatten(), *last])
    model.save(folder / "net.keras")
    return model, str(folder / "net.keras")


def kinds() -> Any:
    return tensorflow().keras.layers


def test_one_sigmoid_is_the_probability_of_the_second_of_two_classes(tmp_path: Path) -> None:
    model, path = saved(tmp_path, kinds().Dense(4), kinds().Dense(1, activation="sigmoid"))
    source = open_source(ConversionJob(path, "", value_range=RANGE))
    assert (source.meaning, source.classes) == (Meaning.PROBABILITY, 2)
    images = noise(3, source.input, 0)
    p = np.asarray(model(images.astype(np.float32) / 255))
    np.testing.assert_allclose(source.predict(images), np.hstack([1 - p, p]), atol=1e-6)


def test_one_output_without_a_sigmoid_is_its_logit(tmp_path: Path) -> None:
    model, path = saved(tmp_path, kinds().Dense(1))
    source = open_source(ConversionJob(path, "", value_range=RANGE))
    assert (source.meaning, source.classes) == (Meaning.LOGIT, 2)
    images = noise(3, source.input, 0)
    logit = np.asarray(model(images.astype(np.float32) / 255))
    np.testing.assert_allclose(source.predict(images)[:, 1:], 1 / (1 + np.exp(-logit)), atol=1e-6)


@pytest.mark.parametrize("last", ["layer", "operation", "nested", "reshaped"])
def test_a_sigmoid_is_seen_however_it_is_written(last: str, tmp_path: Path) -> None:
    keras = tensorflow().keras
    inputs = keras.Input((8, 8, 3))
    x = kinds().Dense(1)(kinds().Flatten()(inputs))
    ends = {
        "layer": lambda: kinds().Activation("sigmoid")(x),
        "operation": lambda: keras.ops.sigmoid(x),
        "nested": lambda: keras.Sequential([kinds().Dense(1, activation="sigmoid")])(x),
        "reshaped": lambda: kinds().Reshape((1,))(kinds().Activation("sigmoid")(x)),
    }
    keras.Model(inputs, ends[last]()).save(tmp_path / "net.keras")
    assert open_source(ConversionJob(str(tmp_path / "net.keras"), "", value_range=RANGE)).meaning is Meaning.PROBABILITY


def test_a_sigmoid_is_seen_in_a_saved_model(tmp_path: Path) -> None:
    model, _ = saved(tmp_path, kinds().Dense(1, activation="sigmoid"))
    model.export(tmp_path / "net", verbose=False)
    assert open_source(ConversionJob(str(tmp_path / "net"), "", value_range=RANGE)).meaning is Meaning.PROBABILITY


@pytest.mark.parametrize("form", ["net.keras", "net"])
def test_grey_pictures_without_a_dimension_for_their_channel(form: str, tmp_path: Path) -> None:
    model, _ = saved(tmp_path, kinds().Dense(3, activation="softmax"), shape=(8, 8))
    model.export(tmp_path / "net", verbose=False)
    source = open_source(ConversionJob(str(tmp_path / form), "", value_range=RANGE))
    assert (source.input.channels, source.size, source.classes) == (1, (8, 8), 3)
    images = noise(2, source.input, 0)
    expected = model(images[..., 0].astype(np.float32) / 255)
    np.testing.assert_allclose(source.predict(images), expected, atol=1e-6)
    inside = Inside(to_tflite(source.save, "int8", source.tensors(images)[:, None]), source.input)
    inside.run(images[0])
    np.testing.assert_allclose(inside.value(inside.layers[-1]), np.asarray(expected)[0], atol=0.02)


def test_mean_std_and_order_of_the_colours_are_as_they_are_given(tmp_path: Path) -> None:
    model, path = saved(tmp_path, kinds().Dense(3))
    mean, std = (100.0, 110.0, 120.0), (50.0, 60.0, 70.0)
    source = open_source(ConversionJob(path, "", mean=mean, std=std, bgr=True))
    assert (source.input.mean, source.input.std, source.input.bgr) == (mean, std, True)
    images = noise(2, source.input, 0)
    expected = model((images[..., ::-1].astype(np.float32) - mean) / std)
    np.testing.assert_allclose(source.predict(images), expected, atol=1e-4)


def test_an_architecture_takes_blue_first_where_that_is_asked_for(tmp_path: Path) -> None:
    job = ConversionJob("vgg_16", "", weights="none", side=32, bgr=True)
    source = open_source(job)
    assert source.input.bgr
    assert source.input.mean == (103.939, 116.779, 123.68)


def test_bytes_are_pixels_as_they_are(tmp_path: Path) -> None:
    keras = tensorflow().keras
    inputs = keras.Input((8, 8, 3), dtype="uint8")
    model = keras.Model(inputs, kinds().Dense(2)(kinds().Flatten()(kinds().Rescaling(1 / 255)(inputs))))
    model.save(tmp_path / "net.keras")
    source = open_source(ConversionJob(str(tmp_path / "net.keras"), ""))
    assert source.input.value_range == (0.0, 255.0)
    images = noise(2, source.input, 0)
    np.testing.assert_allclose(source.predict(images), model(images), atol=1e-6)
