"""A SavedModel folder, by one of its signatures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ondevice.converters.export import tensorflow
from ondevice.converters.job import ConversionJob
from ondevice.converters.sources.failure import in_one_line
from ondevice.converters.sources.input import input_of, size_of
from ondevice.converters.sources.loading import load
from ondevice.converters.sources.pixels import as_floats
from ondevice.converters.sources.signature import Signature, signature_of
from ondevice.converters.sources.source import Outputs, Source
from ondevice.converters.sources.tensorflow import TensorFlowSource
from ondevice.errors import ConvertError, UsageError
from ondevice.models.card import Input
from ondevice.models.value_range import PIXELS


class SavedModelSource(TensorFlowSource):
    """A SavedModel's network, which takes one picture at a time and is saved as one that takes it in floats."""

    def __init__(self, network: Any, signature: Signature, wanted: Input) -> None:
        self._signature = signature
        rank = signature.inputs[0].shape.rank
        super().__init__(network, wanted, f"SavedModel, signature {signature.name}", None, rank)

    def _outputs(self, batch: NDArray[np.float32]) -> Outputs:
        rows = (tensorflow().constant(row[None]) for row in batch)
        return np.concatenate([np.asarray(self._call(row), np.float32) for row in rows])

    def _call(self, tensor: Any) -> Any:
        return self._signature(tensorflow().cast(tensor, self._signature.inputs[0].dtype))

    def save(self, folder: str) -> None:
        """Write it as a SavedModel that takes one picture."""
        tf = tensorflow()
        shape = (1, *self.size)
        takes_bytes = self._signature.inputs[0].dtype == tf.uint8
        module = tf.Module()
        module.network = self._network  # which holds the variables
        module.inner = as_floats(self._signature, shape) if takes_bytes else self._call
        module.serve = tf.function(module.inner, input_signature=[tf.TensorSpec(shape, tf.float32)])
        tf.saved_model.save(module, folder, signatures=module.serve.get_concrete_function())


def from_saved_model(path: Path, job: ConversionJob) -> Source:
    """The network in the folder. Raises UsageError, ConvertError."""
    network = load(path)
    signature = signature_of(path, network, job.signature)
    takes_bytes = _checked(path, signature, job)
    size = size_of(path, signature.inputs[0].shape.as_list(), job)
    wanted = input_of(path, size, PIXELS if takes_bytes else None, job)
    hint = f"--signature takes {', or '.join(signature.others)} too" if signature.others else "it has no other"
    with in_one_line(f"{path}: signature {signature.name} cannot be run on a picture", hint):
        return SavedModelSource(network, signature, wanted)


def _checked(path: Path, signature: Signature, job: ConversionJob) -> bool:
    """Whether the signature takes pixels as they are, in bytes. Raises ConvertError for what takes no one tensor."""
    tf, inputs = tensorflow(), signature.inputs
    if len(inputs) != 1:
        raise ConvertError(f"{path}: signature {signature.name} has {len(inputs)} inputs, not one")
    (spec,) = inputs
    if spec.shape.rank is None or not (spec.dtype.is_floating or spec.dtype.is_integer):
        raise ConvertError(
            f"{path}: signature {signature.name} takes {spec.dtype.name} {spec.shape}, not a picture's pixels"
        )
    if spec.shape.rank and spec.shape[0] not in (None, 1):
        raise ConvertError(f"{path}: it takes {spec.shape[0]} pictures at a time: save it for any number of them")
    if spec.dtype != tf.uint8:
        return False
    mean, std = job.normalization or ((0.0,), (1.0,))
    if {*mean} != {0.0} or {*std} != {1.0}:
        raise UsageError(f"{path} takes pixels as they are, as uint8: leave out --range, --mean and --std")
    return True
