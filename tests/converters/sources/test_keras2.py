"""Files that Keras 2 wrote: what Keras 3 does not take of them is told in its words, and the answers stay."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ondevice.converters.export import tensorflow
from ondevice.converters.job import ConversionJob
from ondevice.converters.pictures import noise
from ondevice.converters.sources import keras2, tf_keras_file
from ondevice.converters.sources.opening import open_source
from ondevice.errors import ConvertError

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
h5py = pytest.importorskip("h5py")
Config = dict[str, Any]


@pytest.fixture(scope="module", autouse=True)
def _tensorflow() -> None:
    pytest.importorskip("tensorflow")


def layer(kind: str, name: str, *inbound: Any, **config: Any) -> Config:
    return {"class_name": kind, "name": name, "config": {"name": name, **config}, "inbound_nodes": list(inbound)}


def call(name: str, number: int = 0, **given: Any) -> list[list[Any]]:
    return [[name, number, 0, given]]


def operation(name: str, before: list[Any], y: float) -> Config:
    """Keras 2's layer for an operation on a tensor and a number, whose call is not in a list of its own."""
    before[-1] = {"y": y, "name": None}
    return layer("TFOpLambda", f"tf.{name}", before, function=name)


def functional(name: str, layers: list[Config]) -> Config:
    ends = {"input_layers": [[layers[0]["name"], 0, 0]], "output_layers": [[layers[-1]["name"], 0, 0]]}
    return {"class_name": "Functional", "config": {"name": name, "layers": layers, **ends}}


def entry(name: str) -> Config:
    return layer("InputLayer", name, batch_input_shape=[None, 16, 16, 3], dtype="float32")


def transfer() -> Config:
    """A network as TensorFlow's tutorial of transfer learning makes it: augmentation, operations, a nested network."""
    base = functional(
        "base",
        [
            entry("pixels"),
            layer("DepthwiseConv2D", "deep", call("pixels"), kernel_size=[3, 3], groups=1),
            layer("BatchNormalization", "norm", call("deep"), axis=[3]),
            layer(
                "SeparableConv2D", "apart", call("norm"), filters=4, kernel_size=3, groups=1, kernel_initializer=None
            ),
        ],
    )
    augmentation = layer("Sequential", "augment", call("picture"))
    augmentation["config"]["layers"] = [entry("given"), layer("RandomFlip", "flip", mode="horizontal", rng_type="x")]
    return functional(
        "transfer",
        [
            entry("picture"),
            augmentation,
            operation("math.truediv", call("augment", 1)[0], 127.5),
            operation("math.subtract", call("tf.math.truediv")[0], 1.0),
            {**base, "name": "base", "inbound_nodes": [call("tf.math.subtract", training=False)]},
            layer("GlobalAveragePooling2D", "pool", call("base", 1)),
            layer("Dense", "classes", call("pool"), units=3, activation="softmax"),
        ],
    )


@pytest.fixture(scope="module")
def network() -> Any:
    """What `transfer` stands for, by Keras 3."""
    keras = tensorflow().keras
    kinds = keras.layers
    keras.utils.set_random_seed(2)
    base = [
        kinds.DepthwiseConv2D(3, name="deep"), kinds.BatchNormalization(name="norm"),
        kinds.SeparableConv2D(4, 3, name="apart"),
    ]  # fmt: skip
    inputs = keras.Input((16, 16, 3), name="picture")
    x = kinds.Rescaling(1 / 127.5, -1)(inputs)
    x = keras.Sequential([keras.Input((16, 16, 3)), *base], name="base")(x)
    x = kinds.Dense(3, activation="softmax", name="classes")(kinds.GlobalAveragePooling2D()(x))
    model = keras.Model(inputs, x)
    model.set_weights([weights + 0.05 for weights in model.get_weights()])
    return model


def saved(model: Any, path: Path, config: Config, version: str = "2.15.0") -> Path:
    """A file whose weights are the model's, and whose network is told by the config."""
    model.save(path)
    with h5py.File(path, "r+") as file:
        file.attrs["model_config"], file.attrs["keras_version"] = json.dumps(config), version
    return path


def test_the_tutorials_network_answers_as_it_did(network: Any, tmp_path: Path) -> None:
    source = open_source(ConversionJob(str(saved(network, tmp_path / "old.h5", transfer())), ""))
    images = noise(4, source.input, 0)
    np.testing.assert_allclose(source.predict(images), network(images.astype(np.float32), training=False), atol=1e-6)
    assert source.input.value_range == (0.0, 255.0)


def test_one_entry_too_many_whatever_version_the_file_names(tmp_path: Path) -> None:
    keras = tensorflow().keras
    model = keras.Sequential(
        [keras.Input((16, 16, 3)), keras.layers.DepthwiseConv2D(3), keras.layers.Flatten(), keras.layers.Dense(2)]
    )
    config = {"class_name": "Sequential", "config": model.get_config()}
    config["config"]["layers"][1]["config"]["groups"] = 1
    path = saved(model, tmp_path / "teachable.h5", config, "3.0.0")
    source = open_source(ConversionJob(str(path), "", value_range=(0.0, 1.0)))
    images = noise(2, source.input, 0)
    np.testing.assert_allclose(source.predict(images), model(images.astype(np.float32) / 255), atol=1e-6)


def test_the_newer_kind_of_file(network: Any, tmp_path: Path) -> None:
    network.save(tmp_path / "new.keras")
    with zipfile.ZipFile(tmp_path / "new.keras") as new, zipfile.ZipFile(tmp_path / "old.keras", "w") as old:
        for name in new.namelist():
            content = new.read(name)
            if name == "metadata.json":
                content = json.dumps({"keras_version": "2.15.0"}).encode()
            if name == "config.json":
                config = json.loads(content)
                config["module"] = "keras.src.engine.functional"
                config["config"]["layers"][1]["config"]["batch_input_shape"] = [None, 16, 16, 3]
                content = json.dumps(config).encode()
            old.writestr(name, content)
    source = open_source(ConversionJob(str(tmp_path / "old.keras"), ""))
    images = noise(2, source.input, 0)
    np.testing.assert_allclose(source.predict(images), network(images.astype(np.float32), training=False), atol=1e-6)


def test_what_cannot_be_told_in_keras_3s_words_needs_keras_2_and_the_error_says_what_to_type(
    network: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tf_keras_file, "is_installed", lambda: False)
    config = transfer()
    config["config"]["layers"][2]["config"]["function"] = "math.sqrt"
    path = saved(network, tmp_path / "old.h5", config)
    with pytest.raises(ConvertError) as caught:
        open_source(ConversionJob(str(path), ""))
    version = tensorflow().__version__.rpartition(".")[0]
    assert str(caught.value) == (
        f"{path} is of Keras 2.15.0, and Keras 3 cannot read it: it has no layer 'TFOpLambda' "
        f"(`pip install 'tf_keras=={version}.*'` makes that possible)"
    )


@pytest.mark.parametrize(("name", "content"), [("no.h5", b"text"), ("no.keras", b"text"), ("missing.h5", None)])
def test_a_file_that_tells_no_version(name: str, content: bytes | None, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    assert keras2.version_of(tmp_path / name) == ""


def test_more_than_one_group_and_several_axes_are_left_to_keras() -> None:
    kept = layer("DepthwiseConv2D", "deep", groups=2), layer("BatchNormalization", "norm", axis=[1, 3])
    assert keras2.modern(list(kept)) == list(kept)


def test_mixed_precision_computes_in_float32() -> None:
    policy = {"class_name": "Policy", "config": {"name": "mixed_float16"}}
    assert keras2.modern(layer("Dense", "d", dtype=policy))["config"]["dtype"] == "float32"
