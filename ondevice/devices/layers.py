"""The layers of a network, from its graph, in one form however it was trained, converted and quantized.

What converters write in several ways has one form here: padding, activations, what changes only the shape or the
storage, and arithmetic with constants are part of the layer beside them; a dense layer is a 1x1 convolution.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Callable, Iterator
from typing import NamedTuple

from ondevice.models.graph import GraphTensor, Operator, Subgraph


class LayerKind(enum.StrEnum):
    """What a layer's time hangs on most."""

    # A convolution of several pixels, also a grouped or a transposed one.
    CONVOLUTION = "convolution"
    # A convolution of one pixel, or a dense layer.
    POINTWISE = "pointwise"
    DEPTHWISE = "depthwise"
    # A maximum, mean or sum over pixels or channels.
    POOLING = "pooling"
    # A sum, product and the like of two or more tensors of which none is constant.
    ELEMENTWISE = "elementwise"
    CONCATENATION = "concatenation"


class NetworkLayer(NamedTuple):
    """One layer; kernel, stride and dilation are (height, width), in pixels.

    kernel: (0, 0) for the whole map. channels_in: of one input, the first. height, width: of the output; a batch is as
    many maps one under the other. work: multiply-adds of the three kinds of convolution; numbers read by pooling;
    numbers written by the rest. weights: constants, biases among them. activations: numbers read and written that are
    not constant; a map is read without the padding.
    """

    kind: LayerKind
    kernel: tuple[int, int]
    stride: tuple[int, int]
    dilation: tuple[int, int]
    channels_in: int
    channels_out: int
    height: int
    width: int
    work: int
    weights: int = 0
    activations: int = 0


# Operators that keep every number's place, or only put some between them: part of the layer that they follow.
_FOLDED = {
    "PAD", "PADV2", "MIRROR_PAD", "RESHAPE", "SQUEEZE", "EXPAND_DIMS", "TRANSPOSE", "QUANTIZE", "DEQUANTIZE",
    "FAKE_QUANT", "DENSIFY", "CAST", "RELU", "RELU6", "RELU_N1_TO_1", "RELU_0_TO_1", "LEAKY_RELU", "PRELU", "ELU",
    "GELU", "HARD_SWISH", "LOGISTIC", "TANH", "SOFTMAX", "LOG_SOFTMAX", "ABS", "NEG", "EXP", "LOG", "SQRT", "RSQRT",
    "SQUARE", "SIGN", "FLOOR", "CEIL", "ROUND",
}  # fmt: skip
# Operators that copy some numbers, or compute a few that say how large or where something is.
_COPIES = {
    "SLICE", "STRIDED_SLICE", "SPLIT", "SPLIT_V", "UNPACK", "PACK", "GATHER", "TILE", "BROADCAST_TO",
    "BROADCAST_ARGS", "REVERSE_V2", "SPACE_TO_DEPTH", "DEPTH_TO_SPACE", "SPACE_TO_BATCH_ND", "BATCH_TO_SPACE_ND",
    "SHAPE", "RANK", "RANGE", "FILL", "ZEROS_LIKE", "ARG_MAX", "ARG_MIN", "EQUAL", "NOT_EQUAL", "LESS", "LESS_EQUAL",
    "GREATER", "GREATER_EQUAL",
}  # fmt: skip
_ELEMENTWISE = {"ADD", "ADD_N", "SUB", "MUL", "DIV", "MAXIMUM", "MINIMUM", "SQUARED_DIFFERENCE", "POW"}
_POOLS = {"AVERAGE_POOL_2D", "MAX_POOL_2D", "L2_POOL_2D"}
_REDUCTIONS = {"MEAN", "SUM", "REDUCE_MAX", "REDUCE_MIN"}
# What pictures and features are stored as; the other types count and choose.
_DATA = {"float32", "float16", "bfloat16", "float64", "int16", "int8", "uint8", "int4"}
# Operators of any number of tensors, of which the constant ones do not count.
_COMBINED = _ELEMENTWISE | {"CONCATENATION"}
CONVOLUTIONS = (LayerKind.CONVOLUTION, LayerKind.POINTWISE, LayerKind.DEPTHWISE)
_ONE = (1, 1)
_WHOLE = (0, 0)
_MAP_DIMENSIONS = 4  # batch, height, width, channels


def of(graph: Subgraph) -> tuple[tuple[NetworkLayer, ...], tuple[str, ...]]:
    """The layers in the file's order, and the names of operators that are none of them, each once, sorted.

    An operator whose tensors are not shaped as it needs is among those, too.
    """
    walk = _Walk(graph)
    layers = tuple(walk.layers())
    return layers, tuple(sorted(walk.unknown))


class _Walk:
    """Goes through the operators, and keeps for each tensor the one of which it is only another form."""

    def __init__(self, graph: Subgraph) -> None:
        self._graph = graph
        self._constant = [tensor.constant for tensor in graph.tensors]
        self._origin = list(range(len(graph.tensors)))
        self.unknown: set[str] = set()

    def layers(self) -> Iterator[NetworkLayer]:
        for operator in self._graph.operators:
            live = [i for i in operator.inputs if i >= 0 and not self._constant[i]]
            computes = any(self._graph.tensors[i].dtype in _DATA for i in operator.outputs)
            if operator.custom or operator.name not in _KNOWN:
                self.unknown.add(operator.name)
            elif not live or not computes:
                self._are_constant(operator.outputs)
            elif self._is_folded(operator, live):
                self._fold(operator.outputs, live[0])
            elif operator.name not in _COPIES:
                yield from self._layer(operator, live)

    def _are_constant(self, tensors: tuple[int, ...]) -> None:
        """Numbers that no picture changes, or that only say how large or where something is."""
        for tensor in tensors:
            self._constant[tensor] = True

    def _is_folded(self, operator: Operator, live: list[int]) -> bool:
        """Whether all of its inputs are forms of one tensor: x * sigmoid(x) is an activation, whole or in parts.

        x + x is not one: so converters write the sum of two layers that are alike, as NASNet has them.
        """
        each = operator.name == "CONCATENATION" or (operator.name == "ADD" and len({*live}) == 1)
        origins = live if each else {self._origin[i] for i in live}
        return operator.name in _FOLDED or (operator.name in _COMBINED and len(origins) == 1)

    def _fold(self, outputs: tuple[int, ...], source: int) -> None:
        for tensor in outputs:
            self._origin[tensor] = self._origin[source]

    def _layer(self, operator: Operator, live: list[int]) -> Iterator[NetworkLayer]:
        tensors = self._graph.tensors
        numbers = live if operator.name in _COMBINED else operator.inputs
        try:
            output = tensors[operator.outputs[0]]
            made = _COMPUTED[operator.name](operator, [tensors[i] for i in numbers if i >= 0], output)
            height, width, channels = _map(output)
        except (ValueError, IndexError, ZeroDivisionError):
            self.unknown.add(operator.name)
            return
        weights = sum(tensors[i].elements for i in operator.inputs[1:] if i >= 0 and self._constant[i])
        read = sum(tensors[self._origin[i]].elements for i in live)
        stride, dilation = _steps(operator, made.kernel)
        yield NetworkLayer(
            made.kind, made.kernel, stride, dilation, made.channels_in, channels, height, width, made.work,
            weights if made.kind in CONVOLUTIONS else 0, read + output.elements,
        )  # fmt: skip


class Computation(NamedTuple):
    """The part of a layer that hangs on which operator it is."""

    kind: LayerKind
    kernel: tuple[int, int]
    channels_in: int
    work: int


def _steps(operator: Operator, kernel: tuple[int, int]) -> tuple[tuple[int, int], tuple[int, int]]:
    """Stride and dilation; where the kernel is the whole map there is nowhere to go."""
    options = operator.options
    stride = _ONE if kernel == _WHOLE else (options.stride_h or 1, options.stride_w or 1)
    return stride, (options.dilation_h, options.dilation_w)


def _map(tensor: GraphTensor) -> tuple[int, int, int]:
    """Height, width and channels; a batch, and other dimensions than a map's, are part of the height."""
    width = tensor.shape[-2] if len(tensor.shape) == _MAP_DIMENSIONS else 1
    channels = tensor.shape[-1] if tensor.shape else 1
    return tensor.elements // (width * channels), width, channels


def _convolution(operator: Operator, inputs: list[GraphTensor], output: GraphTensor) -> Computation:
    """Of weights [channels out, height, width, channels in of a group]."""
    filters, height, width, of_a_group = inputs[1].shape
    channels_in = inputs[0].shape[-1]
    groups = channels_in // of_a_group
    if groups * of_a_group != channels_in or output.shape[-1] != filters:
        raise ValueError
    kind = LayerKind.POINTWISE if height == width == groups == 1 else LayerKind.CONVOLUTION
    if groups == channels_in > 1:
        kind = LayerKind.DEPTHWISE
    return Computation(kind, (height, width), channels_in, output.elements * height * width * of_a_group)


def _depthwise(operator: Operator, inputs: list[GraphTensor], output: GraphTensor) -> Computation:
    """Of weights [1, height, width, channels out]."""
    _, height, width, channels = inputs[1].shape
    if output.shape[-1] != channels:
        raise ValueError
    work = output.elements * height * width
    return Computation(LayerKind.DEPTHWISE, (height, width), inputs[0].shape[-1], work)


def _transposed(operator: Operator, inputs: list[GraphTensor], output: GraphTensor) -> Computation:
    """Of the output's shape, weights [channels out, height, width, channels in], and the map."""
    filters, height, width, channels_in = inputs[1].shape
    if output.shape[-1] != filters or inputs[2].shape[-1] != channels_in:
        raise ValueError
    work = inputs[2].elements * height * width * filters
    return Computation(LayerKind.CONVOLUTION, (height, width), channels_in, work)


def _dense(operator: Operator, inputs: list[GraphTensor], output: GraphTensor) -> Computation:
    """Of weights [channels out, channels in]."""
    filters, channels_in = inputs[1].shape
    if output.shape[-1] != filters or inputs[0].elements % channels_in:
        raise ValueError
    return Computation(LayerKind.POINTWISE, _ONE, channels_in, output.elements * channels_in)


def _pool(operator: Operator, inputs: list[GraphTensor], output: GraphTensor) -> Computation:
    kernel = operator.options.filter_h, operator.options.filter_w
    batch, height, width, channels = inputs[0].shape
    if kernel == (height, width) and output.elements == batch * channels:
        return _reduction(operator, inputs, output)
    return Computation(LayerKind.POOLING, kernel, channels, output.elements * math.prod(kernel))


def _reduction(operator: Operator, inputs: list[GraphTensor], output: GraphTensor) -> Computation:
    """A whole map becomes one number for each channel; or each pixel's channels become one, with a kernel of 1x1."""
    channels = inputs[0].shape[-1]
    kernel = _WHOLE if output.shape[-1:] == (channels,) else _ONE
    return Computation(LayerKind.POOLING, kernel, channels, inputs[0].elements)


def _elementwise(operator: Operator, inputs: list[GraphTensor], output: GraphTensor) -> Computation:
    return Computation(LayerKind.ELEMENTWISE, _ONE, _map(inputs[0])[2], output.elements * (len(inputs) - 1))


def _concatenation(operator: Operator, inputs: list[GraphTensor], output: GraphTensor) -> Computation:
    return Computation(LayerKind.CONCATENATION, _ONE, _map(inputs[0])[2], output.elements)


_COMPUTED: dict[str, Callable[[Operator, list[GraphTensor], GraphTensor], Computation]] = {
    "CONV_2D": _convolution,
    "DEPTHWISE_CONV_2D": _depthwise,
    "TRANSPOSE_CONV": _transposed,
    "FULLY_CONNECTED": _dense,
    "CONCATENATION": _concatenation,
    **dict.fromkeys(_POOLS, _pool),
    **dict.fromkeys(_REDUCTIONS, _reduction),
    **dict.fromkeys(_ELEMENTWISE, _elementwise),
}
_KNOWN = _FOLDED | _COPIES | _COMPUTED.keys()
