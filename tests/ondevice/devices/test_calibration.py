"""Calibration: which published models are at hand, timing them, the fits, and keeping them."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import math
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ondevice import host
from ondevice.devices import calibration, timing
from ondevice.devices.calibration import Candidate
from ondevice.devices.card import Device, Fit, Latency, find
from ondevice.devices.timing import Timing
from ondevice.errors import CardError, EmulationError, OnDeviceError, UsageError
from ondevice.models import zoo

BUNDLED = ("digits_xs", "digits_s", "digits_m", "digits_l")
MODELS = tuple(f"net{letter}_1.0_32" for letter in "abcd")
FIT = find("pieslicer-phone").fits["float"]


def device(size_mb: float | None = None) -> Device:
    """A phone of which four made-up models were published, in both kinds."""
    latencies = tuple(
        Latency(model, kind, infer_ms, size_mb=size_mb)
        for kind in ("float", "quant")
        for model, infer_ms in zip(MODELS, (5.0, 6.0, 9.0, 70.0), strict=True)
    )
    return dataclasses.replace(find("pieslicer-phone"), name="test-phone", latencies=latencies)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The bundled fp32 models under the published names."""
    for name, bundled in zip(MODELS, BUNDLED, strict=True):
        (tmp_path / f"{name}_fp32.tflite").write_bytes(zoo.find(f"{bundled}_fp32").path.read_bytes())
    return tmp_path


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timing, "PASSES", 2)


@pytest.fixture
def any_load(monkeypatch: pytest.MonkeyPatch) -> None:
    """Measure however busy the machine that runs the tests is."""
    monkeypatch.setattr(calibration, "MAX_OTHERS", 1e9)


def timed(model: str, relative: float, infer_ms: float, kind: str = "float") -> Candidate:
    """As measured on a host whose anchor takes 10 ms."""
    path = zoo.find("digits_xs_fp32").path
    return Candidate(path, Latency(model, kind, infer_ms), Timing(10 * relative, relative))


def on_a_line(kind: str = "float", models: tuple[str, ...] = MODELS) -> list[Candidate]:
    """Models that take the device 2 ms + 3 times what they take the host."""
    relatives = (0.1, 0.4, 1.0, 8.0)
    return [timed(model, r, 2 + 30 * r, kind) for model, r in zip(models, relatives, strict=True)]


@pytest.mark.parametrize(
    ("suffix", "kind"),
    [
        ("fp32", "float"),
        ("fp16", "float"),
        ("float", "float"),
        ("int8", "quant"),
        ("uint8", "quant"),
        ("quant", "quant"),
    ],
)
def test_files_are_matched_by_name_and_suffix(tmp_path: Path, suffix: str, kind: str) -> None:
    path = tmp_path / f"neta_1.0_32_{suffix}.tflite"
    path.write_bytes(b"not opened yet")
    (found,) = calibration.at_hand(device(), [tmp_path])
    assert (found.path, found.published.model, found.published.kind) == (path, MODELS[0], kind)
    assert found.timing is None


@pytest.mark.parametrize(
    "name",
    ["neta_1.0_32.tflite", "neta_1.0_64_fp32.tflite", "other_fp32.tflite", "neta_1.0_32_fp32.bin", "_fp32.tflite",
     "neta_1.0_32_dynamic.tflite"],
)  # fmt: skip
def test_other_files_are_left_alone(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"")
    assert calibration.at_hand(device(), [tmp_path]) == []


@pytest.mark.parametrize(
    ("kind", "suffix", "size", "fits"),
    [
        ("float", "fp32", 1_090_000, True),
        ("float", "fp32", 1_110_000, False),
        ("float", "fp32", 890_000, False),
        ("quant", "int8", 1_190_000, True),
        ("quant", "int8", 1_210_000, False),
    ],
)
def test_a_file_of_another_size_is_another_graph(tmp_path: Path, kind: str, suffix: str, size: int, fits: bool) -> None:
    (tmp_path / f"neta_1.0_32_{suffix}.tflite").write_bytes(bytes(size))
    found = calibration.at_hand(device(size_mb=1.0), [tmp_path])
    assert [c.published.kind for c in found] == [kind] * fits


def test_a_small_file_may_differ_by_what_its_published_size_was_rounded(tmp_path: Path) -> None:
    (tmp_path / "neta_1.0_32_fp32.tflite").write_bytes(bytes(390_000))
    assert len(calibration.at_hand(device(size_mb=0.3), [tmp_path])) == 1


def test_the_first_file_of_a_model_is_taken(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "neta_1.0_32_fp32.tflite").write_bytes(b"")
    found = calibration.at_hand(device(), [tmp_path / "two", tmp_path / "one"])
    assert [c.path.parent.name for c in found] == ["two"]


def test_the_zoos_models_are_at_hand(home: Path) -> None:
    pulled = home / "cache" / "models" / "mobilenet_v1_0.25_128_quant.tflite"
    pulled.parent.mkdir(parents=True)
    pulled.write_bytes(bytes(500_000))
    (found,) = calibration.at_hand(find("pixel-3"), [])
    assert (found.path, found.published.infer_ms) == (pulled, 0.8)


def test_a_folder_that_is_not_there_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"nowhere: no such folder; give one with \.tflite files"):
        calibration.at_hand(device(), [tmp_path, tmp_path / "nowhere"])


@pytest.mark.parametrize(
    ("model", "architecture"),
    [
        ("mobilenet_v1_0.25_128", "mobilenet_v1"),
        ("mobilenet_v2_1.0_224", "mobilenet_v2"),
        ("resnet_v2_101", "resnet_v2"),
        ("inception_v3", "inception_v3"),
        ("nasnet_mobile", "nasnet_mobile"),
    ],
)
def test_the_architecture_is_the_name_without_width_and_side(model: str, architecture: str) -> None:
    assert timed(model, 1, 1).architecture == architecture


def test_a_point_is_in_the_units_of_the_anchor_given() -> None:
    candidate = timed("neta", 0.5, 7.0)
    assert candidate.point(20.0) == (10.0, candidate.path.stat().st_size / 1e6, 7.0)
    with pytest.raises(ValueError, match="has not been timed"):
        candidate._replace(timing=None).point(20.0)


@pytest.mark.usefixtures("short", "any_load")
def test_every_model_at_hand_is_timed(folder: Path) -> None:
    steps: list[int] = []
    at_hand = calibration.at_hand(device(), [folder])
    measured = calibration.measure(at_hand, lambda: steps.append(1))
    assert [c.published.model for c in measured] == list(MODELS)
    assert len(steps) == 2 * len(MODELS)
    assert [c._replace(timing=None) for c in measured] == at_hand
    times = [c.timing.host_ms for c in measured if c.timing]
    assert times[0] < times[-1], "the largest of the family takes hundreds of times as long as the smallest"


def test_nothing_to_time_takes_no_time() -> None:
    assert calibration.measure([]) == []


@pytest.mark.usefixtures("short", "any_load")
def test_a_file_that_is_no_model_is_named(folder: Path) -> None:
    bad = folder / f"{MODELS[1]}_fp32.tflite"
    bad.write_bytes(b"I am no model")
    with pytest.raises(UsageError, match=r"netb_1\.0_32_fp32\.tflite.*; move it out of the folder$") as caught:
        calibration.measure(calibration.at_hand(device(), [folder]))
    assert "\n" not in str(caught.value)


@contextlib.contextmanager
def hogs() -> Iterator[None]:
    """Processes that spin, and together keep far more than MAX_OTHERS of the machine busy."""
    spin = "print(flush=True)\nwhile True: pass"
    count = max(2, (os.cpu_count() or 1) // 4)
    children = [subprocess.Popen([sys.executable, "-c", spin], stdout=subprocess.PIPE) for _ in range(count)]
    try:
        for child in children:
            assert child.stdout is not None
            child.stdout.readline()
        yield
    finally:
        for child in children:
            child.kill()
            child.communicate()


@pytest.mark.usefixtures("short")
def test_a_busy_machine_is_not_calibrated(folder: Path) -> None:
    with (
        hogs(),
        pytest.raises(EmulationError, match=r"kept \d+\.\d\d processors busy meanwhile.*; stop them") as caught,
    ):
        calibration.measure(calibration.at_hand(device(), [folder]))
    assert "\n" not in str(caught.value)


@pytest.mark.usefixtures("short")
def test_a_platform_that_does_not_tell_is_taken_to_be_idle(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(type(host.current()), "cpu_times", lambda _: None)
    with hogs():
        assert len(calibration.measure(calibration.at_hand(device(), [folder]))) == len(MODELS)


def test_a_line_is_refitted_with_its_errors() -> None:
    fits = calibration.refit(on_a_line())
    assert set(fits) == {"float"}
    fit = fits["float"]
    assert fit.anchor_ms == pytest.approx(10)
    assert [p.device_ms for p in fit.points] == [5, 14, 32, 242]
    assert fit.predict(2.0, 1_000_000) == pytest.approx(62)
    assert (fit.error, fit.worst) == pytest.approx((0, 0), abs=1e-9)
    assert host.current().cpu_model() in fit.reference


def test_errors_are_of_models_left_out() -> None:
    odd = timed("nete_1.0_32", 2.0, 124.0)
    fit = calibration.refit([*on_a_line(), odd])["float"]
    # The others say 62 ms of it: off by a half.
    assert fit.worst == pytest.approx(0.5)
    assert 0 < fit.error < fit.worst


def test_architectures_are_left_out_together_where_there_are_three() -> None:
    few = on_a_line(models=("a_1", "a_2", "b_1", "b_2"))
    assert math.isnan(calibration.refit(few)["float"].architecture_error)
    enough = on_a_line(models=("a_1", "a_2", "b_1", "c_1"))
    assert calibration.refit(enough)["float"].architecture_error == pytest.approx(0, abs=1e-9)


def test_each_kind_with_enough_models_is_fitted() -> None:
    assert set(calibration.refit([*on_a_line(), *on_a_line("quant")])) == {"float", "quant"}
    assert set(calibration.refit([*on_a_line(), *on_a_line("quant")[:3]])) == {"float"}


@pytest.mark.parametrize(("count", "said"), [(0, "none"), (3, "3 float")])
def test_too_few_models_say_what_to_give(count: int, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        calibration.refit(on_a_line()[:count])
    message = str(caught.value)
    assert f"({said}; 4 of a kind are needed)" in message
    assert "--models" in message
    assert "\n" not in message


def test_a_calibration_is_kept_for_this_host_and_device(home: Path) -> None:
    path = calibration.save("pixel-3", {"float": FIT})
    assert path.is_relative_to(home / "data" / "devices")
    loaded = calibration.load("pixel-3")
    assert set(loaded) == {"float"}
    # NaN, where there were too few architectures, is not equal to itself.
    assert math.isnan(loaded["float"].architecture_error)
    assert dataclasses.replace(loaded["float"], architecture_error=0) == dataclasses.replace(FIT, architecture_error=0)
    assert calibration.load("pixel-4") == {}


def test_another_host_has_no_calibration_here(monkeypatch: pytest.MonkeyPatch) -> None:
    calibration.save("pixel-3", {"float": FIT})
    monkeypatch.setattr(type(host.current()), "cpu_model", lambda _: "another processor")
    assert calibration.load("pixel-3") == {}


def refused(content: bytes) -> None:
    path = calibration.save("pixel-3", {"float": FIT})
    path.write_bytes(content)
    with pytest.raises(CardError, match=r"delete it, or run `ondevice devices calibrate pixel-3` again$") as caught:
        calibration.load("pixel-3")
    assert caught.value.path == str(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"null", b"\xff\xfe\x00", b'{"float": 3}', b'{"float": {"points": []}}'],
    ids=str,
)
def test_a_corrupt_calibration_is_one_line_that_says_what_to_do(content: bytes) -> None:
    refused(content)


@pytest.mark.parametrize(
    "changes",
    [
        {"colour": "red"},
        {"points": [[1, 2]]},
        {"points": [[1, "x", 2]]},
        {"points": []},
        {"points": [[1, 1, -5], [2, 2, -8], [3, 3, -9], [4, 4, -9]]},
        {"anchor_ms": None},
        {"anchor_ms": "fast"},
        {"error": "none"},
    ],
    ids=str,
)
def test_a_calibration_with_one_wrong_field_is_corrupt(changes: dict[str, Any]) -> None:
    refused(json.dumps({"float": {**dataclasses.asdict(FIT), **changes}}).encode())


def test_calibrating_again_mends_a_corrupt_one() -> None:
    calibration.save("pixel-3", {"float": FIT}).write_bytes(b"{")
    calibration.save("pixel-3", {"float": FIT})
    assert calibration.load("pixel-3")["float"].points == FIT.points


def test_an_unwritable_data_folder_is_one_line(home: Path) -> None:
    (home / "data").write_text("I am no folder")
    with pytest.raises(OnDeviceError, match=str(home / "data")) as caught:
        calibration.save("pixel-3", {"float": FIT})
    assert "\n" not in str(caught.value)


@pytest.mark.usefixtures("short", "any_load")
def test_from_files_to_a_kept_calibration(folder: Path) -> None:
    phone = device()
    fits = calibration.refit(calibration.measure(calibration.at_hand(phone, [folder])))
    calibration.save(phone.name, fits)
    kept = calibration.load(phone.name)["float"]
    assert isinstance(kept, Fit)
    assert [p.device_ms for p in kept.points] == [5, 6, 9, 70]
    assert kept.points == fits["float"].points
    assert 0 < kept.error <= kept.worst
    assert math.isfinite(kept.architecture_error)


def test_a_link_to_nowhere_is_left_alone_or_named(tmp_path: Path) -> None:
    (tmp_path / "neta_1.0_32_fp32.tflite").symlink_to(tmp_path / "gone.tflite")
    with contextlib.suppress(OnDeviceError):
        assert calibration.at_hand(device(size_mb=1.0), [tmp_path]) == []
