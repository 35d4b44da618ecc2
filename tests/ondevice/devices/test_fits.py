"""The fits that ship follow from the cards, on any machine, and err no more than is said on models not seen."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from ondevice.devices import card, fitting, networks
from ondevice.devices.card import find

BENCHMARK = Path(__file__).parents[3] / "benchmarks" / "devices.py"
# The networks of Pixel 3's float latencies that this time model was begun with: those of Keras Applications.
KERAS = ("mobilenet_", "nasnet_", "resnet_v2", "inception_v3")


@pytest.fixture(scope="module")
def benchmark() -> ModuleType:
    spec = importlib.util.spec_from_file_location("devices_benchmark", BENCHMARK)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def fitted(
    benchmark: ModuleType, title: str, prefixes: tuple[str, ...] = ("",)
) -> tuple[np.ndarray, np.ndarray, object]:
    """Absolute errors with each model, and each architecture, left out; and the fit of all."""
    groups = list(benchmark.groups_of(card.devices(), networks.known()))
    (group,) = [each for each in groups if each.title == title]
    borrowed = benchmark.borrowed(group, groups)
    published = group.published.only([known.name.startswith(prefixes) for known in group.known])
    alone = fitting.left_out(published, borrowed, range(len(published.ms)))
    whole = fitting.left_out(published, borrowed, published.architectures)
    return np.abs(alone), np.abs(whole), fitting.fit(group.published, borrowed)


@pytest.mark.parametrize(
    ("device", "kind", "threads"),
    [("pixel-3", "float", 4), ("pieslicer-phone", "quant", 1), ("khadas-vim4", "quant", 8)],
)
def test_what_ships_follows_from_the_cards(benchmark: ModuleType, device: str, kind: str, threads: int) -> None:
    title = f"{device}, {kind}, {threads} thread{'s' * (threads > 1)}"
    _, _, model = fitted(benchmark, title)
    shipped = find(device).fit(kind, threads)
    assert shipped is not None
    assert model == pytest.approx(shipped.model, rel=1e-5, abs=1e-7)


def test_pixel_3_float_on_the_networks_of_keras(benchmark: ModuleType) -> None:
    alone, whole, _ = fitted(benchmark, "pixel-3, float, 4 threads", KERAS)
    assert len(alone) == 21
    assert alone.mean() <= 0.06
    assert whole.mean() <= 0.08


def test_pixel_3_quantized(benchmark: ModuleType) -> None:
    alone, whole, _ = fitted(benchmark, "pixel-3, quant, 4 threads")
    assert len(alone) == 21
    assert alone.mean() <= 0.10
    assert whole.mean() <= 0.20
