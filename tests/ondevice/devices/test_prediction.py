"""Predictions: the card's own time for a network that it has, the fit's elsewhere, and each says which."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from ondevice.devices import network, networks
from ondevice.devices.card import devices, find
from ondevice.devices.layers import LayerKind, NetworkLayer
from ondevice.devices.network import Network
from ondevice.devices.prediction import Basis, PredictedTime, predict
from ondevice.errors import EmulationError, UsageError
from ondevice.models import graph, zoo

PHONE = find("pieslicer-phone")
EMULATED = [device for device in devices() if device.emulated]


def of_file(path: Path, device: str = "pieslicer-phone", precision: str = "uint8") -> PredictedTime:
    return predict(find(device), network.of(graph.read(path)), precision)


def digits(name: str = "digits_m_fp32") -> Network:
    return network.of(graph.read(zoo.find(name).path))


@pytest.fixture
def small(data: Path) -> Path:
    return data / "tflite" / "mobilenet_v1_0.25_128_quant.tflite"


def test_a_network_that_the_card_has_takes_what_was_published_of_it(small: Path) -> None:
    predicted = of_file(small)
    assert (predicted.mean_ms, predicted.threads, predicted.basis) == (87.5, 1, Basis.PUBLISHED)
    assert predicted.described == f"published for this network ({PHONE.runtime})"
    assert predicted.errors is None
    assert (predicted.spread, predicted.load_ms) == ("published with it", 31)
    draws_ms = predicted.times.sample(50_000, np.random.default_rng(0))
    assert draws_ms.mean() == pytest.approx(87.5, rel=0.003)


def test_the_same_network_on_a_phone_without_percentiles_has_a_borrowed_spread(small: Path) -> None:
    predicted = of_file(small, "pixel-3")
    assert (predicted.mean_ms, predicted.basis, predicted.threads) == (0.8, Basis.PUBLISHED, 4)
    assert predicted.spread.startswith("borrowed from pieslicer-phone")


def test_another_width_of_a_published_architecture_is_within_a_family(small: Path) -> None:
    found = network.of(graph.read(small))
    wider = Network(tuple(layer._replace(channels_out=layer.channels_out + 1) for layer in found.layers))
    predicted = predict(find("pixel-3"), wider, "uint8")
    assert predicted.basis is Basis.FAMILY
    fit = find("pixel-3").fit("quant", 4)
    assert fit is not None
    assert predicted.errors == fit.family
    assert predicted.described.startswith("within a family: ± ")
    assert predicted.described.endswith(" published models, each left out of the fit")


def test_a_network_of_ones_own_is_a_new_architecture() -> None:
    predicted = predict(find("pixel-3"), digits(), "fp32")
    fit = find("pixel-3").fit("float", 4)
    assert fit is not None
    assert fit.architecture is not None
    assert (predicted.basis, predicted.errors) == (Basis.NEW, fit.architecture)
    assert predicted.mean_ms == pytest.approx(fit.model(digits().work))
    assert f"± {fit.architecture.mean:.0%} (worst {fit.architecture.worst:.0%})" in predicted.described
    assert predicted.described.endswith(
        f"on {fit.architecture.count} published architectures, each left out of the fit"
    )


def test_where_nobody_knows_how_far_off_it_says_so() -> None:
    only = PHONE.fit("quant", 1)
    assert only is not None
    assert only.architecture is None, "of two architectures, each left out, only one was left to fit"
    assert predict(PHONE, digits(), "int8").described == (
        "new architecture: how far off is not known, for too few others are published of pieslicer-phone"
    )


@pytest.mark.parametrize(
    ("precision", "kind"),
    [("fp32", "float"), ("fp16", "float"), ("weight_only", "float"), ("int8", "quant"), ("uint8", "quant")],
)
def test_the_precision_chooses_the_kernels(precision: str, kind: str) -> None:
    fit = PHONE.fit(kind, 1)
    assert fit is not None
    assert predict(PHONE, digits(), precision).mean_ms == pytest.approx(fit.model(digits().work))


def test_a_precision_without_published_times_is_refused() -> None:
    with pytest.raises(EmulationError) as caught:
        predict(PHONE, digits(), "dynamic")
    assert str(caught.value) == (
        "nothing is published of dynamic models on pieslicer-phone with 1 thread; it can be emulated for fp32 and fp16 "
        "and weight_only and int8 and uint8"
    )


def test_a_card_with_several_counts_of_threads_has_them_all() -> None:
    one, four = (predict(find("pixel-3"), digits(), "fp32", threads) for threads in (1, 4))
    assert (one.threads, four.threads) == (1, 4)
    assert one.mean_ms > four.mean_ms
    assert predict(find("pixel-3"), digits(), "fp32").mean_ms == four.mean_ms


def test_a_count_of_threads_that_it_lacks_is_an_error_that_lists_them() -> None:
    with pytest.raises(UsageError, match=r"nothing is published of pixel-3 with 3 threads: give --threads 1 or 4, or"):
        predict(find("pixel-3"), digits(), "fp32", 3)


def test_a_listed_device_is_refused_with_its_note() -> None:
    with pytest.raises(UsageError, match="nexus-5 is listed, not emulated: one published time"):
        predict(find("nexus-5"), digits(), "fp32")


def test_operators_that_no_published_network_has_are_refused() -> None:
    odd = dataclasses.replace(digits(), unknown=("UNIDIRECTIONAL_SEQUENCE_LSTM",))
    with pytest.raises(EmulationError, match="what UNIDIRECTIONAL_SEQUENCE_LSTM takes on pixel-3"):
        predict(find("pixel-3"), odd, "fp32")


@pytest.mark.parametrize("device", EMULATED, ids=lambda device: device.name)
def test_every_fit_is_of_networks_that_its_card_has_with_such_threads(device: object) -> None:
    assert isinstance(device, type(PHONE))
    for fit in device.fits:
        there = {known.name for each in device.published(fit.threads)
                 if each.kind == fit.kind and (known := networks.of(each))}  # fmt: skip
        assert set(fit.networks) == there
        assert len(there) >= 4


def test_a_layer_more_is_another_network(small: Path) -> None:
    found = network.of(graph.read(small))
    extra = NetworkLayer(LayerKind.POINTWISE, (1, 1), (1, 1), (1, 1), 8, 8, 1, 1, 64, 64, 16)
    assert predict(PHONE, Network((*found.layers, extra)), "uint8").basis is Basis.NEW
