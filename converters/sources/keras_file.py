"""A Keras model in a .keras or .h5 file."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from ondevice.converters.export import tensorflow
from ondevice.converters.job import ConversionJob
from ondevice.converters.sources import harmless, keras2, tf_keras_file
from ondevice.converters.sources.failure import in_one_line, in_words
from ondevice.converters.sources.input import input_of, size_of
from ondevice.converters.sources.policy import in_float32
from ondevice.converters.sources.scaling import scaling_of
from ondevice.converters.sources.source import Source
from ondevice.converters.sources.tensorflow import TensorFlowSource
from ondevice.errors import ConvertError, UsageError
from ondevice.models.value_range import PIXELS, Range, wanted_range

_HINT_2 = "save it there as a SavedModel, by model.export(FOLDER) or tf.saved_model.save(model, FOLDER); convert that"


def from_keras_file(path: Path, job: ConversionJob) -> Source:
    """The network in the file. Raises UsageError, ConvertError."""
    if not path.is_file():
        raise UsageError(f"{path}: no such file")
    harmless.check(path)
    network = _loaded(path)
    if len(network.inputs) != 1 or len(network.outputs) != 1:
        raise ConvertError(f"{path}: {len(network.inputs)} inputs and {len(network.outputs)} outputs, not one of each")
    shape = tuple(network.inputs[0].shape)
    size = size_of(path, shape, job)
    wanted = input_of(path, size, _own_range(network, size), job)
    if tf_keras_file.is_of_keras_2(network):
        described = f"Keras model {network.name}, by tf_keras"
        return tf_keras_file.TfKerasSource(network, wanted, described, network.count_params(), len(shape))
    return TensorFlowSource(network, wanted, f"Keras model {network.name}", network.count_params(), len(shape))


def _loaded(path: Path) -> Any:
    """The network in the file, computing in float32; what Keras 2 wrote and Keras 3 does not take, told in its words.

    Where that is not enough, it is Keras 2's network.
    """
    load = partial(tensorflow().keras.models.load_model, compile=False)
    try:
        network = load(path)
    except Exception as error:
        network = _rewritten(path, load)
        if isinstance(network, Exception):
            return _by_keras_2(path, error, network)
    with in_one_line(f"{path}: it cannot compute in float32", "save it with the dtype policy float32"):
        return in_float32(network)


def _by_keras_2(path: Path, error: Exception, rewritten: Exception) -> Any:
    """Keras 2's network; error: what Keras 3 raised of the file, and of the file rewritten. Raises ConvertError."""
    version = keras2.version_of(path)
    if not version:
        raise in_words(error, f"{path}: Keras cannot read it", "is it whole?") from error
    if not tf_keras_file.is_installed():
        hint = f"{tf_keras_file.how_to_install()} makes that possible"
        raise in_words(rewritten, f"{path} is of Keras {version}, and Keras 3 cannot read it", hint) from error
    with in_one_line(f"{path} is of Keras {version}, and neither Keras 3 nor tf_keras can read it", _HINT_2):
        return tf_keras_file.load(path)


def _rewritten(path: Path, load: Callable[[Path], Any]) -> Any:
    """The network in the file rewritten, or what is raised of that."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            return load(keras2.rewritten(path, Path(folder), keras2.modern))
        except Exception as error:
            return error


def _own_range(network: Any, size: tuple[int, int, int]) -> Range | None:
    """The pixels that the network wants, by their type or by what it makes of them first."""
    if "int" in str(network.inputs[0].dtype):
        return PIXELS
    scaling = scaling_of(network, size[: len(network.inputs[0].shape) - 1])
    return None if scaling is None else wanted_range(scaling)
