"""What values a network wants, seen from what it does to its input first."""

from __future__ import annotations

import numpy as np

from ondevice.models import graph
from ondevice.models.classifier import ClassifierGraph
from ondevice.models.graph import GraphTensor, Operator
from ondevice.models.value_range import PIXELS, RANGES, Affine, Range, wanted_range

# What moves or stores values, and changes none.
_PASSING = ("CAST", "RESHAPE", "EXPAND_DIMS", "SQUEEZE", "TRANSPOSE", "DEQUANTIZE", "PAD", "PADV2")
# The two ends of int8 and uint8, and so of what a quantized input can be.
_LIMITS = {"int8": (-128, 127), "uint8": (0, 255)}
# Calibration sees a little less than all values that there are, and rounding moves the ends by a step.
_NEAR = 0.02
# One number for all channels, or one a channel.
_MOST_CHANNELS = 4
# What has weights, and along which axis of these its outputs lie.
_FILTERS = {"CONV_2D": 0, "DEPTHWISE_CONV_2D": -1, "FULLY_CONNECTED": 0}
# Filters have norms of about one, for initializers and batch normalization see to it that values neither grow nor
# vanish; of networks for 0..1 or -1..1 the largest of a first layer was never seen under 0.25. Where it is under an
# eighth of that, a scaling such as 1/255 has been multiplied into it, which makes 0.004 of 1.
_FAINT = 0.03
# As many weights as first convolutions have, and small dense layers: reading more takes longer than loading them.
_MOST_WEIGHTS = 1_000_000
_FLOATS = ("float32", "float16")


def value_range(known: ClassifierGraph) -> Range | None:
    """What pixels 0 and 255 become, as the network's first operators tell; None where they do not."""
    first = known.graph.subgraphs[0]
    number, scaling = first.inputs[0], Affine()
    while True:
        readers = [operator for operator in first.operators if number in operator.inputs]
        if len(readers) != 1 or len(readers[0].outputs) != 1:
            break
        reader = readers[0]
        step = Affine() if reader.name in _PASSING else _step(known, reader, number)
        if reader.name == "QUANTIZE" and scaling == Affine():
            return _quantized(first.tensors[reader.outputs[0]])
        if step is None:
            if scaling == Affine() and _is_faint(known, reader, number):
                return PIXELS
            break
        scaling, number = scaling.then(step), reader.outputs[0]
    return None if scaling == Affine() else wanted_range(scaling)


def _step(known: ClassifierGraph, operator: Operator, number: int) -> Affine | None:
    """What an operator does to values of its input `number` by a constant; None for all else."""
    others = [other for other in operator.inputs if other != number]
    if len(operator.inputs) != 2 or len(others) != 1:
        return None
    constant = _constant(known, others[0])
    if not constant:
        return None
    if operator.name == "MUL":
        return Affine(constant)
    if operator.name == "ADD":
        return Affine(offset=constant)
    if operator.inputs[0] != number:
        return None  # a constant less the picture, or over it
    if operator.name == "SUB":
        return Affine(offset=tuple(-value for value in constant))
    if operator.name == "DIV" and 0 not in constant:
        return Affine(tuple(1 / value for value in constant))
    return None


def _is_faint(known: ClassifierGraph, operator: Operator, number: int) -> bool:
    """Whether an operator's filters are those of a network that scales pixels of 0 to 255 first.

    TFLite's converter multiplies a scaling without an offset, as `Rescaling(1/255)` is, into the filters behind it.
    """
    if operator.name not in _FILTERS or operator.inputs[0] != number or len(operator.inputs) < 2:
        return False
    first, held = known.graph.subgraphs[0], operator.inputs[1]
    stored = [o.inputs[0] for o in first.operators if o.name == "DEQUANTIZE" and held in o.outputs and o.inputs]
    held = stored[0] if stored else held  # of float16 files floats are made first
    weights = first.tensors[held]
    if held < 0 or len(weights.shape) < 2:
        return False
    if weights.dtype not in _FLOATS or not weights.constant or not 0 < weights.elements <= _MOST_WEIGHTS:
        return False
    values = np.asarray(graph.floats(known.path, held), np.float64)
    if values.size != weights.elements or not values.any():
        return False
    filters = np.moveaxis(values.reshape(weights.shape), _FILTERS[operator.name], 0)
    norms = np.linalg.norm(filters.reshape(len(filters), -1), axis=1)
    return bool(norms.max() < _FAINT)


def _constant(known: ClassifierGraph, number: int) -> tuple[float, ...]:
    """The one value, or one a channel, of a constant tensor; empty for others."""
    tensor = known.graph.subgraphs[0].tensors[number]
    a_channel = tensor.elements in (1, known.layout.channels) and tensor.elements <= _MOST_CHANNELS
    if tensor.dtype != "float32" or not tensor.constant or not a_channel:
        return ()
    return graph.floats(known.path, number)


def _quantized(tensor: GraphTensor) -> Range | None:
    """The range that a quantized tensor can have, where it is one that networks are given."""
    if tensor.dtype not in _LIMITS or not tensor.scale:
        return None
    low, high = ((value - tensor.zero_point) * tensor.scale for value in _LIMITS[tensor.dtype])
    for known in RANGES:
        if max(abs(low - known[0]), abs(high - known[1])) <= _NEAR * (known[1] - known[0]):
            return known
    return None
