"""Networks as people train them, converted without a word about them: the files are as often right as they are."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from converting import converted

from ondevice.converters.job import ConversionJob
from ondevice.models.card import Card
from ondevice.runner import Runner

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
IMAGENET = (0.485, 0.456, 0.406), (0.229**2, 0.224**2, 0.225**2)


def ending(kinds: Any, x: Any, last: Any) -> Any:
    """Two convolutions and a dense layer, as in the tutorials."""
    for filters in (12, 24):
        x = kinds.MaxPooling2D()(kinds.Conv2D(filters, 3, activation="relu")(x))
    return last(kinds.Dense(32, activation="relu")(kinds.GlobalAveragePooling2D()(x)))


def augmentation(keras: Any, kinds: Any) -> Any:
    return keras.Sequential([kinds.RandomFlip(), kinds.RandomRotation(0.1), kinds.RandomZoom(0.1)])


def plain(keras: Any, kinds: Any) -> Any:
    inputs = keras.Input((32, 32, 3))
    return keras.Model(inputs, ending(kinds, kinds.Rescaling(1 / 255)(inputs), kinds.Dense(3, activation="softmax")))


def tutorial(keras: Any, kinds: Any) -> Any:
    """Of TensorFlow's tutorial on image classification: augmentation, rescaling, and all in one network."""
    inputs = keras.Input((32, 32, 3))
    x = kinds.Rescaling(1 / 255)(augmentation(keras, kinds)(inputs))
    return keras.Model(inputs, ending(kinds, x, kinds.Dense(3, activation="softmax")))


def one_sigmoid(keras: Any, kinds: Any) -> Any:
    inputs = keras.Input((32, 32, 3))
    return keras.Model(
        inputs, ending(kinds, kinds.Rescaling(1 / 127.5, -1)(inputs), kinds.Dense(1, activation="sigmoid"))
    )


def grey(keras: Any, kinds: Any) -> Any:
    """Of the tutorials' digits: pictures without a dimension for their one channel."""
    inputs = keras.Input((32, 32))
    x = kinds.Reshape((32, 32, 1))(kinds.Rescaling(1 / 255)(inputs))
    return keras.Model(inputs, ending(kinds, x, kinds.Dense(3, activation="softmax")))


def mixed_precision(keras: Any, kinds: Any) -> Any:
    keras.mixed_precision.set_global_policy("mixed_float16")
    try:
        inputs = keras.Input((32, 32, 3))
        x = kinds.Rescaling(1 / 255)(inputs)
        return keras.Model(inputs, ending(kinds, x, kinds.Dense(3, activation="softmax", dtype="float32")))
    finally:
        keras.mixed_precision.set_global_policy("float32")


def own_normalization(keras: Any, kinds: Any) -> Any:
    inputs = keras.Input((32, 32, 3))
    mean, variance = (list(values) for values in IMAGENET)
    x = kinds.Normalization(mean=mean, variance=variance)(inputs)
    return keras.Model(inputs, ending(kinds, x, kinds.Dense(3, activation="softmax")))


def luminance(pixels: Any) -> Any:
    return np.rint(pixels @ np.array([0.299, 0.587, 0.114]))


# What is trained, how, and the pixels that it then wants.
KINDS: dict[str, tuple[Callable[[Any, Any], Any], dict[str, Any], tuple[float, float]]] = {
    "tutorial": (tutorial, {"taught_by": plain}, (0, 255)),
    "one_sigmoid": (one_sigmoid, {"classes": 2, "loss": "binary_crossentropy"}, (0, 255)),
    "grey": (grey, {"prepare": luminance}, (0, 255)),
    "mixed_precision": (mixed_precision, {"taught_by": plain}, (0, 255)),
    "own_normalization": (own_normalization, {"prepare": lambda pixels: pixels / 255}, (0, 1)),
}


@pytest.mark.parametrize("kind", list(KINDS))
def test_files_are_as_often_right_as_the_network(kind: str, train: Any, tmp_path: Path) -> None:
    build, how, wanted = KINDS[kind]
    own = train(kind, build, **how)
    assert own.top1 > 0.9
    job = ConversionJob(
        str(own.path),
        str(tmp_path),
        precisions=("fp32", "int8"),
        calibration=str(own.calibration),
        check=str(own.check),
    )
    source, *files = converted(job)
    assert source.top1 == pytest.approx(own.top1, abs=0.01)
    assert [(file.precision, file.failed) for file in files] == [("fp32", ""), ("int8", "")]
    for file in files:
        assert file.top1 is not None
        assert file.top1 >= own.top1 - 0.01
        card = Card.read(Path(file.path).with_suffix(".toml"))
        assert (card.input.value_range, card.input.crop) == (pytest.approx(wanted), 1.0)
        assert card.sources is not None
        assert card.sources["range"] == card.sources["output"] == "network itself"
        assert card.output == ("probability" if kind == "one_sigmoid" else None)
        assert runs_right(file.path, own.check) >= own.top1 - 0.02


def runs_right(path: str, check: Path) -> float:
    """The share of the pictures that the runner is right about, by the card beside the file."""
    runner, pictures = Runner(path), sorted(check.glob("*/*.png"))[::2]
    return float(np.mean([runner.classify(picture, 1).label == picture.parent.name for picture in pictures]))
