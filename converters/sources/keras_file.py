"""A Keras model in a .keras or .h5 file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ondevice.converters.export import tensorflow
from ondevice.converters.job import ConversionJob
from ondevice.converters.sources.failure import in_one_line
from ondevice.converters.sources.input import input_of
from ondevice.converters.sources.source import Source
from ondevice.errors import ConvertError, UsageError

_HINT = "is it whole? one with layers of your own has to come as a SavedModel, by model.export(FOLDER)"


def from_keras_file(path: Path, job: ConversionJob) -> Source:
    """The network in the file. Raises UsageError, ConvertError."""
    if not path.is_file():
        raise UsageError(f"{path}: no such file")
    with in_one_line(f"{path}: Keras cannot read it", _HINT):
        network = tensorflow().keras.models.load_model(path, compile=False)
    if len(network.inputs) != 1 or len(network.outputs) != 1:
        raise ConvertError(f"{path}: {len(network.inputs)} inputs and {len(network.outputs)} outputs, not one of each")
    wanted = input_of(path, network.input_shape, _rescales(network), job)
    return Source(network, wanted, f"Keras model {network.name}", network.count_params())


def _rescales(network: Any) -> bool:
    """Whether the network begins by scaling pixels itself, and so takes them as they are."""
    kinds = [type(layer).__name__ for layer in network.layers[:3]]
    return bool({"Rescaling", "Normalization"} & set(kinds))
