"""Keras models by name: what the name says, published sizes, and unknown names."""

from __future__ import annotations

import functools
import math
from typing import Any

import pytest

from ondevice.converters.architectures import catalogue
from ondevice.errors import UsageError

# Networks that pad have as many parameters at any input size.
SIDE = 32


@pytest.fixture(scope="module", autouse=True)
def _tensorflow() -> None:
    pytest.importorskip("tensorflow")


@functools.cache
def built(name: str, side: int | None = None) -> Any:
    """The network without values for its weights, whose number and shapes are looked at: they take the longest."""
    with catalogue.tensorflow().keras.StatelessScope(initialize_variables=False):
        return catalogue.build(name, side)


def parameters(model: Any) -> int:
    return sum(math.prod(weight.shape) for weight in model.trainable_weights)


def layers(model: Any, kind: str) -> list[Any]:
    return [layer for layer in model.layers if type(layer).__name__ == kind]


def test_width_and_side_are_the_names() -> None:
    model = built("mobilenet_v1_0.25_128")
    assert (model.input_shape, model.output_shape) == ((None, 128, 128, 3), (None, 1000))
    assert layers(model, "Conv2D")[0].filters == 32 / 4
    # Howard et al. 2017, table 6: 0.5 million.
    assert round(parameters(model) / 1e6, 1) == 0.5


def test_another_side_is_another_input_and_the_same_network() -> None:
    model = built("mobilenet_v1_0.25_128", 160)
    assert model.input_shape == (None, 160, 160, 3)
    assert parameters(model) == parameters(built("mobilenet_v1_0.25_128"))


def test_efficientnet_lite0_has_exactly_the_parameters_of_the_published_weights() -> None:
    assert parameters(built("efficientnet_lite0", SIDE)) == 4_652_008


def test_a_deeper_efficientnet_lite_has_the_published_millions() -> None:
    assert round(parameters(built("efficientnet_lite1", SIDE)) / 1e6, 1) == 5.4


def test_an_efficientnet_lite_has_no_squeeze_and_excite_and_relu6_for_swish() -> None:
    model = built("efficientnet_lite0", SIDE)
    assert (model.input_shape, model.output_shape) == ((None, SIDE, SIDE, 3), (None, 1000))
    assert not layers(model, "Multiply")
    assert {layer.max_value for layer in layers(model, "ReLU")} == {6.0}
    # Sixteen blocks, the first of which does not expand: depthwise convolutions.
    assert len(layers(model, "DepthwiseConv2D")) == 16


def test_names_are_sorted_distinct_and_each_is_found() -> None:
    names = catalogue.names()
    assert names == sorted(set(names))
    assert {"mobilenet_v1_0.25_128", "efficientnet_lite0", "inception_v4", "squeezenet"} <= set(names)
    assert all(32 <= catalogue.find(name).side <= 600 for name in names)


def test_every_classifier_of_keras_has_a_name() -> None:
    applications = catalogue.tensorflow().keras.applications
    published = {name for name in dir(applications) if name[0].isupper()}
    assert {catalogue.find(name).keras for name in catalogue.names()} - {""} == published


def test_the_papers_networks_are_buildable() -> None:
    assert len(catalogue.PAPER) == 23
    assert set(catalogue.PAPER) <= set(catalogue.names())


@pytest.mark.parametrize(
    ("name", "side", "published"),
    [
        ("squeezenet", None, 1_248_424),
        ("squeezenet_1.1", None, 1_235_496),
        ("inception_v1", SIDE, 6_624_904),
        ("inception_v4", None, 42_679_816),
        ("mnasnet_0.5_224", SIDE, 2_218_512),
        ("mnasnet_0.75_224", SIDE, 3_170_208),
        ("mnasnet_1.0_96", SIDE, 4_383_312),
        ("mnasnet_1.3_224", SIDE, 6_282_256),
        ("resnet_v1_18", SIDE, 11_689_512),
        ("resnet_v1.5_50", SIDE, 25_557_032),
    ],
)
def test_networks_that_keras_lacks_have_the_published_parameters(name: str, side: int | None, published: int) -> None:
    assert parameters(built(name, side)) == published


@pytest.mark.parametrize(("name", "published"), [("inception_v1", 5_607_184), ("inception_v2", 10_173_112)])
def test_an_inception_has_the_variables_that_the_tests_of_tf_slim_count(name: str, published: int) -> None:
    """Up to the classifier, the moving averages among them, and no scale of a normalization."""
    model = built(name, SIDE)
    scales = sum(layer.gamma.shape[0] for layer in layers(model, "BatchNormalization"))
    assert model.count_params() - scales - model.layers[-1].count_params() == published


def test_inception_v2_begins_with_eight_filters_of_each_colour() -> None:
    first = layers(built("inception_v2", SIDE), "SeparableConv2D")[0]
    assert (first.depthwise_kernel.shape, first.pointwise_kernel.shape) == ((7, 7, 3, 8), (1, 1, 24, 64))


def test_the_auxiliary_inception_resnet_has_the_published_millions() -> None:
    model = built("inception_resnet_v2_aux")
    # Open Model Zoo's 30.223, of 17 x 17 x 1088 values pooled to 5 x 5.
    assert round(parameters(model) / 1e6, 3) == 30.223
    assert layers(model, "AveragePooling2D")[-1].output.shape == (None, 5, 5, 1088)


def test_resnet_1_5_strides_in_its_3x3_convolutions() -> None:
    strided = [
        layer.kernel_size for layer in layers(built("resnet_v1.5_50", SIDE), "Conv2D") if layer.strides == (2, 2)
    ]
    # The stem; of three stages the first block, and the projection beside it.
    assert sorted(strided) == [(1, 1)] * 3 + [(3, 3)] * 3 + [(7, 7)]


def test_mnasnet_has_no_squeeze_and_excite_and_scales_its_stem_but_not_its_head() -> None:
    model = built("mnasnet_0.5_224", SIDE)
    assert not layers(model, "Multiply")
    convolutions = layers(model, "Conv2D")
    assert (convolutions[0].filters, convolutions[-1].filters) == (16, 1280)
    # 1 + 3 + 3 + 3 + 2 + 4 + 1 blocks.
    assert len(layers(model, "DepthwiseConv2D")) == 17


def test_a_minimalistic_mobilenet_v3_has_small_kernels_and_relu_alone() -> None:
    model = built("mobilenet_v3_small_minimalistic_1.0_224")
    # Howard et al.'s network as torchvision and Keras count it, less the squeeze-and-excite.
    assert parameters(model) == 2_044_736
    assert {layer.kernel_size for layer in layers(model, "DepthwiseConv2D")} == {(3, 3)}
    assert not layers(model, "Multiply")


def test_mobilenet_v3_takes_what_its_statistics_say() -> None:
    """Published files scale no pixels in the graph; Keras's own would."""
    assert catalogue.find("mobilenet_v3_small_1.0_224").statistics == ((127.5,), (127.5,))
    assert not layers(built("mobilenet_v3_small_minimalistic_1.0_224"), "Rescaling")


def test_any_side_may_follow_a_name() -> None:
    assert catalogue.find("resnet_v2_101_299") == catalogue.find("resnet_v2_101")._replace(side=299)
    assert catalogue.find("squeezenet_1.1_64").side == 64
    assert built("squeezenet_1.1_64").input_shape == (None, 64, 64, 3)


def test_names_have_the_published_widths_and_sides() -> None:
    published = {"mobilenet_v2_0.35_96", "mobilenet_v2_1.4_224", "mobilenet_v3_large_minimalistic_1.0_224"}
    assert published | {"mobilenet_v3_small_0.75_224", "mnasnet_1.0_96", "mnasnet_1.3_224"} <= set(catalogue.names())


@pytest.mark.parametrize(
    "name", ["mobilenet_v1_224", "mnasnet_224", "inception_v3_0.5_224", "squeezenet_1.2", "vgg_16_1", "_224"]
)
def test_a_width_where_there_is_none_is_an_unknown_name(name: str) -> None:
    with pytest.raises(UsageError, match=f"^no architecture '{name}'"):
        catalogue.find(name)


@pytest.mark.parametrize(
    ("name", "ours", "side"),
    [
        ("ResNet50V2", "resnet_v2_50", 224),
        ("resnet50v2", "resnet_v2_50", 224),
        ("ResNet50V2_299", "resnet_v2_50_299", 299),
        ("MobileNet", "mobilenet_v1_1.0_224", 224),
        ("MobileNetV2", "mobilenet_v2_1.0_224", 224),
        ("MobileNetV2_160", "mobilenet_v2_1.0_160", 160),
        ("MobileNetV3Small", "mobilenet_v3_small_1.0_224", 224),
        ("EfficientNetV2B0", "efficientnet_v2_b0", 224),
        ("vgg_16", "vgg_16", 224),
        ("inception_v3_224", "inception_v3_224", 224),
    ],
)
def test_what_keras_calls_a_network_is_understood(name: str, ours: str, side: int) -> None:
    assert (catalogue.ours(name), catalogue.find(name).side) == (ours, side)
    assert catalogue.find(name) == catalogue.find(ours)
    assert catalogue.published_parameters(name) == catalogue.published_parameters(ours)


def test_every_network_of_keras_is_known_by_its_name() -> None:
    applications = catalogue.tensorflow().keras.applications
    published = {name for name in dir(applications) if name[0].isupper()}
    assert {catalogue.keras_name(name) for name in catalogue.names()} - {""} == published
    assert {catalogue.find(name).keras for name in published} == published


@pytest.mark.parametrize("name", ["resnet_v1_50", "efficientnet_v2_b0", "densenet_169", "efficientnet_lite2"])
def test_the_published_millions_are_those_of_the_network(name: str) -> None:
    millions = sum(math.prod(weight.shape) for weight in built(name, 64).weights) / 1e6
    assert millions == pytest.approx(catalogue.published_parameters(name), rel=0.02)


def test_every_network_has_published_parameters() -> None:
    assert [name for name in catalogue.names() if catalogue.published_parameters(name) is None] == []


def test_published_parameters_hold_at_every_side() -> None:
    assert catalogue.published_parameters("mnasnet_1.0_96") == catalogue.published_parameters("mnasnet_1.0_224") == 4.4
    assert catalogue.published_parameters("resnet_v1_18") == 11.7
    assert catalogue.published_parameters("mobilenet_v1_0.33_128") is None


def test_what_keras_cannot_build_is_one_line() -> None:
    with pytest.raises(UsageError, match=r"^mobilenet_v2_9.99_3000: Keras cannot build it: .*") as caught:
        catalogue.build("mobilenet_v2_9.99_3000", weights="imagenet")
    assert "\n" not in str(caught.value)


def test_a_side_that_a_network_cannot_have_is_one_line() -> None:
    with pytest.raises(UsageError, match=r"^squeezenet: Keras cannot build it: .*") as caught:
        catalogue.build("squeezenet", 16)
    assert "\n" not in str(caught.value)


def test_imagenet_weights_of_a_network_of_ours_are_refused() -> None:
    with pytest.raises(UsageError, match=r"^mnasnet_1\.0_96: Keras publishes no imagenet weights of it"):
        catalogue.build("mnasnet_1.0_96", weights="imagenet")


def test_an_unknown_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(
        UsageError, match=r"^no architecture 'efficientnet_light0', and no such file; did you mean .*efficientnet_lite0"
    ):
        catalogue.build("efficientnet_light0")


def test_near_names_are_ours_and_keras_s() -> None:
    with pytest.raises(UsageError, match=r"; did you mean ResNet50, resnet_v2_50, "):
        catalogue.find("resnet_50")


def test_a_name_like_no_other_is_answered_with_where_all_are() -> None:
    with pytest.raises(UsageError) as caught:
        catalogue.build("zzz")
    assert str(caught.value) == "no architecture 'zzz', and no such file; `ondevice convert --list` lists all"
