"""A Keras 2 file by Keras 2 itself, which is called tf_keras now: what Keras 3 has nothing for."""

from __future__ import annotations

import tempfile
from importlib import util
from pathlib import Path
from typing import Any

from ondevice import words
from ondevice.converters.export import tensorflow
from ondevice.converters.sources import keras2
from ondevice.converters.sources.policy import retyped
from ondevice.converters.sources.tensorflow import TensorFlowSource

_LIBRARY = "tf_keras"


class TfKerasSource(TensorFlowSource):
    """A network of Keras 2. Its functions are traced anew: Keras 2 would save every layer's, which takes minutes."""

    tools = ("tensorflow", "tf_keras", "ai-edge-quantizer", "ai-edge-litert")

    def save(self, folder: str) -> None:
        """Write it as a SavedModel that takes one picture."""
        tf = tensorflow()
        module = tf.Module()
        module.weights = list(self._network.variables)
        module.serve = tf.function(self._call, input_signature=[tf.TensorSpec((1, *self.size), tf.float32)])
        tf.saved_model.save(module, folder, signatures=module.serve.get_concrete_function())


def is_installed() -> bool:
    """Whether tf_keras is there."""
    return util.find_spec(_LIBRARY) is not None


def how_to_install() -> str:
    """The command that installs it, of the version that the TensorFlow here takes."""
    major, minor, *_ = tensorflow().__version__.split(".")
    return words.typed("pip", "install", f"{_LIBRARY}=={major}.{minor}.*")


def load(path: Path) -> Any:
    """The network in the file, computing in float32. Raises what Keras does."""
    from tf_keras import models

    with tempfile.TemporaryDirectory() as folder:
        return models.load_model(keras2.rewritten(path, Path(folder), retyped), compile=False)


def is_of_keras_2(network: Any) -> bool:
    """Whether `load` gave the network."""
    return any(base.__module__.startswith(f"{_LIBRARY}.") for base in type(network).__mro__)
