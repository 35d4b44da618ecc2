"""How a network scales its pixels, by what arrives at its first layer with weights, and the range that this says."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from ondevice.converters.export import tensorflow
from ondevice.converters.sources.scaling import scaling_of
from ondevice.models.value_range import PIXELS, SYMMETRIC, UNIT, Range, wanted_range

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
SIZE = (16, 16, 3)
Step = Callable[[Any], Any]


@pytest.fixture(scope="module", autouse=True)
def _tensorflow() -> None:
    pytest.importorskip("tensorflow")


def kinds() -> Any:
    return tensorflow().keras.layers


def ops() -> Any:
    return tensorflow().keras.ops


def steps(*layers: Any) -> Step:
    def through(x: Any) -> Any:
        for layer in layers:
            x = layer(x)
        return x

    return through


def network(first: Step, size: tuple[int, ...] = SIZE, then: Step | None = None) -> Any:
    """A classifier of pictures that are given to `first` before anything is computed with them."""
    keras = tensorflow().keras
    inputs = keras.Input(size)
    x = first(inputs)
    x = then(x) if then else kinds().GlobalAveragePooling2D()(kinds().Conv2D(4, 3)(x))
    return keras.Model(inputs, kinds().Dense(3, activation="softmax")(x))


def range_of(model: Any) -> Range | None:
    scaling = scaling_of(model, model.inputs[0].shape[1:])
    return None if scaling is None else wanted_range(scaling)


def augmentation() -> Any:
    return tensorflow().keras.Sequential(
        [kinds().RandomFlip(), kinds().RandomRotation(0.2), kinds().RandomZoom(0.2), kinds().RandomContrast(0.2)]
    )


def imagenet() -> Any:
    return kinds().Normalization(mean=[0.485, 0.456, 0.406], variance=[0.229**2, 0.224**2, 0.225**2])


def rescaling(scale: float, offset: float = 0.0) -> Any:
    return kinds().Rescaling(scale, offset)


# A network's first steps, and the pixels that it wants.
FIRST: dict[str, tuple[Callable[[], Step], Range | None]] = {
    "rescaling": (lambda: rescaling(1 / 255), PIXELS),
    "of -1 to 1": (lambda: rescaling(0.5, 0.5), SYMMETRIC),
    "to 255": (lambda: rescaling(255), UNIT),
    "normalization": (imagenet, UNIT),
    "both": (lambda: steps(rescaling(1 / 255), imagenet()), PIXELS),
    "behind augmentation": (lambda: steps(augmentation(), rescaling(1 / 127.5, -1)), PIXELS),
    "nested with it": (lambda: tensorflow().keras.Sequential([augmentation(), rescaling(1 / 255)]), PIXELS),
    "padded": (lambda: steps(rescaling(1 / 127.5, -1), kinds().ZeroPadding2D(3)), PIXELS),
    "resized": (lambda: steps(kinds().Resizing(8, 8), imagenet()), UNIT),
    "an operator": (lambda: lambda x: x / 255.0, PIXELS),
    "Keras's for MobileNet": (lambda: tensorflow().keras.applications.mobilenet_v2.preprocess_input, PIXELS),
    "Keras's for ResNet, BGR": (lambda: tensorflow().keras.applications.resnet.preprocess_input, PIXELS),
    "Keras's for DenseNet": (lambda: tensorflow().keras.applications.densenet.preprocess_input, PIXELS),
    "nothing": (lambda: lambda x: x, None),
    "a clip": (lambda: lambda x: ops().clip(x / 255.0, 0.0, 1.0), None),
    "a root": (lambda: lambda x: ops().sqrt(x / 255.0), None),
    "a picture's own mean": (lambda: lambda x: x - ops().mean(x, axis=(1, 2, 3), keepdims=True), None),
    "batch normalization": (lambda: kinds().BatchNormalization(), None),
}


@pytest.mark.parametrize("name", list(FIRST))
def test_the_first_steps_say_what_pixels_are_wanted(name: str) -> None:
    first, wanted = FIRST[name]
    assert range_of(network(first())) == wanted


THEN: dict[str, Callable[[], Step]] = {
    "dense": lambda: kinds().Flatten(),
    "depthwise": lambda: steps(kinds().DepthwiseConv2D(3), kinds().Flatten()),
    "pooling": lambda: kinds().GlobalAveragePooling2D(),
    "a frozen network": lambda: frozen(),
}


def frozen() -> Any:
    inner = network(lambda x: x)
    inner.trainable = False
    return inner


@pytest.mark.parametrize("then", list(THEN))
def test_whatever_has_weights_comes_after_it(then: str) -> None:
    assert range_of(network(imagenet(), then=THEN[then]())) == UNIT


def test_a_mean_over_a_large_picture_has_float32s_errors_and_is_a_line_all_the_same() -> None:
    assert range_of(network(rescaling(1 / 127.5, -1), (96, 96, 3), kinds().GlobalAveragePooling2D())) == PIXELS


def test_what_stands_behind_the_first_weights_says_nothing() -> None:
    layers = kinds().Conv2D(3, 3), rescaling(1 / 255), kinds().Flatten()
    assert range_of(network(lambda x: x, then=steps(*layers))) is None


@pytest.mark.parametrize("size", [(16, 16, 1), (16, 16)])
def test_grey_pictures(size: tuple[int, ...]) -> None:
    flat = kinds().Flatten()
    assert range_of(network(rescaling(1 / 255), size, flat)) == PIXELS


def test_the_numbers_are_those_of_the_layers_channel_by_channel() -> None:
    found = scaling_of(network(imagenet()), SIZE)
    assert found is not None
    np.testing.assert_allclose(found.scale, 1 / np.array([0.229, 0.224, 0.225]), rtol=1e-5)
    np.testing.assert_allclose(found.offset, -np.array([0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225], rtol=1e-4)


def test_the_network_answers_as_before_afterwards() -> None:
    model, pictures = network(imagenet()), np.ones((1, *SIZE), np.float32)
    before = np.asarray(model(pictures))
    scaling_of(model, SIZE)
    np.testing.assert_array_equal(model(pictures), before)
