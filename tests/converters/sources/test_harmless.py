"""Keras files that would have Python code run, or name what is not Keras's: refused before Keras sees them."""

from __future__ import annotations

import base64
import inspect
import io
import json
import marshal
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from converting import converted

from ondevice.converters.export import tensorflow
from ondevice.converters.job import ConversionJob
from ondevice.converters.sources import harmless, keras_names
from ondevice.errors import ConvertError

h5py = pytest.importorskip("h5py")
Config = dict[str, Any]
WRITTEN = "written"


def code(folder: Path) -> str:
    """What a Lambda layer holds of a function that writes a file."""
    function = eval(f"lambda x: (open({str(folder / WRITTEN)!r}, 'w').close(), x)[1]")
    return base64.b64encode(marshal.dumps(function.__code__)).decode()


def lambda_2(folder: Path) -> Config:
    config = {"name": "l", "function": [code(folder), None, None], "function_type": "lambda", "module": "__main__"}
    return {"class_name": "Lambda", "config": config}


def lambda_3(folder: Path) -> Config:
    config = {"name": "l", "function": function_3(folder)}
    return {"module": "keras.layers", "class_name": "Lambda", "config": config, "registered_name": None}


def function_3(folder: Path) -> Config:
    return {"class_name": "__lambda__", "config": {"code": code(folder), "defaults": None, "closure": None}}


def of(module: str | None, kind: str, registered: str | None = None, **config: Any) -> Config:
    return {"module": module, "class_name": kind, "config": config, "registered_name": registered}


def function(module: str, name: str) -> Config:
    return {"module": module, "class_name": "function", "config": name, "registered_name": name}


def dense(**config: Any) -> Config:
    return of("keras.layers", "Dense", units=2, **config)


def sequential(*layers: Config, **more: Any) -> Config:
    first = of("keras.layers", "InputLayer", batch_shape=[None, 8, 8, 3])
    return {**of("keras", "Sequential", name="s", layers=[first, *layers]), **more}


def hdf5(path: Path, config: Any, training: Any = None, version: str = "3.15.1") -> Path:
    with h5py.File(path, "w") as file:
        file.attrs["model_config"], file.attrs["keras_version"] = json.dumps(config), version
        if training is not None:
            file.attrs["training_config"] = json.dumps(training)
        file.create_group("model_weights").attrs["layer_names"] = []
    return path


def archived(path: Path, config: Any) -> Path:
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("config.json", config if isinstance(config, bytes) else json.dumps(config))
        file.writestr("metadata.json", json.dumps({"keras_version": "3.15.1"}))
        weights = io.BytesIO()
        with h5py.File(weights, "w") as empty:
            empty.create_group("layers")
        file.writestr("model.weights.h5", weights.getvalue())
    return path


def refused(path: Path) -> str:
    with pytest.raises(ConvertError) as caught:
        harmless.check(path)
    said = str(caught.value)
    assert "\n" not in said
    return said.removeprefix(f"{path}: ")


def test_files_that_would_write_one_are_a_line_each_and_write_none(tmp_path: Path) -> None:
    pytest.importorskip("tensorflow")
    old, new = sequential(lambda_2(tmp_path), dense()), sequential(lambda_3(tmp_path), dense())
    paths = [
        hdf5(tmp_path / "old.h5", old, version="2.15.0"), hdf5(tmp_path / "new.h5", new),
        archived(tmp_path / "net.keras", new),
    ]  # fmt: skip
    out = tmp_path / "out"
    for path in paths:
        with pytest.raises(ConvertError) as caught:
            converted(ConversionJob(str(path), str(out), value_range=(0.0, 1.0)))
        assert str(caught.value).startswith(f"{path}: it has a Lambda layer, which is Python code, and nothing in ")
        assert "\n" not in str(caught.value)
    assert not (tmp_path / WRITTEN).exists()
    assert not out.exists() or list(out.iterdir()) == []


def test_they_would_write_it_if_they_were_loaded_in_trust(tmp_path: Path) -> None:
    pytest.importorskip("tensorflow")
    path = archived(tmp_path / "net.keras", sequential(lambda_3(tmp_path)))
    tensorflow().keras.models.load_model(path, compile=False, safe_mode=False)
    assert (tmp_path / WRITTEN).exists()


Make = Callable[[Path], Config]


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda f: sequential(of("keras.layers", "TimeDistributed", layer=lambda_3(f))), "it has a Lambda layer, "),
        (lambda f: sequential(of(None, "Bidirectional", layer=lambda_2(f))), "it has a Lambda layer, "),
        (lambda f: sequential(sequential(sequential(lambda_2(f)))), "it has a Lambda layer, "),
        (lambda f: sequential(dense(activation=function_3(f))), "it has a Lambda layer, "),
        (lambda f: sequential(dense(kernel_regularizer=function_3(f))), "it has a Lambda layer, "),
        (lambda f: sequential(of("keras.layers", "Dense", "keras>Lambda")), "it has a Lambda layer, "),
        (lambda f: sequential(dense(activation=function("os", "system"))), "the function 'system' of the module 'os'"),
        (lambda f: sequential(dense(activation=function("builtins", "exec"))), "the function 'exec', "),
        (lambda f: sequential(dense(activation=function("keras.utils", "get_file"))), "function 'get_file' of the "),
        (lambda f: sequential(dense(kernel_initializer=of("subprocess", "Popen"))), "'Popen', which is not a "),
        (lambda f: sequential(dense(bias_constraint=of("keras.layers", "get_file"))), "'get_file', which is not a "),
        (lambda f: sequential(of("keras.utils", "get_file")), "'get_file', which is not a layer of Keras's own, "),
        (lambda f: sequential(of("mine", "Dense")), "'Dense', which is not a layer of Keras's own, "),
        (lambda f: sequential(of("keras.layers", "Dense", "Custom>Mine")), "'Custom>Mine', which is not a layer of "),
        (lambda f: sequential(of(None, "Mine")), "'Mine', which is not a layer of Keras's own, "),
        (lambda f: sequential(of("keras.layers", "TFSMLayer", filepath=str(f))), "'TFSMLayer', which is not a layer "),
        (lambda f: sequential(of("keras.src.ops.numpy", "load")), "'load', which is not a layer of Keras's own, "),
        (lambda f: sequential(of(None, "TFOpLambda", function="io.write_file")), "'io.write_file', which may do"),
        (lambda f: sequential(of(None, "TFOpLambda", function="math.add\n")), "function 'math.add\\n', which"),
        (lambda f: sequential(of(None, "ClassMethod", cls_ref="x", method_name="y")), "'ClassMethod', which is not a "),
        (lambda f: sequential(sequential(compile_config={"loss": function_3(f)})), "it has a Lambda layer, "),
        (lambda f: sequential(sequential(compile_config={"loss": function("os", "system")})), "the function 'system' "),
        (lambda f: sequential(dense(), compile_config={"metrics": [function_3(f)]}), "it has a function with its "),
        (lambda f: sequential(dense(), compile_config={"loss": function("os", "system")}), "the function 'system' of "),
        (lambda f: sequential({"class_name": ["Dense"], "config": {}}), "it has something that is not named by its "),
    ],
)  # fmt: skip
@pytest.mark.parametrize("kind", ["h5", "keras"])
def test_code_and_what_is_not_keras_s_own_at_any_depth(kind: str, make: Make, said: str, tmp_path: Path) -> None:
    config = make(tmp_path)
    if kind == "keras":
        path = archived(tmp_path / "net.keras", config)
    else:
        path = hdf5(tmp_path / "net.h5", config, config.pop("compile_config", None))
    message = refused(path)
    assert said in message
    assert message.endswith(
        ", and nothing in a model file is run: save it where that code is, as a SavedModel, by model.export(FOLDER) or "
        "tf.saved_model.save(model, FOLDER), and convert that"
    )


def test_what_the_training_used_is_not_read_and_may_have_any_name(tmp_path: Path) -> None:
    mine = {"loss": function("builtins", "focal"), "metrics": [of("my_project.metrics", "Kappa", "mine>Kappa")]}
    harmless.check(archived(tmp_path / "net.keras", sequential(dense(), compile_config=mine)))
    harmless.check(hdf5(tmp_path / "net.h5", sequential(dense()), mine))


@pytest.mark.parametrize(
    "layer",
    [
        dense(activation=function("builtins", "relu6"), kernel_initializer=of("keras.initializers", "GlorotUniform")),
        of("keras.src.ops.numpy", "Divide", "Divide"),
        of("keras.src.models.functional", "Functional", "Functional"),
        of("tf_keras.src.layers.core.tf_op_layer", "TFOpLambda", "TFOpLambda", function="math.truediv"),
        of(None, "TFOpLambda", function="compat.v1.nn.relu6"),
        of(None, "SlicingOpLambda", function="__operators__.getitem"),
        {"class_name": "DepthwiseConv2D", "config": {}},
        {"class_name": "Conv2DTranspose", "config": {}},
        sequential(compile_config={"loss": of("keras.losses", "Huber"), "optimizer": of("keras.optimizers", "Adam")}),
    ],
)  # fmt: skip
def test_what_computes_and_does_no_more_passes(layer: Config, tmp_path: Path) -> None:
    harmless.check(hdf5(tmp_path / "net.h5", sequential(layer)))


@pytest.mark.parametrize(
    ("config", "said"),
    [
        (b"[" * 100_000, "maximum recursion depth exceeded"),
        (b"[" * 300 + b"]" * 300, "its config is nested over 200 levels deep"),
        (b" " * 5_000_000 + b"{}", "it has over 4 MB"),
        (b"{", "Expecting property name"),
    ],
    ids=["endless", "deep", "large", "cut"],
)
def test_a_config_that_cannot_be_read_is_not_given_to_keras(config: bytes, said: str, tmp_path: Path) -> None:
    message = refused(archived(tmp_path / "net.keras", config))
    assert message.startswith(f"Keras cannot read it: {said}")


def test_a_config_in_hdf5_is_a_text_and_not_a_large_one(tmp_path: Path) -> None:
    path = hdf5(tmp_path / "net.h5", sequential())
    said = "Keras cannot read it: its config is not a text of at most 4 MB (is it whole?)"
    for config in (5, ["a"], "{" + " " * 5_000_000):
        with h5py.File(path, "r+") as file:
            file.attrs["model_config"] = config
        assert refused(path) == said
    with h5py.File(path, "r+") as file:
        del file.attrs["model_config"]
    assert refused(path).startswith("Keras cannot read it: ")


def linked(weights: Any, other: Path) -> None:
    weights["kernel"] = h5py.ExternalLink(other, "kernel")


def raw(weights: Any, other: Path) -> None:
    weights.create_dataset("kernel", (4,), "f4", external=[(str(other), 0, 16)])


def put_together(weights: Any, other: Path) -> None:
    layout = h5py.VirtualLayout((4,), "f4")
    layout[:] = h5py.VirtualSource(str(other), "kernel", shape=(4,))
    weights.create_virtual_dataset("kernel", layout)


@pytest.mark.parametrize("store", [linked, raw, put_together])
def test_values_of_other_files_are_not_taken(store: Callable[[Any, Path], None], tmp_path: Path) -> None:
    path, other = hdf5(tmp_path / "net.h5", sequential(dense())), tmp_path / "other.h5"
    with h5py.File(other, "w") as file:
        file["kernel"] = [1.0] * 4
    with h5py.File(path, "r+") as file:
        store(file["model_weights"].create_group("deep"), other)
    assert refused(path) == "Keras cannot read it: it takes its values from other files (is it whole?)"


# Layers that are not taken: code, of Python or of another framework; and what reads other files.
NOT_TAKEN = {
    "Lambda", "FlaxLayer", "JaxLayer", "TorchModuleWrapper", "TFSMLayer", "StringLookup", "IntegerLookup",
    "TextVectorization", "Hashing", "HashedCrossing",
}  # fmt: skip


def test_every_layer_of_the_installed_keras_is_judged() -> None:
    pytest.importorskip("tensorflow")
    keras = tensorflow().keras
    layers = {name for name in dir(keras.layers) if inspect.isclass(getattr(keras.layers, name))} - {"InputSpec"}
    assert {name for name in layers if not keras_names.is_own("keras.layers", name)} == NOT_TAKEN
    parts = (keras.initializers, keras.regularizers, keras.constraints, keras.dtype_policies)
    assert not NOT_TAKEN & keras_names.LAYERS
    for room in parts:
        named = {each.__name__ for _, each in inspect.getmembers(room, inspect.isclass)}
        assert {name for name in named if not keras_names.is_own("", name)} <= {
            "Initializer",
            "Regularizer",
            "Constraint",
        }


def test_every_network_of_keras_passes(tmp_path: Path) -> None:
    pytest.importorskip("tensorflow")
    keras = tensorflow().keras
    builds = (
        keras.applications.MobileNetV3Small,
        keras.applications.ConvNeXtTiny,
        keras.applications.InceptionResNetV2,
    )
    for build in builds:
        with keras.StatelessScope(initialize_variables=False):  # values for the weights would take the longest
            network = build(weights=None, include_top=False, input_shape=(96, 96, 3))
        harmless.check(hdf5(tmp_path / "net.h5", json.loads(network.to_json())))
