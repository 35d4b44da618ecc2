"""What no choice of the time model has seen: whole, apart from the cards, and as far off as the page says."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from ondevice.devices import card, fitting, networks

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def foresight() -> Iterator[ModuleType]:
    spec = importlib.util.spec_from_file_location("devices_foresight", ROOT / "benchmarks" / "foresight.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # It imports its neighbour as scripts do.
    sys.path.insert(0, str(ROOT / "benchmarks"))
    spec.loader.exec_module(module)
    yield module
    sys.path.remove(str(ROOT / "benchmarks"))
    sys.modules.pop("devices", None)


def test_every_network_is_known_or_said_to_be_another(foresight: ModuleType) -> None:
    known = {**networks.known(), **networks.read(foresight.NETWORKS)}
    named = [networks.name_of(each) for device in foresight.unseen() for each in device.latencies]
    assert len(named) > 200
    assert set(named) - set(known) == {""}


def test_nothing_in_it_is_in_a_card(foresight: ModuleType) -> None:
    shipped = {device.name: device for device in card.devices()}
    for device in foresight.unseen():
        ours = shipped[device.name].published(device.threads) if device.name in shipped else ()
        assert {(each.model, each.kind) for each in device.latencies}.isdisjoint(
            {(each.model, each.kind) for each in ours}
        )


def test_no_other_runtime_of_the_same_phone_lends(foresight: ModuleType) -> None:
    lenders = list(foresight.groups_of(card.devices(), networks.known()))
    (old,) = [each.group for each in foresight.foreign() if each.group.title == "pixel-2-2018, float, 1 thread"]
    able = [each for each in lenders if each.kind == "float" and each.published.lends]
    others = [each.published for each in able if each.device.name != "pixel-2"]
    assert len(others) == len(able) - 1
    assert foresight.borrowed(old, lenders) == pytest.approx(fitting.proportions(others))


def test_the_page_has_what_it_prints(foresight: ModuleType) -> None:
    page = (ROOT / "docs" / "devices.md").read_text(encoding="utf-8")
    for each in foresight.foreign():
        name, kind, threads = each.group.title.split(", ")
        figures = [str(value) for value in list(each.row().values())[1:-1]]
        assert " | ".join(["| `" + name + "`", kind, threads.split()[0], *figures]) + " |" in page
    for row in map(foresight.row, foresight.missing()):
        name, kind, threads = str(row.pop("device, kernels, threads")).split(", ")
        cells = [str(value) for value in row.values()]
        assert " | ".join(["| `" + name + "`", kind, threads.split()[0], *cells]) + " |" in page


def test_a_model_counts_once_in_all_of_them(foresight: ModuleType) -> None:
    fitted = foresight.foreign()
    errors = np.concatenate([np.abs(each.one_out) for each in fitted])
    assert f"each of {len(errors)} models left out {errors.mean():.1%} off" in foresight.together(fitted)
