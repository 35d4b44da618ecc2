"""Networks as Keras 2 itself writes them, by `tf_keras`: they convert, and answer as they did there."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from converting import SAMPLES, converted

from ondevice.converters.check import interpreter_with_tensors
from ondevice.converters.export import tensorflow, to_tflite
from ondevice.converters.job import ConversionJob
from ondevice.converters.pictures import Images, noise
from ondevice.converters.sources import harmless
from ondevice.converters.sources.opening import open_source
from ondevice.errors import ConvertError
from ondevice.models.card import Card

keras = pytest.importorskip("tf_keras", reason="needs tf_keras: make test-extras")
layers = keras.layers
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning", "ignore::UserWarning")
SIDE = 32


def teachable() -> Any:
    """As Teachable Machine builds it: a MobileNet in a Sequential, and what was learned in another."""
    base = keras.applications.MobileNet((SIDE, SIDE, 3), 0.25, include_top=False, weights=None, pooling="avg")
    learned = [layers.Dense(8, "relu", input_shape=(256,)), layers.Dense(3, "softmax", use_bias=False)]
    model = keras.Sequential([keras.Sequential([base]), keras.Sequential(learned)])
    model.build((None, SIDE, SIDE, 3))
    return model


def of_operations() -> Any:
    """With TensorFlow's functions on its tensors, some of which Keras 3 has no layer for."""
    tf = tensorflow()
    pixels = keras.Input((SIDE, SIDE, 3))
    x = tf.nn.relu6(layers.Conv2D(8, 3, 2)(pixels / 127.5 - 1))
    x = layers.GlobalAveragePooling2D()(tf.sqrt(x + 0.1)[:, 1:])
    return keras.Model(pixels, layers.Dense(3, "softmax")(x))


def mixed() -> Any:
    keras.mixed_precision.set_global_policy("mixed_float16")
    try:
        return of_operations()
    finally:
        keras.mixed_precision.set_global_policy("float32")


def trained(model: Any, optimizer: Any) -> Any:
    """The network after some steps, so that its optimizer keeps values for each variable."""
    model.compile(optimizer, "sparse_categorical_crossentropy")
    pictures = np.random.default_rng(0).uniform(0, 255, (8, SIDE, SIDE, 3)).astype(np.float32)
    model.fit(pictures, np.arange(8) % 3, verbose=0)
    return model


def answers(content: bytes, tensors: Any) -> Any:
    interpreter = interpreter_with_tensors(content)
    (taken,), (given,) = interpreter.get_input_details(), interpreter.get_output_details()
    rows = []
    for tensor in tensors:
        interpreter.set_tensor(taken["index"], tensor[None])
        interpreter.invoke()
        rows.append(interpreter.get_tensor(given["index"])[0])
    return np.stack(rows)


def agree(path: Path, model: Any, scaled: Callable[[Images], Any], tolerance: float = 1e-5, **given: Any) -> str:
    """Source and fp32 file against the network that was saved; gives what the source says that it is."""
    source = open_source(ConversionJob(str(path), "", **given))
    images = noise(6, source.input, 0)
    wanted = np.asarray(model(scaled(images.astype(np.float32)), training=False))
    np.testing.assert_allclose(source.predict(images), wanted, atol=tolerance)
    np.testing.assert_allclose(answers(to_tflite(source.save, "fp32"), source.tensors(images)), wanted, atol=tolerance)
    return source.architecture


@pytest.fixture(autouse=True)
def _seeded() -> None:
    keras.utils.set_random_seed(3)


def test_a_teachable_machines_file(tmp_path: Path) -> None:
    model = trained(teachable(), "adam")
    model.save(tmp_path / "keras_model.h5")
    agree(tmp_path / "keras_model.h5", model, lambda images: images / 127.5 - 1, value_range=(-1.0, 1.0))


@pytest.mark.parametrize("kind", ["h5", "keras"])
def test_what_only_keras_2_reads_is_read_by_it_and_its_range_found(kind: str, tmp_path: Path) -> None:
    model = of_operations()
    model.save(tmp_path / f"net.{kind}")
    assert agree(tmp_path / f"net.{kind}", model, lambda images: images) == f"Keras model {model.name}, by tf_keras"


def test_mixed_precision_computes_in_float32(tmp_path: Path) -> None:
    model = mixed()
    model.save(tmp_path / "net.h5")
    agree(tmp_path / "net.h5", model, lambda images: images, tolerance=5e-3)
    source = open_source(ConversionJob(str(tmp_path / "net.h5"), ""))
    assert {layer.compute_dtype for layer in source._network.layers} == {"float32"}


def test_it_converts_to_every_precision_and_is_checked(tmp_path: Path) -> None:
    model = of_operations()
    model.save(tmp_path / "net.h5")
    precisions = ("fp32", "fp16", "int8")
    job = ConversionJob(
        str(tmp_path / "net.h5"), str(tmp_path), precisions=precisions, calibration=SAMPLES, calibration_size=20
    )
    _, *files = converted(job)
    assert [(file.precision, file.failed) for file in files] == [(precision, "") for precision in precisions]
    conversion = Card.read(Path(files[0].path).with_suffix(".toml")).conversion
    assert conversion is not None
    assert "tf_keras 2." in conversion.tools


@pytest.mark.parametrize("optimizer", ["Adam", "legacy.Adam"])
def test_a_saved_model_with_what_its_optimizer_kept(optimizer: str, tmp_path: Path) -> None:
    made = keras.optimizers.legacy.Adam() if optimizer.startswith("legacy") else keras.optimizers.Adam()
    model = trained(of_operations(), made)
    model.save(tmp_path / "net", save_format="tf")
    agree(tmp_path / "net", model, lambda images: images, value_range=(0.0, 255.0))


def test_its_own_loader_runs_a_lambda_layer_whatever_it_is_told_and_ours_never(tmp_path: Path) -> None:
    written = tmp_path / "written"
    body = eval(f"lambda x: (open({str(written)!r}, 'w').close(), x)[1]")
    keras.Sequential([layers.Lambda(body, input_shape=(SIDE, SIDE, 3))]).save(tmp_path / "net.h5")
    written.unlink()
    with pytest.raises(ConvertError, match="it has a Lambda layer, which is Python code, and nothing in a model file"):
        open_source(ConversionJob(str(tmp_path / "net.h5"), ""))
    assert not written.exists()
    keras.models.load_model(tmp_path / "net.h5", compile=False, safe_mode=True)
    assert written.exists()


def test_every_network_of_it_passes(tmp_path: Path) -> None:
    applications = keras.applications
    for build in (applications.MobileNetV3Small, applications.EfficientNetB0, applications.ConvNeXtTiny):
        build(weights=None, include_top=False, input_shape=(64, 64, 3)).save(tmp_path / "net.h5")
        harmless.check(tmp_path / "net.h5")
