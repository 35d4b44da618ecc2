"""A Keras model in a .keras or .h5 file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ondevice.converters.export import tensorflow
from ondevice.converters.job import ConversionJob
from ondevice.converters.sources.failure import in_one_line
from ondevice.converters.sources.input import input_of, size_of
from ondevice.converters.sources.policy import in_float32
from ondevice.converters.sources.scaling import scaling_of
from ondevice.converters.sources.source import Source
from ondevice.errors import ConvertError, UsageError
from ondevice.models.value_range import PIXELS, Range, wanted_range

_HINT = "is it whole? one with layers of your own has to come as a SavedModel, by model.export(FOLDER)"


def from_keras_file(path: Path, job: ConversionJob) -> Source:
    """The network in the file. Raises UsageError, ConvertError."""
    if not path.is_file():
        raise UsageError(f"{path}: no such file")
    with in_one_line(f"{path}: Keras cannot read it", _HINT):
        network = in_float32(tensorflow().keras.models.load_model(path, compile=False))
    if len(network.inputs) != 1 or len(network.outputs) != 1:
        raise ConvertError(f"{path}: {len(network.inputs)} inputs and {len(network.outputs)} outputs, not one of each")
    size = size_of(path, network.inputs[0].shape, job)
    wanted = input_of(path, size, _own_range(network, size), job)
    return Source(network, wanted, f"Keras model {network.name}", network.count_params())


def _own_range(network: Any, size: tuple[int, int, int]) -> Range | None:
    """The pixels that the network wants, by their type or by what it makes of them first."""
    if "int" in network.inputs[0].dtype:
        return PIXELS
    scaling = scaling_of(network, size)
    return None if scaling is None else wanted_range(scaling)
