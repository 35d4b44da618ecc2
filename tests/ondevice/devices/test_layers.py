"""Layers from graphs made by hand: what is a layer, what is part of another, and what is none."""

from __future__ import annotations

import pytest

from ondevice.devices import layers
from ondevice.devices.layers import LayerKind, NetworkLayer
from ondevice.models.graph import GraphTensor, Operator, OperatorOptions, Subgraph

INPUT = (1, 8, 8, 4)


class Drawing:
    """A graph that grows; every method gives the number of the tensor that it made."""

    def __init__(self, *shape: int, dtype: str = "float32") -> None:
        self._tensors: list[GraphTensor] = []
        self._operators: list[Operator] = []
        self.input = self.tensor(shape or INPUT, dtype=dtype)

    def tensor(self, shape: tuple[int, ...], constant: bool = False, dtype: str = "float32") -> int:
        self._tensors.append(GraphTensor("", shape, shape, dtype, 0.0, 0, 0, 4 * constant, constant))
        return len(self._tensors) - 1

    def constant(self, *shape: int, dtype: str = "float32") -> int:
        return self.tensor(shape, True, dtype)

    def op(
        self, name: str, inputs: list[int], *shape: int, dtype: str = "float32", custom: bool = False, **options: int
    ) -> int:
        output = self.tensor(shape, dtype=dtype)
        self._operators.append(Operator(name, custom, tuple(inputs), (output,), OperatorOptions(**options)))
        return output

    def conv(self, source: int, channels: int, side: int, kernel: int = 3, stride: int = 1, groups: int = 1) -> int:
        weights = self.constant(channels, kernel, kernel, self._tensors[source].shape[-1] // groups)
        inputs = [source, weights, self.constant(channels)]
        return self.op("CONV_2D", inputs, 1, side, side, channels, stride_h=stride, stride_w=stride)

    def found(self) -> tuple[tuple[NetworkLayer, ...], tuple[str, ...]]:
        last = len(self._tensors) - 1
        return layers.of(Subgraph("", tuple(self._tensors), tuple(self._operators), (self.input,), (last,)))

    def layer(self) -> NetworkLayer:
        """The only one."""
        found, unknown = self.found()
        assert (len(found), unknown) == (1, ())
        return found[0]


def kinds(drawing: Drawing) -> list[str]:
    found, unknown = drawing.found()
    assert unknown == ()
    return [layer.kind.value for layer in found]


def test_a_convolution() -> None:
    draw = Drawing()
    draw.conv(draw.input, 16, 4, stride=2)
    work, weights = 4 * 4 * 16 * 3 * 3 * 4, 16 * 3 * 3 * 4 + 16
    assert draw.layer() == NetworkLayer(
        LayerKind.CONVOLUTION, (3, 3), (2, 2), (1, 1), 4, 16, 4, 4, work, weights, 8 * 8 * 4 + 4 * 4 * 16
    )


def test_a_convolution_in_groups_takes_a_group_each() -> None:
    draw = Drawing()
    draw.conv(draw.input, 16, 8, groups=2)
    layer = draw.layer()
    assert (layer.kind, layer.work, layer.weights) == ("convolution", 8 * 8 * 16 * 9 * 2, 16 * 9 * 2 + 16)


def test_a_convolution_of_one_pixel() -> None:
    draw = Drawing()
    draw.conv(draw.input, 16, 8, kernel=1)
    assert (draw.layer().kind, draw.layer().work) == ("pointwise", 8 * 8 * 16 * 4)


def test_one_pixel_in_groups_is_not_pointwise() -> None:
    draw = Drawing()
    draw.conv(draw.input, 16, 8, kernel=1, groups=2)
    assert (draw.layer().kind, draw.layer().work) == ("convolution", 8 * 8 * 16 * 2)


def test_depthwise_by_its_own_operator_and_as_a_convolution_in_groups() -> None:
    ours, grouped = Drawing(), Drawing()
    ours.op(
        "DEPTHWISE_CONV_2D", [ours.input, ours.constant(1, 3, 3, 4), ours.constant(4)], 1, 8, 8, 4,
        stride_h=1, stride_w=1,
    )  # fmt: skip
    grouped.conv(grouped.input, 4, 8, groups=4)
    assert ours.layer() == grouped.layer()
    assert (ours.layer().kind, ours.layer().work, ours.layer().weights) == ("depthwise", 8 * 8 * 4 * 9, 40)


def test_one_channel_in_is_a_convolution() -> None:
    draw = Drawing(1, 8, 8, 1)
    draw.conv(draw.input, 16, 8)
    assert draw.layer().kind == "convolution"


def test_a_transposed_convolution_works_once_for_each_pixel_that_it_reads() -> None:
    draw = Drawing()
    weights = draw.constant(6, 2, 2, 4)
    shape = draw.constant(4, dtype="int32")
    draw.op("TRANSPOSE_CONV", [shape, weights, draw.input], 1, 16, 16, 6, stride_h=2, stride_w=2)
    layer = draw.layer()
    assert layer[:8] == (LayerKind.CONVOLUTION, (2, 2), (2, 2), (1, 1), 4, 6, 16, 16)
    assert (layer.work, layer.weights) == (8 * 8 * 4 * 2 * 2 * 6, 6 * 2 * 2 * 4)


def test_dense_is_pointwise_on_one_pixel() -> None:
    dense, pointwise = Drawing(1, 4), Drawing(1, 1, 1, 4)
    dense.op("FULLY_CONNECTED", [dense.input, dense.constant(10, 4), dense.constant(10)], 1, 10)
    pointwise.conv(pointwise.input, 10, 1, kernel=1)
    assert dense.layer() == pointwise.layer()


def test_dense_on_every_pixel() -> None:
    draw = Drawing()
    draw.op("FULLY_CONNECTED", [draw.input, draw.constant(10, 4), -1], 1, 8, 8, 10)
    layer = draw.layer()
    assert (layer.height, layer.width, layer.work, layer.weights) == (8, 8, 8 * 8 * 40, 40)


def test_a_batch_is_as_many_maps() -> None:
    draw = Drawing(3, 8, 8, 4)
    draw.op("MAX_POOL_2D", [draw.input], 3, 4, 4, 4, stride_h=2, stride_w=2, filter_h=3, filter_w=2)
    assert draw.layer()[1:9] == ((3, 2), (2, 2), (1, 1), 4, 4, 12, 4, 3 * 4 * 4 * 4 * 6)


@pytest.mark.parametrize("shape", [(1, 4), (1, 1, 1, 4)])
@pytest.mark.parametrize("name", ["MEAN", "SUM", "REDUCE_MAX"])
def test_global_pooling_by_reduction_and_by_pooling(name: str, shape: tuple[int, ...]) -> None:
    reduced, pooled = Drawing(), Drawing()
    reduced.op(name, [reduced.input, reduced.constant(2, dtype="int32")], *shape)
    pooled.op("AVERAGE_POOL_2D", [pooled.input], 1, 1, 1, 4, stride_h=8, stride_w=8, filter_h=8, filter_w=8)
    assert reduced.layer() == pooled.layer()
    assert (reduced.layer().kernel, reduced.layer().work) == ((0, 0), 8 * 8 * 4)


def test_a_mean_of_channels_is_not_one_of_the_map() -> None:
    draw = Drawing()
    draw.op("MEAN", [draw.input, draw.constant(1, dtype="int32")], 1, 8, 8, 1)
    layer = draw.layer()
    assert (layer.kind, layer.kernel, layer.work, layer.channels_out) == ("pooling", (1, 1), 8 * 8 * 4, 1)


def test_padding_and_storage_are_part_of_the_convolution_after_them() -> None:
    plain, padded = Drawing(), Drawing(dtype="uint8")
    plain.conv(plain.input, 16, 8)
    wide = padded.op("PAD", [padded.input, padded.constant(4, 2, dtype="int32")], 1, 10, 10, 4, dtype="uint8")
    weights = padded.op("DEQUANTIZE", [padded.constant(16, 3, 3, 4, dtype="float16")], 16, 3, 3, 4)
    real = padded.op("DEQUANTIZE", [wide], 1, 10, 10, 4)
    inputs = [real, weights, padded.constant(16)]
    y = padded.op("CONV_2D", inputs, 1, 8, 8, 16, stride_h=1, stride_w=1)
    padded.op("QUANTIZE", [padded.op("RELU6", [y], 1, 8, 8, 16)], 1, 8, 8, 16, dtype="int8")
    assert padded.layer() == plain.layer()


def test_arithmetic_with_constants_is_folded() -> None:
    draw = Drawing()
    scaled = draw.op("MUL", [draw.input, draw.constant(4)], *INPUT)
    shifted = draw.op("ADD", [draw.constant(4), scaled], *INPUT)
    draw.op("CONCATENATION", [shifted], *INPUT)
    assert kinds(draw) == []


def test_an_activation_in_parts_is_folded_as_a_whole_one_is() -> None:
    """Hard swish: x * relu6(x + 3) / 6."""
    draw = Drawing()
    x = draw.conv(draw.input, 4, 8)
    gate = draw.op("RELU6", [draw.op("ADD", [x, draw.constant()], *INPUT)], *INPUT)
    draw.op("MUL", [draw.op("MUL", [x, gate], *INPUT), draw.constant()], *INPUT)
    assert kinds(draw) == ["convolution"]


def test_a_sum_of_one_tensor_with_itself_is_a_sum() -> None:
    draw = Drawing()
    draw.op("ADD", [draw.input, draw.input], *INPUT)
    draw.op("MUL", [draw.input, draw.input], *INPUT)  # a square is a part of activations
    assert kinds(draw) == ["elementwise"]


def test_a_gate_of_half_of_the_channels_is_a_product() -> None:
    draw = Drawing()
    half = draw.op("STRIDED_SLICE", [draw.input], 1, 8, 8, 2)
    other = draw.op("STRIDED_SLICE", [draw.input], 1, 8, 8, 2)
    draw.op("MUL", [half, draw.op("LOGISTIC", [other], 1, 8, 8, 2)], 1, 8, 8, 2)
    layer = draw.layer()
    assert (layer.kind, layer.work, layer.activations) == ("elementwise", 8 * 8 * 2, 3 * 8 * 8 * 2)


def test_squeeze_and_excite_is_a_product() -> None:
    draw = Drawing()
    pooled = draw.op("MEAN", [draw.input], 1, 1, 1, 4)
    gate = draw.op("LOGISTIC", [draw.conv(pooled, 4, 1, kernel=1)], 1, 1, 1, 4)
    draw.op("MUL", [draw.input, gate], *INPUT)
    assert kinds(draw) == ["pooling", "pointwise", "elementwise"]
    assert draw.found()[0][-1].activations == 2 * 8 * 8 * 4 + 4


def test_sums_and_concatenations_of_tensors() -> None:
    draw = Drawing()
    one, two = draw.conv(draw.input, 4, 8), draw.conv(draw.input, 4, 8)
    total = draw.op("ADD_N", [draw.input, one, two], *INPUT)
    draw.op("CONCATENATION", [total, draw.constant(1, 8, 8, 2), one], 1, 8, 8, 10)
    *_, added, joined = draw.found()[0]
    assert (added.kind, added.work) == ("elementwise", 2 * 8 * 8 * 4)
    assert (joined.kind, joined.work, joined.channels_out) == ("concatenation", 8 * 8 * 10, 10)


def test_a_concatenation_of_two_forms_of_one_tensor() -> None:
    draw = Drawing()
    down = draw.op("RELU", [draw.op("NEG", [draw.input], *INPUT)], *INPUT)
    draw.op("CONCATENATION", [draw.op("RELU", [draw.input], *INPUT), down], 1, 8, 8, 8)
    assert kinds(draw) == ["concatenation"]


def test_reckoning_with_shapes_is_no_layer() -> None:
    draw = Drawing()
    shape = draw.op("SHAPE", [draw.input], 4, dtype="int32")
    first = draw.op("STRIDED_SLICE", [shape, draw.constant(1, dtype="int32")], dtype="int32")
    twice = draw.op("MUL", [first, shape], 4, dtype="int32")
    draw.op("CONCATENATION", [twice, first], 5, dtype="int32")
    draw.op("RESHAPE", [draw.input, twice], 1, 256)
    assert kinds(draw) == []


def test_operators_that_are_none_of_these_are_named() -> None:
    draw = Drawing()
    draw.op("BATCH_MATMUL", [draw.input, draw.input], 1, 8, 8, 8)
    draw.op("Mine", [draw.input], *INPUT, custom=True)
    draw.op("ADD", [draw.input, draw.input], *INPUT, custom=True)  # a custom operator may be called anything
    draw.op("BATCH_MATMUL", [draw.input, draw.input], 1, 8, 8, 8)
    draw.conv(draw.input, 4, 8)
    found, unknown = draw.found()
    assert [layer.kind for layer in found] == ["convolution"]
    assert unknown == ("ADD", "BATCH_MATMUL", "Mine")


@pytest.mark.parametrize(
    ("name", "weights", "output"),
    [
        ("CONV_2D", (16, 3, 4), (1, 8, 8, 16)),
        ("CONV_2D", (16, 3, 3, 3), (1, 8, 8, 16)),
        ("CONV_2D", (16, 3, 3, 0), (1, 8, 8, 16)),
        ("CONV_2D", (16, 3, 3, 4), (1, 8, 8, 8)),
        ("CONV_2D", (16, 3, 3, 4), ()),
        ("DEPTHWISE_CONV_2D", (1, 3, 3, 4), (1, 8, 8, 8)),
        ("FULLY_CONNECTED", (10, 3), (1, 10)),
        ("FULLY_CONNECTED", (10, 0), (1, 10)),
        ("TRANSPOSE_CONV", (16, 3, 3, 4), (1, 8, 8, 16)),
        ("MEAN", (1,), (1, 0)),
    ],
)
def test_tensors_that_do_not_fit_their_operator(name: str, weights: tuple[int, ...], output: tuple[int, ...]) -> None:
    draw = Drawing()
    draw.op(name, [draw.input, draw.constant(*weights)], *output)
    assert draw.found() == ((), (name,))


def test_an_input_that_is_left_out_is_not_the_last_tensor() -> None:
    draw = Drawing()
    draw.op("FULLY_CONNECTED", [draw.input, -1], 4, 4)
    assert draw.found() == ((), ("FULLY_CONNECTED",))


def test_an_operator_without_outputs_or_inputs() -> None:
    draw = Drawing()
    bare = Operator("MEAN", False, (draw.input,), (), OperatorOptions())
    assert layers.of(Subgraph("", tuple(draw._tensors), (bare,), (), ())) == ((), ())
