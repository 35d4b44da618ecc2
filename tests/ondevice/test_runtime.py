"""The runtimes: choice, installation hints, threads, bad files, agreement."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ondevice import host
from ondevice import runtime as runtimes
from ondevice.errors import MissingError, ModelError, UsageError
from ondevice.runner import Runner
from ondevice.runtime import Model, TensorSpec

MODEL = "tflite/mobilenet_v1_0.25_128_quant.tflite"


@pytest.fixture
def nothing_installed(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    runtimes.get.cache_clear()
    host.current.cache_clear()
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    yield
    runtimes.get.cache_clear()
    host.current.cache_clear()


@pytest.mark.parametrize("threads", [0, -1, 257, True, 1.5, "2", None])
def test_impossible_thread_counts(threads: Any, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=rf"^threads must be a whole number from 1 to 256, not {threads}$"):
        Model(tmp_path / "never looked at.tflite", threads)


def test_unknown_runtime() -> None:
    with pytest.raises(UsageError, match=r"^no runtime 'onnx': choose litert, tflite-runtime, tensorflow$"):
        runtimes.get("onnx")


@pytest.mark.usefixtures("nothing_installed")
@pytest.mark.parametrize(
    ("name", "package"),
    [
        (None, "ai-edge-litert"),
        ("litert", "ai-edge-litert"),
        ("tflite-runtime", "tflite-runtime"),
        ("tensorflow", "tensorflow"),
    ],
)
def test_a_missing_runtime_says_how_to_install_it(
    name: str | None, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PREFIX", raising=False)
    with pytest.raises(MissingError, match=rf"^[^\n]*run `pip install {package}`$"):
        runtimes.get(name)
    assert [runtimes.version(each) for each in runtimes.RUNTIMES] == ["", "", ""]


@pytest.mark.usefixtures("nothing_installed")
def test_on_termux_the_system_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFIX", "/data/data/com.termux/files/usr")
    with pytest.raises(MissingError, match=r"`pkg install python-tflite-runtime`.*--system-site-packages"):
        runtimes.get()


@pytest.mark.usefixtures("nothing_installed")
def test_in_a_distribution_inside_termux_the_index_s_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PREFIX", raising=False)
    monkeypatch.setenv("ANDROID_ROOT", "/system")
    monkeypatch.setenv("ANDROID_DATA", "/data")
    assert host.current().name == "android"
    with pytest.raises(MissingError, match=r"run `pip install ai-edge-litert`$"):
        runtimes.get()


def test_the_first_installed_runtime_is_the_default() -> None:
    installed = [name for name in runtimes.RUNTIMES if runtimes.version(name)]
    assert runtimes.get().name == installed[0]
    assert str(runtimes.get()) == f"{installed[0]} {runtimes.version(installed[0])}"


@pytest.mark.parametrize("content", [b"", b"this is not a model\n" * 20, bytes(4096)], ids=["empty", "text", "zeros"])
def test_no_models(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "none.tflite"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=r"^[^\n]*none\.tflite: [^\n]*not a \.tflite file: [^\n]+$") as caught:
        Model(path)
    assert caught.value.model == str(path)


def test_a_classifier_describes_itself(data: Path) -> None:
    model = Model(data / MODEL)
    assert (model.input.shape, model.input.dtype, model.outputs) == ((1, 128, 128, 3), np.dtype(np.uint8), 1001)
    assert not model.channels_first
    assert model.precision == "uint8"
    stored = model.invoke(np.zeros(model.input.shape, np.uint8))
    assert (stored.shape, stored.dtype) == ((1001,), np.dtype(np.uint8))
    scores = model.dequantize(stored)
    assert scores.dtype == np.float32
    assert np.array_equal(scores, stored * np.float32(1 / 256))  # as this model's output is quantized
    assert scores.max() > 0


@pytest.mark.parametrize("tensor", [np.zeros((1, 9, 9, 3), np.uint8), np.zeros((1, 128, 128, 3), np.float32)])
def test_a_tensor_that_does_not_fit(tensor: np.ndarray[Any, Any], data: Path) -> None:
    with pytest.raises(ModelError, match=r"quant\.tflite: inference failed: [^\n]+$"):
        Model(data / MODEL).invoke(tensor)


def test_tensor_spec_takes_plain_numbers() -> None:
    shape = np.array([1, 10], np.int32)
    detail = {"name": "x", "index": np.int32(3), "shape": shape, "dtype": np.int8, "quantization": (0.5, -3)}
    assert TensorSpec.of(detail) == TensorSpec(3, (1, 10), np.dtype(np.int8), 0.5, -3, "x")


COUNT_THREADS = """
import os, sys
import numpy as np
from ondevice.runtime import Model, get
get()
before = len(os.listdir("/proc/self/task"))
model = Model(sys.argv[1], int(sys.argv[2]))
model.invoke(np.zeros(model.input.shape, model.input.dtype))
print(len(os.listdir("/proc/self/task")) - before)
"""


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="counts threads in Linux's /proc")
@pytest.mark.parametrize("threads", [1, 3])
def test_the_runtime_uses_the_threads(threads: int, data: Path) -> None:
    command = [sys.executable, "-c", COUNT_THREADS, str(data / MODEL), str(threads)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert int(done.stdout) == threads - 1


@pytest.mark.filterwarnings("ignore")  # TensorFlow's own, on import and about its interpreter
@pytest.mark.skipif(not runtimes.version("tensorflow"), reason="TensorFlow is not installed")
def test_litert_and_tensorflow_agree(data: Path) -> None:
    photos = sorted((data / "imagenet").glob("*.JPEG"))[:200:10]
    path = data / "tflite" / "mobilenet_v2_1.0_224_quant.tflite"
    ours, theirs = (Runner(path, runtime=name) for name in ("litert", "tensorflow"))
    assert [ours.classify(p).index for p in photos] == [theirs.classify(p).index for p in photos]
    assert theirs.classify(photos[0]).runtime.startswith("tensorflow ")
