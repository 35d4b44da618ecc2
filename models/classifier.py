"""A .tflite file as an image classifier's: the tensor that takes a picture, and the one that has the scores."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ondevice.models import graph
from ondevice.models.ends import End, classifier_layout, refusal
from ondevice.models.graph import Graph, GraphTensor, Operator
from ondevice.models.layout import Layout
from ondevice.models.output import Meaning

# What changes how numbers are stored, and not what they are.
_RESTORING = ("QUANTIZE", "DEQUANTIZE", "RESHAPE", "SQUEEZE", "CAST")


@dataclass(frozen=True)
class ClassifierGraph:
    """The graph of an image classifier: one picture in, one score a class out."""

    path: Path
    graph: Graph
    layout: Layout

    @property
    def input(self) -> GraphTensor:
        """The tensor that takes the picture."""
        return self._tensor(self.graph.subgraphs[0].inputs[0])

    @property
    def end(self) -> End:
        """What messages tell of its input."""
        return _end(self.input)

    @property
    def output(self) -> GraphTensor:
        """The tensor that has the scores."""
        return self._tensor(self.graph.subgraphs[0].outputs[0])

    @property
    def outputs(self) -> int:
        """How many numbers it gives."""
        return self.output.elements

    @property
    def meaning(self) -> Meaning:
        """What its outputs mean: one alone is of two classes, a probability where the network ends with LOGISTIC."""
        if self.outputs != 1:
            return Meaning.SCORES
        last = self._maker(self.graph.subgraphs[0].outputs[0])
        return Meaning.PROBABILITY if last is not None and last.name == "LOGISTIC" else Meaning.LOGIT

    @property
    def stored_pixels(self) -> tuple[tuple[float, ...], tuple[float, ...]] | None:
        """Mean and std with which an input of whole numbers has pixels as they are stored; None for a float input."""
        tensor = self.input
        if tensor.dtype == "float32":
            return None
        darkest = 128 if tensor.dtype == "int8" else 0
        return (tensor.zero_point + float(darkest),), (1 / (tensor.scale or 1.0),)

    def _tensor(self, number: int) -> GraphTensor:
        return self.graph.subgraphs[0].tensors[number]

    def _maker(self, number: int) -> Operator | None:
        """The operator that computes a tensor, past those that only store it otherwise."""
        for operator in reversed(self.graph.subgraphs[0].operators):
            if number in operator.outputs:
                if operator.name not in _RESTORING:
                    return operator
                number = operator.inputs[0]
        return None


def read(path: Path) -> ClassifierGraph:
    """The file's graph. Raises ModelError where it is damaged, NotClassifierError where it is another network's."""
    found = graph.read(path)
    return ClassifierGraph(path, found, classifier_layout(path, *_ends(found)))


def refuse_sequence(known: ClassifierGraph) -> None:
    """Raise NotClassifierError for [1, a, b] with a and b not alike: steps and their features, more often than grey."""
    height, width = known.layout.size
    if known.layout.rank == 3 and height != width:
        reason = "its input is a sequence, unless --size HEIGHTxWIDTH says that it is a grey picture"
        raise refusal(known.path, reason, *_ends(known.graph))


def _ends(found: Graph) -> tuple[list[End], list[End]]:
    first = found.subgraphs[0]
    return [_end(first.tensors[n]) for n in first.inputs], [_end(first.tensors[n]) for n in first.outputs]


def _end(tensor: GraphTensor) -> End:
    return End(tensor.name, tensor.dtype, tensor.shape, tensor.signature)
