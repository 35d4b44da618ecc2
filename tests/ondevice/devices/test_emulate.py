"""Emulated devices: the same answers, in the device's time, and refusals where that cannot be."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from time import perf_counter

import pytest
from clock import Clock

from ondevice.devices import calibration, emulate, timing
from ondevice.devices.card import Fit, find
from ondevice.devices.emulate import EmulatedModel
from ondevice.devices.timing import Timing
from ondevice.errors import CardError, EmulationError, UsageError
from ondevice.models import zoo
from ondevice.runner import Runner

PHONE = "pieslicer-phone"
SMALL = zoo.find("digits_xs_fp32")


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timing, "PASSES", 2)


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch) -> Timing:
    """A timing of this host that is known, where the test needs no measured one."""
    fixed = Timing(0.01, 0.002)
    monkeypatch.setattr(timing, "of", lambda *_: fixed)
    return fixed


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch, known: Timing) -> Clock:
    """The emulation's: an inference itself takes no time, and to wait is to move it on."""
    given = Clock(step_s=1e-6)
    monkeypatch.setattr(emulate, "perf_counter", given)
    monkeypatch.setattr(emulate.time, "sleep", given.sleep)
    return given


def emulated(model: str = "digits_xs_fp32", device: str = PHONE, threads: int | None = None) -> Runner:
    return Runner(model, threads, device=device)


def as_precision(precision: str, device: str = PHONE) -> EmulatedModel:
    return EmulatedModel(SMALL.path, find(device), SMALL.card.sha256, precision)


def slower(fit: Fit, times: float) -> Fit:
    return dataclasses.replace(fit, points=tuple(p._replace(device_ms=times * p.device_ms) for p in fit.points))


def test_the_answer_is_the_same_and_says_emulated(sample: Path) -> None:
    real, answer = Runner("digits_xs_fp32").classify(sample), emulated().classify(sample)
    assert (answer.label, answer.score, answer.top) == (real.label, real.score, real.top)
    assert (answer.device, answer.emulated, answer.threads) == (PHONE, True, 1)
    assert (real.device, real.emulated) == (None, False)
    assert answer.model == "digits_xs_fp32"


def test_the_threads_are_the_devices(clock: Clock, sample: Path) -> None:
    assert emulated(device="raspberry-pi-4").classify(sample).threads == 4


def test_two_hundred_inferences_take_two_hundred_times_what_was_predicted(clock: Clock, sample: Path) -> None:
    runner = emulated()
    assert runner.emulation is not None
    predicted = runner.emulation.predicted_ms
    tensor, start = runner.prepare(sample), clock()
    for _ in range(200):
        runner.model.invoke(tensor)
    # The mean of 200 draws of the spread is off by 0.6 % in one of three cases: by 6 % never.
    assert (clock() - start) * 1e3 == pytest.approx(200 * predicted, rel=0.06)
    assert runner.emulation.predicted_ms == predicted
    assert runner.emulation.late == 0


def test_loading_takes_the_devices_time(known: Timing) -> None:
    load = find(PHONE).load
    assert load is not None
    predicted = load.overhead_ms + load.ms_per_mb * SMALL.path.stat().st_size / 1e6
    start = perf_counter()
    runner = emulated()
    took = (perf_counter() - start) * 1e3
    assert runner.emulation is not None
    assert runner.emulation.load_ms == pytest.approx(predicted)
    assert took >= runner.model.load_ms >= predicted
    assert "published load times, ± 15%" in runner.emulation.load_basis


def test_without_a_published_load_time_the_hosts_is_stretched(clock: Clock) -> None:
    runner = emulated(device="raspberry-pi-4")
    assert runner.emulation is not None
    assert "no published load time" in runner.emulation.load_basis
    assert runner.model.load_ms >= runner.emulation.load_ms > 0


def test_what_it_rests_on_is_all_there(known: Timing) -> None:
    runner = emulated()
    assert runner.emulation is not None
    fit = find(PHONE).fits["float"]
    record = runner.emulation.as_dict()
    assert (record["device"], record["threads"], record["host_ms"]) == (PHONE, 1, known.host_ms)
    assert (record["error"], record["worst"], record["models"]) == (fit.error, fit.worst, len(fit.points))
    assert record["predicted_ms"] == pytest.approx(fit.predict(known.relative, SMALL.path.stat().st_size))
    assert record["basis"] == "fit made on a reference machine and carried to this host"
    assert record["spread_basis"]
    assert record["load_basis"]
    assert record["late"] == 0
    said = str(runner.emulation)
    assert said.startswith(f"emulated {PHONE}: ")
    assert f"± {fit.error:.0%} (worst {fit.worst:.0%}) on {len(fit.points)} published models left out" in said


def test_a_borrowed_spread_is_named(known: Timing) -> None:
    runner = emulated(device="pixel-4")
    assert runner.emulation is not None
    assert runner.emulation.spread_basis.startswith("borrowed from pieslicer-phone")


@pytest.mark.parametrize(
    ("precision", "kind"), [("fp32", "float"), ("fp16", "float"), ("int8", "quant"), ("uint8", "quant")]
)
def test_the_precision_chooses_the_kernels_fit(known: Timing, precision: str, kind: str) -> None:
    assert as_precision(precision).emulation.error == find(PHONE).fits[kind].error


def test_the_files_own_precision_is_used(known: Timing) -> None:
    runner = emulated("digits_xs_int8")
    assert runner.emulation is not None
    assert runner.emulation.error == find(PHONE).fits["quant"].error


def test_a_precision_without_published_times_is_refused(known: Timing) -> None:
    with pytest.raises(EmulationError, match=r"nothing is published of dynamic models on pieslicer-phone") as caught:
        as_precision("dynamic")
    assert str(caught.value).endswith("it can be emulated for fp32 and fp16 and weight_only and int8 and uint8")


@pytest.mark.parametrize(("device", "threads"), [(PHONE, 4), ("pixel-3", 1)])
def test_other_threads_than_the_published_are_refused(device: str, threads: int) -> None:
    with pytest.raises(UsageError, match="leave --threads out"):
        emulated(device=device, threads=threads)


@pytest.mark.parametrize("device", ["nexus-5", "pixel-6", "raspberry-pi-5"])
def test_a_listed_device_is_refused_with_its_note(device: str) -> None:
    with pytest.raises(UsageError) as caught:
        emulated(device=device)
    assert str(caught.value) == f"{device} is listed, not emulated: {find(device).note}"


def test_an_unknown_device_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="did you mean pieslicer-phone"):
        emulated(device="pieslicer")


def test_a_host_slower_than_the_device_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timing, "of", lambda *_: Timing(1e6, 1.0))
    with pytest.raises(EmulationError, match="a slower host cannot emulate it; use a faster one") as caught:
        emulated()
    assert "\n" not in str(caught.value)


def test_a_host_barely_slower_than_the_devices_fastest_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    mean = find(PHONE).fits["float"].predict(1.0, SMALL.path.stat().st_size)
    monkeypatch.setattr(timing, "of", lambda *_: Timing(mean * 0.95, 1.0))
    with pytest.raises(EmulationError, match="a slower host"):
        emulated()
    monkeypatch.setattr(timing, "of", lambda *_: Timing(mean * 0.7, 1.0))
    assert emulated().emulation is not None


def test_a_calibration_of_this_host_is_used_and_named(known: Timing) -> None:
    before = emulated().emulation
    calibration.save(PHONE, {"float": slower(find(PHONE).fits["float"], 2)})
    after = emulated().emulation
    assert before is not None
    assert after is not None
    assert after.basis == "calibrated on this host"
    assert after.predicted_ms == pytest.approx(2 * before.predicted_ms)


def test_a_calibration_of_the_other_kind_is_not_used(known: Timing) -> None:
    calibration.save(PHONE, {"quant": slower(find(PHONE).fits["quant"], 2)})
    runner = emulated()
    assert runner.emulation is not None
    assert runner.emulation.basis == "fit made on a reference machine and carried to this host"


def test_a_corrupt_calibration_is_a_card_error(known: Timing) -> None:
    calibration.save(PHONE, {"float": find(PHONE).fits["float"]}).write_bytes(b"{")
    with pytest.raises(CardError, match="corrupt calibration"):
        emulated()


def test_inferences_that_the_host_is_late_for_are_counted(clock: Clock, sample: Path) -> None:
    runner = emulated()
    assert runner.emulation is not None
    runner.emulation.predicted_ms = 1e-6
    runner.classify(sample)
    assert runner.emulation.late == 1
    runner.emulation.predicted_ms = 50
    runner.classify(sample)
    assert runner.emulation.late == 0.5


def test_an_unwritable_cache_costs_nothing_else(home: Path, sample: Path) -> None:
    (home / "cache").write_text("I am no folder")
    assert emulated().classify(sample).emulated


def test_a_file_of_ones_own_is_emulated(stranger: Path, sample: Path) -> None:
    answer = Runner(stranger, device=PHONE).classify(sample)
    assert (answer.model, answer.device) == ("stranger", PHONE)
