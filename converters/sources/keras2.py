"""Files that Keras 2 has written, in the words of Keras 3."""

from __future__ import annotations

import json
import shutil
import zipfile
from collections.abc import Callable, Container
from pathlib import Path
from typing import Any

from ondevice.converters.sources.policy import retyped

_CONFIG, _METADATA = "config.json", "metadata.json"
# Operations on tensors, which were layers of one kind then: what Rescaling's numbers are for theirs.
_RESCALINGS: dict[str, Callable[[float], tuple[float, float]]] = {
    "math.truediv": lambda y: (1 / y, 0.0),
    "math.divide": lambda y: (1 / y, 0.0),
    "math.multiply": lambda y: (y, 0.0),
    "math.subtract": lambda y: (1.0, -y),
    "math.add": lambda y: (1.0, y),
    "__operators__.add": lambda y: (1.0, y),
}
# What Keras 3 does not take of some layers' configs. Random layers do nothing at inference, whatever they drew from; an
# InputLayer says the shape too; separable convolutions have a depthwise and a pointwise kernel, and no third.
_DROPPED = {
    "": ("rng_type",),
    "SeparableConv2D": ("kernel_initializer", "kernel_regularizer", "kernel_constraint"),
}
# What networks that are graphs of layers were called, now and before.
_FUNCTIONAL = ("Functional", "Model")
# Of one group are all that these two can be.
_OF_ONE_GROUP = ("DepthwiseConv2D", "SeparableConv2D")


def version_of(path: Path) -> str:
    """The version of Keras that wrote the file, where that is 2.something; else empty."""
    try:
        version = _version_in_hdf5(path) if path.suffix == ".h5" else _version_in_zip(path)
    except (OSError, ValueError, KeyError, zipfile.BadZipFile):
        return ""
    return version if version.startswith("2.") else ""


def rewritten(path: Path, folder: Path, change: Callable[[Any], Any]) -> Path:
    """A copy of the file in `folder`, of the same name, with its network's config changed: see `modern`."""
    copy = folder / path.name
    if path.suffix == ".h5":
        import h5py

        shutil.copyfile(path, copy)
        with h5py.File(copy, "r+") as file:
            file.attrs["model_config"] = json.dumps(change(json.loads(file.attrs["model_config"])))
        return copy
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(copy, "w") as new:
        for name in old.namelist():
            content = old.read(name)
            new.writestr(name, json.dumps(change(json.loads(content))) if name == _CONFIG else content)
    return copy


def modern(config: Any) -> Any:
    """A network's config by Keras 2, without what Keras 3 does not know and has no need of."""
    return _translated(retyped(config))


def _translated(config: Any) -> Any:
    if isinstance(config, list):
        return [_translated(value) for value in config]
    if not isinstance(config, dict):
        return config
    config = {key: _translated(value) for key, value in config.items()}
    if isinstance(config.get("config"), dict) and "class_name" in config:
        return _layer(config, config["class_name"], config["config"])
    return config


def _layer(layer: dict[str, Any], kind: str, config: dict[str, Any]) -> dict[str, Any]:
    if kind in _FUNCTIONAL:
        return {**layer, "module": "keras.src.models.functional", "class_name": "Functional", "config": _graph(config)}
    if kind == "TFOpLambda":
        return _rescaling(layer, config)
    dropped = [*_DROPPED[""], *_DROPPED.get(kind, ())]
    if kind in _OF_ONE_GROUP and config.get("groups") == 1:
        dropped.append("groups")
    if kind != "InputLayer" and "module" in layer:
        dropped.append("batch_input_shape")
    kept = {key: value for key, value in config.items() if key not in dropped}
    if kind == "BatchNormalization" and isinstance(config.get("axis"), list) and len(config["axis"]) == 1:
        kept["axis"] = config["axis"][0]
    return {**layer, "config": kept}


def _graph(config: dict[str, Any]) -> dict[str, Any]:
    """A functional network's config: calls of nested networks count from 0 now, and one end is not a list.

    Only as ends of the whole are functional ones still counted from 1.
    """
    sequential, functional = (
        {layer.get("name") for layer in config["layers"] if layer.get("class_name") in kinds}
        for kinds in (("Sequential",), _FUNCTIONAL)
    )
    nested = sequential | functional
    changed = {**config, "layers": [{**layer, **_counted(layer, nested)} for layer in config["layers"]]}
    for ends in ("input_layers", "output_layers"):
        counted = _recounted(config[ends], sequential)
        changed[ends] = counted[0] if len(counted) == 1 else counted
    return changed


def _counted(layer: dict[str, Any], nested: Container[str]) -> dict[str, Any]:
    return {"inbound_nodes": _recounted(layer["inbound_nodes"], nested)} if "inbound_nodes" in layer else {}


def _recounted(nodes: Any, nested: Container[str]) -> Any:
    """References to layers' calls, as [name, call, tensor, ...]; those of nested networks one less."""
    match nodes:
        case [str(name), int(call), *rest]:
            return [name, call - 1 if call and name in nested else call, *rest]
        case list():
            return [_recounted(node, nested) for node in nodes]
        case _:
            return nodes


def _rescaling(layer: dict[str, Any], config: dict[str, Any]) -> dict[str, Any]:
    """A Rescaling for an operation on a tensor and a number; the layer as it is for all others."""
    numbers = _RESCALINGS.get(config.get("function", ""))
    match layer.get("inbound_nodes"):
        case [[str(name), int(node), int(tensor), {"y": int(y) | float(y)}]] if numbers is not None and y:
            scale, offset = numbers(float(y))
        case _:
            return layer
    return {
        "module": "keras.layers",
        "class_name": "Rescaling",
        "config": {"name": config["name"], "dtype": config.get("dtype", "float32"), "scale": scale, "offset": offset},
        "inbound_nodes": [[[name, node, tensor, {}]]],
        **{key: layer[key] for key in ("name", "build_config") if key in layer},
    }


def _version_in_hdf5(path: Path) -> str:
    import h5py

    with h5py.File(path) as file:
        version = file.attrs["keras_version"]
        return version.decode() if isinstance(version, bytes) else str(version)


def _version_in_zip(path: Path) -> str:
    with zipfile.ZipFile(path) as file:
        return str(json.loads(file.read(_METADATA))["keras_version"])
