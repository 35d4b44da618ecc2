"""A network to convert, as TensorFlow runs it: what it answers, and how it is saved."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ondevice.converters.export import saver, tensorflow
from ondevice.converters.pictures import Images, noise, tensors
from ondevice.errors import ConvertError
from ondevice.models.card import Input

Outputs = NDArray[np.float32]
# Keras keeps every layer's output of a batch: of NASNet-Large, more than a gigabyte a picture.
BATCH = 4


class Source:
    """A network with one picture in and one score a class out.

    input: how a picture becomes its input. parameters: how many it has, None where that cannot be known. classes: how
    many scores.
    """

    def __init__(self, network: Any, wanted: Input, architecture: str, parameters: int | None) -> None:
        self._network, self.input, self.architecture, self.parameters = network, wanted, architecture, parameters
        self.classes = int(self.predict(noise(1, wanted, 0)).shape[1])

    def predict(self, images: Images) -> Outputs:
        """The outputs [n, classes] for pictures, uint8 [n, height, width, channels]."""
        batches = (images[i : i + BATCH] for i in range(0, len(images), BATCH))
        outputs = np.concatenate([self._outputs(tensors(batch, self.input)) for batch in batches])
        if outputs.ndim != 2:
            raise ConvertError(f"not an image classifier: its output is {list(outputs.shape)}, not [pictures, classes]")
        return outputs

    def logits(self, images: Images) -> Outputs:
        """What goes into the softmax that an architecture ends with [n, classes]; its output has fewer digits."""
        inner = _without_softmax(self._network)
        return Source(inner, self.input, self.architecture, self.parameters).predict(images)

    def save(self, folder: str) -> None:
        """Write it as a SavedModel that takes one picture."""
        saver(self._network, *self.size)(folder)

    @property
    def size(self) -> tuple[int, int, int]:
        """Height, width and channels of the input."""
        return self.input.height, self.input.width, self.input.channels

    def _outputs(self, batch: NDArray[np.float32]) -> Outputs:
        return np.asarray(self._network(batch, training=False), np.float32)


def _without_softmax(network: Any) -> Any:
    keras, last = tensorflow().keras, network.layers[-1]
    if not last.weights:  # nothing but the softmax
        return keras.Model(network.input, last.input)
    linear = type(last).from_config({**last.get_config(), "activation": None})
    inner = keras.Model(network.input, linear(last.input))
    linear.set_weights(last.get_weights())
    return inner
