"""Device cards: the bundled ones, malformed ones, and finding one by name."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from ondevice import records
from ondevice.devices import card
from ondevice.devices.card import Device, Fit, devices, find
from ondevice.devices.spread import LENDER, spread_of
from ondevice.devices.timemodel import MIN_MODELS
from ondevice.errors import CardError, UsageError

CARDS = sorted((Path(card.__file__).parent / "cards").glob("*.toml"))
EMULATED = ("pixel-3", "pixel-4", "raspberry-pi-4", "pieslicer-phone")
LISTED = ("nexus-5", "lg-g3", "moto-g5-plus", "pixel-2", "pixel-6", "raspberry-pi-5")
GOOD = """
name = "mine"
title = "Mine"
soc = "S"
cores = "4"
memory = "1 GB"
year = 2020
threads = 2
runtime = "R"
source = "a test"
latencies = [{ model = "net", kind = "float", infer_ms = 5 }]
load = { overhead_ms = 1.0, ms_per_mb = 2.0, error = 0.1 }
spread = { quantiles = [0.9, 1.1], source = "a test" }
"""
ON_A_LINE: dict[str, Any] = {
    "points": [[1, 1, 5], [2, 2, 8], [4, 4, 14], [8, 8, 26]],
    "anchor_ms": 10,
    "error": 0.01,
    "worst": 0.02,
    "architecture_error": 0.03,
    "reference": "a test",
}


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "mine.toml"
    path.write_text(text)
    return path


@pytest.mark.parametrize("path", CARDS, ids=lambda p: p.stem)
def test_every_card_is_of_its_file_and_complete(path: Path) -> None:
    device = Device.read(path)
    assert device.name == path.stem
    assert all((device.title, device.soc, device.cores, device.memory, device.runtime, device.source))
    assert device.threads >= 1
    assert 2010 <= device.year <= 2030
    assert device.latencies
    for latency in device.latencies:
        assert latency.kind in ("float", "quant")
        assert latency.infer_ms > 0
    published = [(latency.model, latency.kind) for latency in device.latencies]
    assert len(set(published)) == len(published)


def test_all_cards_are_devices_those_that_can_be_emulated_first() -> None:
    assert {d.name for d in devices()} == {p.stem for p in CARDS}
    assert {d.name for d in devices()[: len(EMULATED)]} == set(EMULATED)


@pytest.mark.parametrize("name", EMULATED)
def test_an_emulated_device_has_fits_with_points_and_errors(name: str) -> None:
    device = find(name)
    assert device.emulated
    assert device.note == ""
    assert set(device.fits) == {"float", "quant"}
    for kind, fit in device.fits.items():
        published = {latency.infer_ms for latency in device.latencies if latency.kind == kind}
        assert len(fit.points) >= MIN_MODELS
        assert {point.device_ms for point in fit.points} <= published
        assert 0 < fit.error <= fit.worst < 1
        assert fit.anchor_ms > 0
        assert fit.reference


@pytest.mark.parametrize("name", LISTED)
def test_a_listed_device_is_not_emulated_and_says_why(name: str) -> None:
    device = find(name)
    assert not device.emulated
    assert device.note


@pytest.mark.parametrize(("name", "count", "threads"), [("pixel-3", 54, 4), ("pieslicer-phone", 34, 1)])
def test_the_two_large_sets_are_whole(name: str, count: int, threads: int) -> None:
    assert (len(find(name).latencies), find(name).threads) == (count, threads)


@pytest.mark.parametrize("name", ["nexus-5", "lg-g3", "moto-g5-plus", "pixel-2"])
def test_the_authors_phones_have_one_unnamed_cnn_with_its_load_time(name: str) -> None:
    (latency,) = find(name).latencies
    assert latency.model == "unnamed"
    assert latency.load_ms is not None
    assert latency.load_ms > latency.infer_ms or name == "moto-g5-plus"


def test_published_figures_are_the_sources() -> None:
    pixel = {(lat.model, lat.kind): lat.infer_ms for lat in find("pixel-3").latencies}
    assert (pixel["mobilenet_v1_1.0_224", "float"], pixel["mobilenet_v1_0.25_128", "quant"]) == (24.0, 0.8)
    lite = [lat.infer_ms for lat in find("pixel-4").latencies if lat.kind == "float"]
    assert lite == [12, 18, 26, 41, 76]


def test_a_card_is_read_with_its_fits(tmp_path: Path) -> None:
    device = Device.read(written(tmp_path, GOOD), {"float": ON_A_LINE})
    assert (device.name, device.threads, device.emulated) == ("mine", 2, True)
    assert device.latencies[0].infer_ms == 5
    assert device.load is not None
    assert device.load.ms_per_mb == 2
    assert device.spread is not None
    assert device.spread.quantiles == (0.9, 1.1)


def test_a_fit_predicts_from_the_time_relative_to_the_anchor() -> None:
    fit = records.read(Fit, ON_A_LINE)
    # Half of the anchor's 10 ms, on 2 ms + 3 x.
    assert fit.predict(0.5, 5_000_000) == pytest.approx(17)


@pytest.mark.parametrize(
    "text",
    [
        "name = ",
        GOOD.replace('soc = "S"\n', ""),
        GOOD + "wheels = 4\n",
        GOOD.replace("infer_ms = 5", "infer_ms = 5, colour = 1"),
        GOOD.replace("infer_ms = 5", ""),
        GOOD.replace('[{ model = "net", kind = "float", infer_ms = 5 }]', "3"),
        GOOD.replace("ms_per_mb = 2.0, ", ""),
        GOOD.replace('{ quantiles = [0.9, 1.1], source = "a test" }', "3"),
        "",
    ],
)
def test_a_malformed_card_is_a_card_error_that_names_the_file(tmp_path: Path, text: str) -> None:
    path = written(tmp_path, text)
    with pytest.raises(CardError) as caught:
        Device.read(path)
    assert str(path) in str(caught.value)
    assert caught.value.path == str(path)
    assert "\n" not in str(caught.value)


def test_malformed_fits_are_a_card_error(tmp_path: Path) -> None:
    with pytest.raises(CardError, match=r"mine\.toml"):
        Device.read(written(tmp_path, GOOD), {"float": {**ON_A_LINE, "points": [[1, "x", 2]]}})


def test_a_card_that_is_missing_or_no_text_is_a_card_error(tmp_path: Path) -> None:
    with pytest.raises(CardError, match=r"gone\.toml"):
        Device.read(tmp_path / "gone.toml")
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(CardError, match=r"binary\.toml"):
        Device.read(tmp_path / "binary.toml")


def test_find_names_the_nearest() -> None:
    with pytest.raises(UsageError, match=r"^no device 'pixel3'; did you mean pixel-3\b"):
        find("pixel3")


def test_find_names_all_where_none_is_near() -> None:
    with pytest.raises(UsageError) as caught:
        find("zzz")
    assert all(device.name in str(caught.value) for device in devices())


def test_a_device_without_a_spread_borrows_one_and_says_so() -> None:
    lender = find(LENDER)
    borrowed = spread_of(find("pixel-3"))
    assert lender.spread is not None
    assert borrowed.quantiles == lender.spread.quantiles
    assert borrowed.source.startswith(f"borrowed from {LENDER}: ")


def test_a_device_with_a_spread_keeps_it() -> None:
    own = find("raspberry-pi-4")
    assert spread_of(own) is own.spread
    assert spread_of(dataclasses.replace(own, spread=None)) != own.spread
