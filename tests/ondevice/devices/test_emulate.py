"""Emulated devices: the same answers, in the device's time, and refusals where that cannot be."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from time import perf_counter

import pytest
from clock import Clock

from ondevice.devices import emulate
from ondevice.devices.card import find
from ondevice.devices.emulate import EmulatedExecutable
from ondevice.errors import EmulationError, UsageError
from ondevice.models import zoo
from ondevice.runner import Runner

Cli = Callable[..., "subprocess.CompletedProcess[str]"]

PHONE = "pieslicer-phone"
SMALL = zoo.find("digits_xs_fp32")


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The emulation's: an inference itself takes no time, and to wait is to move it on."""
    given = Clock(step_s=1e-6)
    monkeypatch.setattr(emulate, "perf_counter", given)
    monkeypatch.setattr(emulate.time, "sleep", given.sleep)
    return given


def emulated(model: str = "digits_xs_fp32", device: str = PHONE, threads: int | None = None) -> Runner:
    return Runner(model, threads, device=device)


def predicted_ms(runner: Runner) -> float:
    assert runner.emulation is not None
    return runner.emulation.predicted_ms


def test_the_answer_is_the_same_and_says_emulated(sample: Path) -> None:
    real, answer = Runner("digits_xs_fp32").classify(sample), emulated().classify(sample)
    assert (answer.label, answer.score, answer.top) == (real.label, real.score, real.top)
    assert (answer.device, answer.emulated, answer.threads) == (PHONE, True, 1)
    assert (real.device, real.emulated) == (None, False)
    assert answer.model == "digits_xs_fp32"


def test_the_threads_are_the_devices(clock: Clock, sample: Path) -> None:
    assert emulated(device="raspberry-pi-4").classify(sample).threads == 4


def test_threads_choose_among_the_cards_counts(clock: Clock) -> None:
    one, four = emulated(device="pixel-3", threads=1), emulated(device="pixel-3", threads=4)
    assert (one.model.threads, four.model.threads) == (1, 4)
    assert predicted_ms(one) > predicted_ms(four)
    with pytest.raises(UsageError, match="with 2 threads: give --threads 1 or 4, or leave it out"):
        emulated(device="pixel-3", threads=2)


@pytest.mark.parametrize("model", ["digits_xs_fp32", "digits_m_int8"])
def test_a_hundred_inferences_take_a_hundred_times_what_was_predicted(clock: Clock, sample: Path, model: str) -> None:
    runner = emulated(model)
    tensor, start = runner.prepare(sample), clock()
    for _ in range(100):
        runner.model.invoke(tensor)
    # Draws are stratified, and a hundred are five whole rounds: the mean of such is off by 0.2 %, by 3 % never.
    assert (clock() - start) * 1e3 == pytest.approx(100 * predicted_ms(runner), rel=0.03)
    assert runner.emulation is not None
    assert runner.emulation.late == 0


@pytest.mark.parametrize("faster", [1.0, 3.0, 12.0])
def test_the_hosts_speed_changes_nothing(
    clock: Clock, sample: Path, monkeypatch: pytest.MonkeyPatch, faster: float
) -> None:
    """A host whose inferences take 6 ms, or a third or a twelfth of that: the device takes what it takes."""
    run = emulate.Executable.run

    def slowly(executable: emulate.Executable, tensors: object) -> object:
        clock.sleep(0.006 / faster)
        return run(executable, tensors)

    monkeypatch.setattr(emulate.Executable, "run", slowly)
    runner = emulated()
    reference = EmulatedExecutable(SMALL.path, find(PHONE)).emulation
    assert runner.emulation is not None
    assert runner.emulation.predicted_ms == reference.predicted_ms
    assert runner.emulation.host_ms == pytest.approx(6 / faster, abs=0.1)
    tensor, start = runner.prepare(sample), clock()
    for _ in range(100):
        runner.model.invoke(tensor)
    assert (clock() - start) * 1e3 == pytest.approx(100 * predicted_ms(runner), rel=0.03)


def test_loading_takes_the_devices_time(sample: Path) -> None:
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


def test_a_published_network_loads_as_published(data: Path) -> None:
    runner = emulated(str(data / "tflite" / "mobilenet_v1_0.25_128_quant.tflite"))
    assert runner.emulation is not None
    assert (runner.emulation.load_ms, runner.emulation.load_basis) == (31, "published for this network")
    assert runner.emulation.predicted_ms == 87.5
    assert runner.emulation.label == "pieslicer-phone (emulated, published)"


def test_without_a_published_load_time_the_hosts_is_stretched(clock: Clock) -> None:
    runner = emulated(device="raspberry-pi-4")
    assert runner.emulation is not None
    assert "no published load time" in runner.emulation.load_basis
    assert runner.model.load_ms >= runner.emulation.load_ms > 0


def test_what_it_rests_on_is_all_there(clock: Clock) -> None:
    runner = emulated(device="raspberry-pi-4")
    assert runner.emulation is not None
    fit = find("raspberry-pi-4").fit("float", 4)
    assert fit is not None
    assert fit.architecture is not None
    record = runner.emulation.as_dict()
    assert (record["device"], record["threads"]) == ("raspberry-pi-4", 4)
    assert record["host_ms"] < record["predicted_ms"]
    assert (record["error"], record["worst"]) == (fit.architecture.mean, fit.architecture.worst)
    assert record["models"] == fit.architecture.count
    assert record["basis"].startswith("new architecture: ± ")
    assert record["spread_basis"] == "published percentiles of 95 models on it, each over its mean"
    assert record["late"] == 0
    said = f"emulated raspberry-pi-4: {record['predicted_ms']:.3g} ms an inference, new architecture: ± "
    assert str(runner.emulation).startswith(said)
    assert runner.emulation.label == f"raspberry-pi-4 (emulated ± {fit.architecture.mean:.0%})"


def test_where_nobody_can_tell_how_far_off_it_is_the_label_claims_nothing(clock: Clock) -> None:
    runner = emulated()
    assert runner.emulation is not None
    assert (runner.emulation.error, runner.emulation.worst, runner.emulation.models) == (None, None, 0)
    assert runner.emulation.label == f"{PHONE} (emulated)"
    assert "new architecture: how far off is not known" in str(runner.emulation)


def test_a_borrowed_spread_is_named(clock: Clock) -> None:
    runner = emulated(device="pixel-4")
    assert runner.emulation is not None
    assert runner.emulation.spread_basis.startswith("borrowed from pieslicer-phone")


def test_the_files_own_precision_is_used(clock: Clock) -> None:
    quant = emulated("digits_xs_int8")
    as_float = EmulatedExecutable(zoo.find("digits_xs_int8").path, find(PHONE), "fp32")
    assert predicted_ms(quant) != as_float.emulation.predicted_ms


@pytest.mark.parametrize("device", ["nexus-5", "pixel-6"])
def test_a_listed_device_is_refused_with_its_note(device: str) -> None:
    with pytest.raises(UsageError) as caught:
        emulated(device=device)
    assert str(caught.value) == f"{device} is listed, not emulated: {find(device).note}"


def test_an_unknown_device_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="did you mean pieslicer-phone"):
        emulated(device="pieslicer")


@pytest.mark.parametrize("host_ms", [1e6, 66.0])
def test_a_host_slower_than_the_devices_fastest_is_refused_before_it_starts(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, host_ms: float
) -> None:
    monkeypatch.setattr(EmulatedExecutable, "_host_ms", lambda _: host_ms)
    with pytest.raises(EmulationError, match="a slower host cannot emulate it; use a faster one") as caught:
        emulated()
    assert "\n" not in str(caught.value)
    command = re.fullmatch(r".*; `ondevice (.*)` says the device's time alone", str(caught.value))
    assert command
    assert cli(*command[1].split()).returncode == 0


def test_a_host_a_little_faster_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(EmulatedExecutable, "_host_ms", lambda _: 40.0)
    assert emulated().emulation is not None


def test_a_slow_network_is_tried_once(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[object] = []

    def slowly(executable: emulate.Executable, tensors: object) -> None:
        calls.append(tensors)
        clock.sleep(2)

    monkeypatch.setattr(emulate.Executable, "run", slowly)
    with pytest.raises(EmulationError, match="this host takes 2e"):
        emulated()
    assert len(calls) == 1


def test_inferences_that_the_host_is_late_for_are_counted(sample: Path) -> None:
    runner = emulated()
    assert runner.emulation is not None
    executable = runner.model.executable
    assert isinstance(executable, EmulatedExecutable)
    executable._draw = lambda: 1e-6
    runner.classify(sample)
    assert runner.emulation.late == 1
    executable._draw = lambda: 50.0
    runner.classify(sample)
    assert runner.emulation.late == 0.5


def test_a_file_of_ones_own_is_emulated(stranger: Path, sample: Path) -> None:
    answer = Runner(stranger, device=PHONE).classify(sample)
    assert (answer.model, answer.device) == ("stranger", PHONE)
