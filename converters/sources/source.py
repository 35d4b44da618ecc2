"""A network to convert, as TensorFlow runs it: what it answers, and how it is saved."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ondevice.converters.export import saver, tensorflow
from ondevice.converters.pictures import Images, noise, tensors
from ondevice.errors import ConvertError
from ondevice.models.card import Input
from ondevice.models.output import Meaning
from ondevice.ranking import two_classes

Outputs = NDArray[np.float32]
# Keras keeps every layer's output of a batch: of NASNet-Large, more than a gigabyte a picture.
BATCH = 4
# Operations that change no value.
_PASSING = ("Identity", "Reshape", "Squeeze", "ExpandDims")


class Source:
    """A network with one picture in and one score a class out, or one output for two classes.

    input: how a picture becomes its input. parameters: how many it has, None where that cannot be known. rank: of its
    input, 3 for grey pictures without a dimension for channels. classes: how many it tells apart; meaning: how.
    """

    def __init__(self, network: Any, wanted: Input, architecture: str, parameters: int | None, rank: int = 4) -> None:
        self._network, self.input, self.architecture, self.parameters = network, wanted, architecture, parameters
        self._rank = rank
        outputs = self._predict(noise(1, wanted, 0)).shape[1]
        self.meaning = Meaning.SCORES if outputs > 1 else self._meaning_of_one()
        self.classes = self.meaning.classes(outputs)

    def predict(self, images: Images) -> Outputs:
        """The scores [n, classes] for pictures, uint8 [n, height, width, channels]."""
        outputs = self._predict(images)
        return two_classes(outputs, self.meaning) if self.meaning.of_two else outputs

    def _predict(self, images: Images) -> Outputs:
        batches = (images[i : i + BATCH] for i in range(0, len(images), BATCH))
        outputs = np.concatenate([self._outputs(self.tensors(batch)) for batch in batches])
        if outputs.ndim != 2:
            raise ConvertError(f"not an image classifier: its output is {list(outputs.shape)}, not [pictures, classes]")
        return outputs

    def tensors(self, images: Images) -> NDArray[np.float32]:
        """What the network is given for pictures: real values [n, *size]."""
        return tensors(images, self.input).reshape(-1, *self.size)

    def logits(self, images: Images) -> Outputs:
        """What goes into the softmax that an architecture ends with [n, classes]; its output has fewer digits."""
        inner = _without_softmax(self._network)
        return Source(inner, self.input, self.architecture, self.parameters).predict(images)

    def save(self, folder: str) -> None:
        """Write it as a SavedModel that takes one picture."""
        saver(self._network, *self.size)(folder)

    @property
    def size(self) -> tuple[int, ...]:
        """Height, width and, but for a rank of 3, channels of the input."""
        return (self.input.height, self.input.width, self.input.channels)[: self._rank - 1]

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
