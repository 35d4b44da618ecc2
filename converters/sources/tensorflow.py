"""A network that TensorFlow runs, and its converter converts."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ondevice.converters.export import once, saver, tensorflow, to_tflite
from ondevice.converters.pictures import Images
from ondevice.converters.sources.source import Export, Outputs, Source
from ondevice.models.card import Input
from ondevice.models.output import Meaning

# Operations that change no value.
_PASSING = ("Identity", "Reshape", "Squeeze", "ExpandDims")


class TensorFlowSource(Source):
    """A Keras model, or what is called as one."""

    tools = ("tensorflow", "keras", "ai-edge-quantizer", "ai-edge-litert")
    publisher = "Keras"

    def __init__(self, network: Any, wanted: Input, architecture: str, parameters: int | None, rank: int = 4) -> None:
        self._network = network
        super().__init__(wanted, architecture, parameters, rank)

    def logits(self, images: Images) -> Outputs:
        """What goes into the softmax that an architecture ends with [n, classes]; its output has fewer digits."""
        inner = _without_softmax(self._network)
        return TensorFlowSource(inner, self.input, self.architecture, self.parameters).predict(images)

    def save(self, folder: str) -> None:
        """Write it as a SavedModel that takes one picture."""
        saver(self._network, *self.size)(folder)

    @contextlib.contextmanager
    def exporting(self) -> Iterator[Export]:
        """Within it, TensorFlow's converter, for which the network is saved once."""
        with once(self.save) as save:
            yield partial(to_tflite, save)

    def recipe(self, precision: str, io: str) -> str:
        """How a file of a precision is made, for its card."""
        return {
            "fp32": "TensorFlow's converter, no quantization",
            "fp16": "TensorFlow's converter, float16 weights",
            "dynamic": "TensorFlow's converter, dynamic range: int8 weights, activations quantized as they come",
            "weight_only": "AI Edge Quantizer, int8 weights of convolutions and dense layers, dequantized before use",
            "int8": f"TensorFlow's converter, full int8: weights, activations; {io} input and output",
        }[precision]

    def _outputs(self, batch: NDArray[np.float32]) -> Outputs:
        return np.asarray(self._call(batch), np.float32)

    def _call(self, tensor: Any) -> Any:
        """What the network gives for a batch, as TensorFlow has it."""
        return self._network(tensor, training=False)

    def _meaning_of_one(self) -> Meaning:
        """What a network's only output means, by the operation that it ends with."""
        from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

        tf = tensorflow()
        spec = tf.TensorSpec((1, *self.size), tf.float32)
        function = tf.function(self._call, input_signature=[spec]).get_concrete_function()
        last = convert_variables_to_constants_v2(function).outputs[0].op
        while last.type in _PASSING:
            last = last.inputs[0].op
        return Meaning.PROBABILITY if last.type == "Sigmoid" else Meaning.LOGIT


def _without_softmax(network: Any) -> Any:
    keras, last = tensorflow().keras, network.layers[-1]
    if not last.weights:  # nothing but the softmax
        return keras.Model(network.input, last.input)
    linear = type(last).from_config({**last.get_config(), "activation": None})
    inner = keras.Model(network.input, linear(last.input))
    linear.set_weights(last.get_weights())
    return inner
