"""Device cards: the bundled ones, malformed ones, and finding one by name."""

from __future__ import annotations

import csv
import dataclasses
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ondevice.converters.architectures import catalogue
from ondevice.devices import card
from ondevice.devices.card import Device, Errors, Latency, devices, find
from ondevice.devices.fitting import MIN_MODELS
from ondevice.devices.spread import LENDER, spread_of, times_of
from ondevice.errors import CardError, UsageError

CARDS = sorted((Path(card.__file__).parent / "cards").glob("*.toml"))
LISTED = ("nexus-5", "lg-g3", "moto-g5-plus", "pixel-6")
BOARDS = ("khadas-vim4", "firefly-rk3588s", "odroid-n2-plus", "jetson-agx-orin", "jetson-agx-xavier", "raspberry-pi-4")
LITE = "efficientnet_lite"
PERCENTS = ["0", "50", "90", "95", "97", "99", "99.9", "100"]  # those of LoadGen's summaries
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
FIT: dict[str, Any] = {
    "kind": "float",
    "threads": 2,
    "model": [1, 10, 0.1, 0.01, 0.001, 0.1],
    "networks": ["net"],
    "family": {"mean": 0.1, "worst": 0.2, "count": 3},
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
        if latency.percentiles_ms:
            assert latency.times is not None
            assert latency.times.mean_ms == latency.infer_ms


def test_all_cards_are_devices_those_that_can_be_emulated_first() -> None:
    assert {d.name for d in devices()} == {p.stem for p in CARDS}
    assert [d.emulated for d in devices()] == sorted((d.emulated for d in devices()), reverse=True)
    assert {"pixel-3", "pixel-4", "raspberry-pi-4", "pieslicer-phone"} <= {d.name for d in devices() if d.emulated}


@pytest.mark.parametrize("device", [d for d in devices() if d.emulated], ids=lambda d: d.name)
def test_an_emulated_device_has_fits_with_errors(device: Device) -> None:
    assert {fit.threads for fit in device.fits} <= set(device.thread_counts)
    for fit in device.fits:
        assert device.fit(fit.kind, fit.threads) is fit
        assert len(fit.networks) >= MIN_MODELS
        assert fit.family or fit.architecture, "nothing to say of how good it is"
        for errors in filter(None, (fit.family, fit.architecture)):
            assert 0 < errors.mean <= errors.worst
            assert errors.count >= 2


@pytest.mark.parametrize("name", LISTED)
def test_a_listed_device_is_not_emulated_and_says_why(name: str) -> None:
    device = find(name)
    assert not device.emulated
    assert device.refusal == f"{name} is listed, not emulated: {device.note}"


@pytest.mark.parametrize(("name", "threads", "count"), [("pixel-3", 4, 54), ("pieslicer-phone", 1, 34)])
def test_the_two_sets_of_the_papers_are_whole(name: str, threads: int, count: int) -> None:
    assert (find(name).threads, len(find(name).published())) == (threads, count)


@pytest.mark.parametrize(
    ("name", "counts"),
    [("pixel-3", {1: 9, 4: 54}), ("pixel-3a", {1: 4, 2: 4}), ("macbook-pro-m1", {1: 46, 4: 35}), ("pixel-1", {1: 37})],
)
def test_cards_have_as_many_counts_of_threads_as_their_sources(name: str, counts: dict[int, int]) -> None:
    device = find(name)
    assert Counter(latency.threads or device.threads for latency in device.latencies) == counts
    assert {threads: len(device.published(threads)) for threads in counts} == counts


@pytest.mark.parametrize("name", ["nexus-5", "lg-g3", "moto-g5-plus", "pixel-2"])
def test_the_authors_phones_have_one_unnamed_cnn_with_its_load_time(name: str) -> None:
    (latency,) = [latency for latency in find(name).latencies if latency.model == "unnamed"]
    assert latency.network == ""
    assert latency.load_ms is not None
    assert latency.load_ms > latency.infer_ms or name == "moto-g5-plus"


def test_published_figures_are_the_sources() -> None:
    pixel = {(lat.model, lat.kind): lat.infer_ms for lat in find("pixel-3").latencies}
    assert (pixel["mobilenet_v1_1.0_224", "float"], pixel["mobilenet_v1_0.25_128", "quant"]) == (24.0, 0.8)
    lite = [lat.infer_ms for lat in find("pixel-4").latencies if (lat.kind, lat.model[:-1]) == ("float", LITE)]
    assert lite == [12, 18, 26, 41, 76]
    slow = {lat.model: lat.infer_ms for lat in find("pixel-1").latencies if lat.kind == "float"}
    assert (slow["mobilenet_v2_1.4_224"], slow["mobilenet_v3_small_1.0_224"], slow["inception_v4"]) == (138, 15.8, 2262)


def test_the_logs_of_mlperf_are_copied_as_they_are() -> None:
    vim = {(latency.model, latency.kind): latency for latency in find("khadas-vim4").latencies}
    small = vim["mobilenet_v1_0.25_128", "quant"]
    assert small.infer_ms == 1.325
    assert list(small.percentiles_ms.values()) == [1.137, 1.283, 1.429, 1.495, 1.532, 1.569, 14.678, 58.856]
    pi = {(latency.model, latency.kind): latency for latency in find("raspberry-pi-4").latencies}
    large = pi["mobilenet_v1_1.0_224", "float"]
    assert large.infer_ms == 74.859
    assert list(large.percentiles_ms.values()) == [70.74, 72.503, 84.638, 89.698, 92.758, 98.657, 162.143, 173.595]


@pytest.mark.parametrize("path", CARDS, ids=lambda p: p.stem)
def test_every_network_can_be_built_or_is_said_to_be_another(path: Path) -> None:
    for latency in Device.read(path).latencies:
        if latency.network != "":
            assert catalogue.find(latency.network or latency.model).side > 0


def test_a_card_is_read_with_its_fits(tmp_path: Path) -> None:
    device = Device.read(written(tmp_path, GOOD), [FIT])
    assert (device.name, device.threads, device.emulated) == ("mine", 2, True)
    fit = device.fit("float", 2)
    assert fit is not None
    assert (fit.model.per_gmac_ms, fit.family, fit.architecture) == (10, Errors(0.1, 0.2, 3), None)
    assert device.fit("float", 1) is device.fit("quant", 2) is None
    assert device.latencies[0].infer_ms == 5
    assert device.load is not None
    assert device.load.ms_per_mb == 2
    assert device.spread is not None
    assert device.spread.quantiles == (0.9, 1.1)


@pytest.mark.parametrize(
    "text",
    [
        "name = ",
        GOOD.replace('soc = "S"\n', ""),
        GOOD + "wheels = 4\n",
        GOOD.replace("infer_ms = 5", "infer_ms = 5, colour = 1"),
        GOOD.replace("infer_ms = 5", ""),
        GOOD.replace("infer_ms = 5", "infer_ms = 0"),
        GOOD.replace("infer_ms = 5", "infer_ms = nan"),
        GOOD.replace("infer_ms = 5", "infer_ms = 5, threads = 0"),
        GOOD.replace("infer_ms = 5", "infer_ms = 5, percentiles_ms = { most = 6 }"),
        GOOD.replace("infer_ms = 5", "infer_ms = 5, percentiles_ms = { 101 = 6 }"),
        GOOD.replace("infer_ms = 5", "infer_ms = 5, percentiles_ms = { nan = 6 }"),
        GOOD.replace("infer_ms = 5", "infer_ms = 5, percentiles_ms = { 50 = inf }"),
        GOOD.replace("infer_ms = 5", "infer_ms = 5, percentiles_ms = { 50 = 0 }"),
        GOOD.replace("infer_ms = 5", "infer_ms = 5, percentiles_ms = { 0 = 4, 90 = 5.9, 50 = 6 }"),
        GOOD.replace("infer_ms = 5", 'infer_ms = 5, percentiles_ms = { 50 = 5, "50.0" = 5 }'),
        GOOD.replace("infer_ms = 5 }", 'infer_ms = 5 }, { model = "net", kind = "float", infer_ms = 6 }'),
        GOOD.replace("infer_ms = 5 }", 'infer_ms = 5 }, { model = "net", kind = "float", infer_ms = 6, threads = 2 }'),
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
        Device.read(written(tmp_path, GOOD), [{**FIT, "model": [1, "x", 2, 3, 4, 5]}])
    with pytest.raises(CardError, match=r"mine\.toml: .*figures are 0 or more"):
        Device.read(written(tmp_path, GOOD), [{**FIT, "model": [1, -2, 2, 3, 4, 5]}])


def test_a_card_that_is_missing_or_no_text_is_a_card_error(tmp_path: Path) -> None:
    with pytest.raises(CardError, match=r"gone\.toml"):
        Device.read(tmp_path / "gone.toml")
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(CardError, match=r"binary\.toml"):
        Device.read(tmp_path / "binary.toml")


def test_a_card_may_have_several_counts_of_threads(tmp_path: Path) -> None:
    alone = '{ model = "net", kind = "float", infer_ms = 8, threads = 1 }'
    device = Device.read(written(tmp_path, GOOD.replace("infer_ms = 5 }", "infer_ms = 5 }, " + alone)))
    assert [latency.infer_ms for latency in device.latencies] == [5, 8]
    assert device.published() == device.published(2) == device.latencies[:1]
    assert device.published(1) == device.latencies[1:]
    assert device.published(3) == ()


def test_a_card_of_the_first_release_is_read_as_it_was(tmp_path: Path) -> None:
    device = Device.read(written(tmp_path, GOOD))
    (latency,) = device.latencies
    assert latency == Latency("net", "float", 5)
    assert (latency.threads, latency.percentiles_ms, latency.network, latency.times) == (None, {}, None, None)
    assert times_of(device, latency).mean_ms == 5
    assert spread_of(device) is device.spread


def test_single_inferences_are_as_published() -> None:
    latency = Latency("net", "float", 20, percentiles_ms={"99.9": 60, "0": 10, "50": 18, "90": 25, "100": 900})
    assert latency.times is not None
    assert latency.times.mean_ms == 20
    shares = np.array([0, 0.5, 0.9, 0.999, 1])
    assert latency.times.quantile_ms(shares) == pytest.approx([10, 18, 25, 60, 900])
    assert times_of(find("pixel-3"), latency) is latency.times


def test_percentiles_that_contradict_the_mean_are_a_card_error() -> None:
    with pytest.raises(CardError, match=r"^net, float: percentiles_ms and infer_ms do not agree \(no times"):
        Latency("net", "float", 30, percentiles_ms={"0": 10, "90": 20, "100": 25}).times  # noqa: B018


def test_the_phone_of_pieslicer_scatters_as_its_database(data: Path) -> None:
    table = data / "phones" / "pieslicer_phone.csv"
    if not table.is_file():
        pytest.skip(f"no {table}")
    with table.open(newline="") as rows:
        seen_ms = [float(row["infer_ms"]) for row in csv.DictReader(rows) if row["model"] == "8bit/mobilenet_0.25_128"]
    assert len(seen_ms) == 367
    phone = find("pieslicer-phone")
    (latency,) = [one for one in phone.published() if (one.model, one.kind) == ("mobilenet_v1_0.25_128", "quant")]
    times, draws_ms = times_of(phone, latency), times_of(phone, latency).sample(50_000, np.random.default_rng(0))
    assert times.mean_ms == 87.5
    assert draws_ms.mean() == pytest.approx(87.5, rel=0.003)
    for percent in (10, 50, 90):
        assert float(np.percentile(draws_ms, percent)) == pytest.approx(np.percentile(seen_ms, percent), rel=0.03)


@pytest.mark.parametrize("name", BOARDS)
def test_the_boards_of_mlperf_are_whole_and_have_percentiles(name: str) -> None:
    device = find(name)
    kinds = Counter(latency.kind for latency in device.published())
    assert kinds == {"float": 50, "quant": 45}
    assert all(list(latency.percentiles_ms) == PERCENTS for latency in device.latencies)
    assert spread_of(device).source == "published percentiles of 95 models on it, each over its mean"


def test_find_names_the_nearest() -> None:
    with pytest.raises(UsageError, match=r"^no device 'pixel3'; did you mean pixel-3\b"):
        find("pixel3")


def test_find_names_all_where_none_is_near() -> None:
    with pytest.raises(UsageError) as caught:
        find("zzz")
    assert all(device.name in str(caught.value) for device in devices())


def test_a_device_without_a_spread_borrows_one_and_says_so() -> None:
    lent, borrowed = spread_of(find(LENDER)), spread_of(find("pixel-3"))
    assert borrowed.quantiles == lent.quantiles
    assert lent.source == "published percentiles of 34 models on it, each over its mean"
    assert borrowed.source == f"borrowed from {LENDER}: {lent.source}"


def test_a_model_without_percentiles_scatters_as_the_others_of_its_device() -> None:
    latencies = (
        Latency("a", "float", 10, percentiles_ms={"0": 8, "50": 10, "100": 12}),
        Latency("b", "float", 100, percentiles_ms={"0": 60, "50": 100, "100": 140}),
        Latency("c", "float", 50),
    )
    device = dataclasses.replace(find("pixel-3"), latencies=latencies)
    times = times_of(device, latencies[2])
    assert times.mean_ms == 50
    assert times.quantile_ms(np.array([0, 0.5, 1])) == pytest.approx([35, 50, 65])
