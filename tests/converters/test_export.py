"""One network in every precision: what the files weigh, take and give, and how near they stay."""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from forks import Forks

from ondevice.converters import check, pictures
from ondevice.converters.export import Save, once, saver, tensorflow, to_tflite
from ondevice.converters.job import PRECISIONS
from ondevice.models.card import Input
from ondevice.runtime import Model

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
WANTED = Input(32, 32, 3)
IMAGES = pictures.noise(16, WANTED, 0)
TENSORS = pictures.tensors(IMAGES, WANTED)[:, None]


@pytest.fixture(scope="module")
def network() -> Any:
    """Large enough that weights are most of a file, and every layer has enough of them to be quantized."""
    pytest.importorskip("tensorflow")
    keras = tensorflow().keras
    keras.utils.set_random_seed(1)
    kinds = keras.layers
    return keras.Sequential(
        [
            keras.Input((32, 32, 3)),
            kinds.Conv2D(64, 3, 2, activation="relu"),
            kinds.Conv2D(256, 3, 2, activation="relu"),
            kinds.GlobalAveragePooling2D(),
            kinds.Dense(10, activation="softmax"),
        ]
    )


@pytest.fixture(scope="module")
def save(network: Any) -> Iterator[Save]:
    with once(saver(network)) as kept:
        yield kept


@pytest.fixture(scope="module")
def files(save: Save) -> dict[str, bytes]:
    return {precision: to_tflite(save, precision, TENSORS) for precision in PRECISIONS}


def model(content: bytes, folder: Path) -> Model:
    path = folder / "model.tflite"
    path.write_bytes(content)
    return Model(path)


@pytest.mark.parametrize(
    ("precision", "most"), [("fp16", 0.53), ("dynamic", 0.3), ("weight_only", 0.3), ("int8", 0.32)]
)
def test_files_shrink(precision: str, most: float, files: dict[str, bytes]) -> None:
    assert 0.2 < len(files[precision]) / len(files["fp32"]) < most


@pytest.mark.parametrize(("precision", "worst"), list(zip(PRECISIONS, (1e-6, 1e-3, 0.02, 0.02, 0.02), strict=True)))
def test_answers_stay_near_the_source(
    precision: str, worst: float, network: Any, files: dict[str, bytes], tmp_path: Path
) -> None:
    ours = check.outputs(model(files[precision], tmp_path), WANTED, IMAGES)
    theirs = np.asarray(network(TENSORS[:, 0], training=False))
    assert check.compare(ours, theirs).worst_error < worst


@pytest.mark.parametrize("precision", PRECISIONS)
def test_the_runner_sees_the_precision(precision: str, files: dict[str, bytes], tmp_path: Path) -> None:
    converted = model(files[precision], tmp_path)
    assert converted.input.dtype == (np.int8 if precision == "int8" else np.float32)
    assert converted.outputs == 10
    assert converted.precision == ("dynamic" if precision == "weight_only" else precision)


@pytest.mark.parametrize(("io", "dtype"), [("uint8", np.uint8), ("float", np.float32)])
def test_what_an_int8_file_takes_and_gives(
    io: str, dtype: type, save: Save, files: dict[str, bytes], tmp_path: Path
) -> None:
    converted = model(to_tflite(save, "int8", TENSORS, io), tmp_path)
    assert (converted.input.dtype, converted.output.dtype) == (dtype, dtype)
    assert converted.precision == ("uint8" if io == "uint8" else "int8")
    ours = check.outputs(converted, WANTED, IMAGES)
    int8 = check.outputs(model(files["int8"], tmp_path), WANTED, IMAGES)
    np.testing.assert_allclose(ours, int8, atol=1 / 128)


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_the_same_network_saved_again_gives_the_same_bytes(
    precision: str, network: Any, files: dict[str, bytes]
) -> None:
    again = to_tflite(saver(network), precision, TENSORS)
    assert hashlib.sha256(again).hexdigest() == hashlib.sha256(files[precision]).hexdigest()


def test_what_tensorflow_leaves_in_the_environment_keeps_no_command_from_being_forked(forks: Forks) -> None:
    pytest.importorskip("tensorflow")
    tensorflow()
    assert forks.forks(os.environ) == (sys.platform == "linux")


def test_int8_without_calibration() -> None:
    with pytest.raises(ValueError, match="int8 needs calibration tensors"):
        to_tflite(lambda folder: None, "int8")


def test_a_precision_that_there_is_none() -> None:
    with pytest.raises(ValueError, match="no precision 'int4'"):
        to_tflite(lambda folder: None, "int4")
