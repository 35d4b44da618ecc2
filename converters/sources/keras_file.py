"""A Keras model in a .keras or .h5 file."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from ondevice.converters.export import tensorflow
from ondevice.converters.job import ConversionJob
from ondevice.converters.sources import harmless, keras2
from ondevice.converters.sources.failure import in_one_line, in_words
from ondevice.converters.sources.input import input_of, size_of
from ondevice.converters.sources.policy import in_float32
from ondevice.converters.sources.scaling import scaling_of
from ondevice.converters.sources.source import Source
from ondevice.errors import ConvertError, UsageError
from ondevice.models.value_range import PIXELS, Range, wanted_range

_HINT = "is it whole?"
_HINT_2 = "save it there as a SavedModel, by model.export(FOLDER) or tf.saved_model.save(model, FOLDER); convert that"


def from_keras_file(path: Path, job: ConversionJob) -> Source:
    """The network in the file. Raises UsageError, ConvertError."""
    if not path.is_file():
        raise UsageError(f"{path}: no such file")
    harmless.check(path)
    network = _loaded(path)
    with in_one_line(f"{path}: it cannot compute in float32", "save it with the dtype policy float32"):
        network = in_float32(network)
    if len(network.inputs) != 1 or len(network.outputs) != 1:
        raise ConvertError(f"{path}: {len(network.inputs)} inputs and {len(network.outputs)} outputs, not one of each")
    size = size_of(path, network.inputs[0].shape, job)
    wanted = input_of(path, size, _own_range(network, size), job)
    rank = len(network.inputs[0].shape)
    return Source(network, wanted, f"Keras model {network.name}", network.count_params(), rank)


def _loaded(path: Path) -> Any:
    """The network in the file; what Keras 2 wrote and Keras 3 does not take, told in its words."""
    load = partial(tensorflow().keras.models.load_model, compile=False)
    try:
        return load(path)
    except Exception as error:
        found = _rewritten(path, load)
        if not isinstance(found, Exception):
            return found
        version = keras2.version_of(path)
        if version:
            raise in_words(found, f"{path} is of Keras {version}, and Keras 3 cannot read it", _HINT_2) from error
        raise in_words(error, f"{path}: Keras cannot read it", _HINT) from error


def _rewritten(path: Path, load: Callable[[Path], Any]) -> Any:
    """The network in the file rewritten, or what is raised of that."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            return load(keras2.rewritten(path, Path(folder)))
        except Exception as error:
            return error


def _own_range(network: Any, size: tuple[int, int, int]) -> Range | None:
    """The pixels that the network wants, by their type or by what it makes of them first."""
    if "int" in network.inputs[0].dtype:
        return PIXELS
    scaling = scaling_of(network, size[: len(network.inputs[0].shape) - 1])
    return None if scaling is None else wanted_range(scaling)
