"""A whole conversion, from the source to the files in place, in this process."""

from __future__ import annotations

import os
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import pytest
from converting import converted

from ondevice.converters import worker
from ondevice.converters.export import tensorflow
from ondevice.converters.job import ConversionJob
from ondevice.converters.sources import tensorflow as tensorflow_source
from ondevice.errors import ConvertError, OnDeviceError, UsageError
from ondevice.models.card import Card

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
REAL = "mobilenet_v1_0.25_128"


@pytest.fixture(scope="module", autouse=True)
def _tensorflow() -> None:
    pytest.importorskip("tensorflow")


@pytest.fixture
def small(tmp_path: Path) -> str:
    """A file with a network that takes more than 64 kB as fp32."""
    keras = tensorflow().keras
    kinds = keras.layers
    path = tmp_path / "small.keras"
    keras.Sequential(
        [keras.Input((32, 32, 3)), kinds.Conv2D(8, 3, 4), kinds.Flatten(), kinds.Dense(64), kinds.Dense(10)]
    ).save(path)
    return str(path)


def test_real_weights_stay_as_good(data: Path, photos: Path, tmp_path: Path) -> None:
    weights = data / "keras" / f"{REAL}.weights.h5"
    source, fp32, int8 = converted(
        ConversionJob(
            REAL, str(tmp_path), weights=str(weights), precisions=("fp32", "int8"), calibration=str(photos),
            calibration_size=40,
        )
    )  # fmt: skip
    assert (fp32.n, fp32.agreement, fp32.top1) == (60, 1.0, source.top1)
    assert source.top1 is not None
    assert int8.top1 is not None
    assert source.top1 > 0.3
    assert int8.top1 >= source.top1 - 0.05
    assert int8.difference_low is not None
    assert int8.top1_difference is not None
    assert int8.difference_high is not None
    assert int8.difference_low <= int8.top1_difference <= int8.difference_high
    assert int8.size_bytes is not None
    assert fp32.size_bytes is not None
    assert int8.size_bytes / fp32.size_bytes <= 0.32
    conversion = Card.read(tmp_path / f"{REAL}_int8.toml").conversion
    assert conversion is not None
    assert (conversion.weights, conversion.calibration) == (weights.name, "40 pictures of photos, seed 0")


def test_random_weights_are_judged_by_their_logits_and_the_card_says_so(tmp_path: Path) -> None:
    source, fp32, int8 = converted(
        ConversionJob(
            "squeezenet_1.1", str(tmp_path), weights="none", precisions=("fp32", "int8"), calibration="random",
            calibration_size=10, side=32,
        )
    )  # fmt: skip
    assert (source.precision, source.parameters) == ("source", 1_235_496)
    assert fp32.error_of_spread is not None
    assert int8.error_of_spread is not None
    assert fp32.error_of_spread < 1e-3 < int8.error_of_spread < 0.5
    card = Card.read(tmp_path / "squeezenet_1.1_int8.toml")
    assert (card.labels, card.accuracy, card.family) == ("imagenet", None, "squeezenet")
    assert card.conversion is not None
    assert card.conversion.weights == "random"
    assert card.conversion.calibration == "10 random images: for latency, not for answers"
    assert card.conversion.error_of_spread == pytest.approx(int8.error_of_spread, abs=1e-5)


def test_a_calibration_folder_without_any_picture(small: str, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "notes.txt").touch()
    job = ConversionJob(small, str(tmp_path), precisions=("int8",), calibration=str(folder), value_range=(-1.0, 1.0))
    with pytest.raises(UsageError) as caught:
        converted(job)
    assert str(caught.value) == f"--calibration {folder}: no picture in it (1 other files)"


def test_a_file_that_cannot_be_used_is_called_by_its_precision(
    small: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tensorflow_source, "to_tflite", lambda *_: b"\x1c\0\0\0TFL3" + bytes(60))
    with pytest.raises(ConvertError, match=r"^small: its fp32 file cannot be used: ") as caught:
        converted(ConversionJob(small, str(tmp_path), value_range=(-1.0, 1.0)))
    assert tempfile.gettempdir() not in str(caught.value)


def test_whatever_is_raised_is_an_error_with_its_traceback_in_the_log(
    small: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    sent: list[dict[str, Any]] = []
    job = ConversionJob(small, str(tmp_path), value_range=(-1.0, 1.0)).as_dict()
    monkeypatch.setattr(
        worker.messages, "receive", lambda: (job, lambda kind, **more: sent.append({"kind": kind, **more}))
    )
    monkeypatch.setattr(worker, "gather", lambda *_: 1 // 0)
    monkeypatch.setattr(os, "_exit", lambda status: None)
    worker.main()
    said = "small: cannot be converted: ZeroDivisionError: integer division or modulo by zero"
    assert sent[-1] == {"kind": "error", "message": said, "usage": False}
    assert "Traceback" in capfd.readouterr().err


def test_a_full_disk(small: str, tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("mounts a small file system: needs root")
    out = tmp_path / "out"
    out.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "none", str(out)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        pytest.skip(f"mounts a small file system: {done.stderr.strip()}")
    try:
        with pytest.raises(OnDeviceError) as caught:
            converted(ConversionJob(small, str(out), calibration="random", value_range=(-1.0, 1.0)))
        assert list(out.iterdir()) == []
    finally:
        subprocess.run(["umount", str(out)], check=True)
    assert str(caught.value).startswith(f"{out / 'small_fp32.tflite'}: no space left on device")
