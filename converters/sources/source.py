"""A network to convert, whatever runs it: what it answers, and how files are made of it."""

from __future__ import annotations

import abc
from collections.abc import Callable
from contextlib import AbstractContextManager

import numpy as np
from numpy.typing import NDArray

from ondevice.converters.pictures import Images, noise, tensors
from ondevice.errors import ConvertError
from ondevice.models.card import Input
from ondevice.models.output import Meaning
from ondevice.ranking import two_classes

Outputs = NDArray[np.float32]
# Of a precision, the tensors that int8 is calibrated on, and what an int8 file takes and gives: a file's bytes.
Export = Callable[[str, list[NDArray[np.float32]], str], bytes]
# Keras keeps every layer's output of a batch: of NASNet-Large, more than a gigabyte a picture.
BATCH = 4


class Source(abc.ABC):
    """A network with one picture in and one score a class out, or one output for two classes.

    input: how a picture becomes its input; knows_crop: whether the share of pictures that it takes is the network's
    own. parameters: how many it has, None where that cannot be known. rank: of its input, 3 for grey pictures without a
    dimension for channels. classes: how many it tells apart; meaning: how. tools: the distributions that convert it;
    publisher: whose ImageNet weights it may have.
    """

    tools: tuple[str, ...]
    publisher = ""
    knows_crop = False

    def __init__(self, wanted: Input, architecture: str, parameters: int | None, rank: int = 4) -> None:
        self.input, self.architecture, self.parameters, self._rank = wanted, architecture, parameters, rank
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

    @property
    def size(self) -> tuple[int, ...]:
        """Height, width and, but for a rank of 3, channels of the input."""
        return (self.input.height, self.input.width, self.input.channels)[: self._rank - 1]

    @abc.abstractmethod
    def logits(self, images: Images) -> Outputs:
        """What goes into the softmax that a network ends with [n, classes]; its output has fewer digits."""

    @abc.abstractmethod
    def exporting(self) -> AbstractContextManager[Export]:
        """Within it, what makes files of the network; what several of them need is made once."""

    @abc.abstractmethod
    def recipe(self, precision: str, io: str) -> str:
        """How a file of a precision is made, for its card; io: what an int8 file takes and gives."""

    @abc.abstractmethod
    def _outputs(self, batch: NDArray[np.float32]) -> Outputs:
        """What the network gives for a batch of its input."""

    @abc.abstractmethod
    def _meaning_of_one(self) -> Meaning:
        """What a network's only output means, by the operation that it ends with."""
