"""A SavedModel folder with a serving_default signature."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ondevice.converters.export import tensorflow
from ondevice.converters.job import ConversionJob
from ondevice.converters.sources.failure import in_one_line
from ondevice.converters.sources.input import input_of
from ondevice.converters.sources.source import Outputs, Source
from ondevice.errors import ConvertError


class SavedModelSource(Source):
    """A SavedModel's network, which takes one picture at a time and is saved as it is."""

    def _outputs(self, batch: NDArray[np.float32]) -> Outputs:
        return np.concatenate([np.asarray(self._serve(tensorflow().constant(row[None]))) for row in batch])

    def _serve(self, tensor: Any) -> Any:
        function = self._network.signatures["serving_default"]
        (name,) = function.structured_input_signature[1]
        (output,) = function(**{name: tensor}).values()
        return output

    def save(self, folder: str) -> None:
        """Write it as a SavedModel that takes one picture."""
        tf = tensorflow()
        module = tf.Module()
        module.network = self._network  # which holds the variables
        module.serve = tf.function(self._serve, input_signature=[tf.TensorSpec((1, *self.size), tf.float32)])
        tf.saved_model.save(module, folder, signatures=module.serve.get_concrete_function())


def from_saved_model(path: Path, job: ConversionJob) -> Source:
    """The network in the folder. Raises UsageError, ConvertError."""
    with in_one_line(f"{path}: TensorFlow cannot read it", "give a SavedModel folder, with its saved_model.pb"):
        network = tensorflow().saved_model.load(str(path))
    if "serving_default" not in network.signatures:
        raise ConvertError(f"{path}: it has no serving_default signature; save it with one")
    function = network.signatures["serving_default"]
    shapes = [tuple(spec.shape) for spec in function.structured_input_signature[1].values()]
    if len(shapes) != 1 or len(function.structured_outputs) != 1:
        raise ConvertError(
            f"{path}: {len(shapes)} inputs and {len(function.structured_outputs)} outputs, not one of each"
        )
    return SavedModelSource(network, input_of(path, shapes[0], False, job), "SavedModel", None)
