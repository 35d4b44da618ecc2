"""Keras models by name: what the name says, published sizes, and unknown names."""

from __future__ import annotations

import functools
import math
from typing import Any

import pytest

from ondevice.converters.architectures import catalogue
from ondevice.errors import UsageError

# An EfficientNet-Lite has as many parameters at any input size.
SIDE = 32


@pytest.fixture(scope="module", autouse=True)
def _tensorflow() -> None:
    pytest.importorskip("tensorflow")


@functools.cache
def built(name: str, side: int | None = None) -> Any:
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


@pytest.mark.parametrize(("name", "published"), [("squeezenet", 1_248_424), ("inception_v4", 42_679_816)])
def test_networks_that_keras_lacks_have_the_published_parameters(name: str, published: int) -> None:
    assert parameters(built(name)) == published


def test_what_keras_cannot_build_is_one_line() -> None:
    with pytest.raises(UsageError, match=r"^mobilenet_v2_9.99_3000: Keras cannot build it: .*") as caught:
        catalogue.build("mobilenet_v2_9.99_3000", weights="imagenet")
    assert "\n" not in str(caught.value)


def test_an_unknown_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(
        UsageError, match=r"^no architecture 'efficientnet_light0', and no such file; did you mean .*efficientnet_lite0"
    ):
        catalogue.build("efficientnet_light0")


def test_a_name_like_no_other_is_answered_with_all() -> None:
    with pytest.raises(UsageError) as caught:
        catalogue.build("zzz")
    assert all(name in str(caught.value) for name in catalogue.names())
    assert "\n" not in str(caught.value)
