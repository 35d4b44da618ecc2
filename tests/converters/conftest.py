"""Networks as people train them, trained once for all tests: what they see, and what they answer."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from ondevice.converters.export import tensorflow

SIDE = 32
# Enough that one point of top-1 is two pictures.
_TRAINED_ON, _CALIBRATED_ON, _CHECKED_ON = 384, 48, 240


class Pictures(NamedTuple):
    """Textures: uint8 [n, SIDE, SIDE, 3], and their classes [n]."""

    pixels: NDArray[np.uint8]
    classes: NDArray[np.int64]


def textures(count: int, classes: int, seed: int) -> Pictures:
    """Rings of one of several widths in random colours, under noise: as they are turned or mirrored, so they stay."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:SIDE, :SIDE]
    chosen = np.arange(count) % classes
    pixels = np.empty((count, SIDE, SIDE, 3), np.uint8)
    for i, wanted in enumerate(chosen):
        centre = rng.uniform(0, SIDE, 2)
        waves = np.sin(np.hypot(y - centre[0], x - centre[1]) * (0.4 + 0.9 * wanted) + rng.uniform(0, 6))
        colours = rng.uniform((20, 20, 20), (110, 110, 110)), rng.uniform((150, 150, 150), (235, 235, 235))
        shares = (waves[..., None] + 1) / 2
        pixels[i] = np.clip(shares * colours[0] + (1 - shares) * colours[1] + rng.normal(0, 8, (SIDE, SIDE, 3)), 0, 255)
    return Pictures(pixels, chosen)


class Trained(NamedTuple):
    """A network's file with its labels beside it, its own top-1, and folders of pictures, a class each."""

    path: Path
    top1: float
    calibration: Path
    check: Path


Train = Callable[..., Trained]
# What makes a network of Keras and its module of layers.
Build = Callable[[Any, Any], Any]


@pytest.fixture(scope="session")
def train(tmp_path_factory: pytest.TempPathFactory) -> Train:
    """Trains what `build` makes of the layers' module, on pictures that `prepare` makes of 0..255.

    taught_by: what is trained in its place, and whose last layers it gets: augmentation takes long to train with, and
    half precision takes a processor ten times as long.
    """
    pytest.importorskip("tensorflow")
    folder = tmp_path_factory.mktemp("trained")

    def fitted(
        build: Build,
        classes: int = 3,
        prepare: Callable[[NDArray[np.uint8]], NDArray[Any]] = lambda pixels: pixels,
        loss: str = "sparse_categorical_crossentropy",
    ) -> Any:
        keras = tensorflow().keras
        keras.utils.set_random_seed(0)
        seen, model = textures(_TRAINED_ON, classes, 0), build(keras, keras.layers)
        model.compile(keras.optimizers.Adam(5e-3), loss)
        model.fit(prepare(seen.pixels).astype(np.float32), seen.classes, batch_size=32, epochs=9, verbose=0)
        return model

    teacher = functools.cache(fitted)

    def trained(
        name: str,
        build: Build,
        classes: int = 3,
        prepare: Callable[[NDArray[np.uint8]], NDArray[Any]] = lambda pixels: pixels,
        loss: str = "sparse_categorical_crossentropy",
        taught_by: Build | None = None,
    ) -> Trained:
        if taught_by is None:
            model = fitted(build, classes, prepare, loss)
        else:
            keras = tensorflow().keras
            model = build(keras, keras.layers)
            for layer, known in zip(reversed(model.layers), reversed(teacher(taught_by).layers), strict=False):
                layer.set_weights(known.get_weights())
        seen, checked = textures(_TRAINED_ON, classes, 0), textures(_CHECKED_ON, classes, 1)
        answers = np.asarray(model(prepare(checked.pixels).astype(np.float32), training=False))
        best = answers.argmax(axis=1) if answers.shape[1] > 1 else answers[:, 0] > 0.5
        home = folder / name
        home.mkdir()
        model.save(home / f"{name}.keras")
        (home / "labels.txt").write_text("".join(f"texture {i}\n" for i in range(classes)))
        calibration = _written(home / "calibration", Pictures(*(values[:_CALIBRATED_ON] for values in seen)))
        top1 = float((best == checked.classes).mean())
        return Trained(home / f"{name}.keras", top1, calibration, _written(home / "check", checked))

    return trained


def _written(folder: Path, pictures: Pictures) -> Path:
    for i, (pixels, wanted) in enumerate(zip(*pictures, strict=True)):
        path = folder / f"texture {wanted}" / f"{i:03}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path)
    return folder
