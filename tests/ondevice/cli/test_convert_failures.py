"""`ondevice convert` with what cannot be converted, with wrong flags, and without weights."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from converting import HOW, SAMPLES, ran

from ondevice import extras
from ondevice.cli.convert import convert
from ondevice.errors import MissingError
from ondevice.models.card import Card

pytestmark = [
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
    pytest.mark.skipif(sys.platform != "linux", reason="finds processes in /proc"),
]
Cli = Callable[..., "subprocess.CompletedProcess[str]"]


def test_what_cannot_be_converted_is_one_line_each_and_a_log(networks: Path, tmp_path: Path) -> None:
    proxies = dict.fromkeys(("https_proxy", "HTTPS_PROXY", "http_proxy", "HTTP_PROXY"), "http://127.0.0.1:9")
    sources = (networks / "inverse.keras", "mobilenet_v1_0.3_128x", "mobilenet_v1_0.25_128")
    result = ran(
        tmp_path, *sources, "--range=-1,1", "--jobs", 2, KERAS_HOME=str(tmp_path), NO_PROXY="", no_proxy="", **proxies
    )
    operator, unknown, no_network = (error.removeprefix("ondevice: error: ") for error in result.errors())
    assert operator.startswith("inverse: TFLite has no tf.Erfinv: replace the layers that use it; the log: ")
    assert unknown.startswith("no architecture 'mobilenet_v1_0.3_128x', and no such file; did you mean mobilenet_v1_")
    assert no_network.startswith("mobilenet_v1_0.25_128: its imagenet weights cannot be loaded: ")
    assert "(no network? give --weights FILE, or --weights none); the log: " in no_network
    assert (result.done.returncode, result.done.stdout, result.names()) == (1, "", [])
    logs = {error.rsplit("; the log: ", 1)[1] for error in (operator, no_network)}
    assert logs == {str(log) for log in result.logs()}
    assert all("Traceback" in Path(log).read_text() for log in logs)


def test_a_calibration_folder_without_any_picture(networks: Path, tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    (photos / "notes.txt").touch()
    how = [str(photos) if argument == SAMPLES else argument for argument in HOW]
    result = ran(tmp_path, networks / "small.keras", "--precision", "int8", *how)
    assert result.errors() == [f"ondevice: error: --calibration {photos}: no picture in it (1 other files)"]
    assert (result.done.returncode, result.done.stdout, result.names(), result.logs()) == (2, "", [], [])


def test_a_full_disk(networks: Path, tmp_path: Path) -> None:
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
        result = ran(tmp_path, networks / "small.keras", *HOW)
        assert result.names() == []
    finally:
        subprocess.run(["umount", str(out)], check=True)
    (error,) = result.errors()
    assert error.startswith(f"ondevice: error: {out / 'small_fp32.tflite'}: no space left on device")
    assert result.done.returncode == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "give either sources, or --zoo paper"),
        (["small.keras", "--zoo", "paper"], "give either sources, or --zoo paper"),
        (["--zoo", "other"], "give either sources, or --zoo paper"),
        (["small.keras", "--jobs", "0"], "from 1 to 64 networks can be converted at once, not 0"),
        (["a/net.keras", "b/net.h5"], "two sources are called 'net': give one of them another --name"),
        (["a.keras", "b.keras", "--name", "same"], "two sources are called 'same'"),
        (["net.keras", "--precision", "fp32,int4"], "not 'int4'"),
        (["net.keras", "--precision", "int8"], "int8 needs --calibration DIR"),
        (["net.keras", "--io", "int16"], "--io is one of int8, uint8, float, not 'int16'"),
        (["net.keras", "--size", "3"], "--size must be from 8 to 4096 pixels"),
        (["net.keras", "--range", "1"], "--range"),
        (["my net.keras"], "'my net' cannot be a model's name"),
        (["net.keras", "--precision", "int8", "--calibration", "random", "--calibration-size", "0"], "from 1 to 10000"),
    ],
)
def test_wrong_usage_is_one_line_at_once(arguments: list[str], said: str, cli: Cli, tmp_path: Path) -> None:
    done = cli("convert", *arguments, "--out", tmp_path / "out")
    assert done.stderr.startswith("ondevice: error: ")
    assert said in done.stderr
    assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (2, "", 1)
    assert not (tmp_path / "out").exists()


def test_a_folder_of_weights_that_lacks_them(cli: Cli, tmp_path: Path) -> None:
    done = cli("convert", "mobilenet_v1_0.25_128", "--weights", tmp_path)
    said = f"--weights {tmp_path}: it has no mobilenet_v1_0.25_128.weights.h5"
    assert (done.returncode, done.stderr) == (2, f"ondevice: error: {said}\n")


def test_without_the_extra_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extras, "_installed", lambda distribution: distribution != "tensorflow")
    with pytest.raises(MissingError, match=r"^converting needs more packages: run `pip install 'tensorflow>="):
        convert(sources=["small.keras"])


def test_random_weights_are_judged_by_their_logits_and_the_card_says_so(networks: Path, tmp_path: Path) -> None:
    name = "squeezenet"
    arguments = ("--weights", "none", "--precision", "fp32,int8", "--calibration", "random", "--calibration-size", 10)
    result = ran(tmp_path, name, *arguments, "--size", 64, "--format", "json")
    assert (result.done.returncode, result.done.stderr) == (0, "")
    source, fp32, int8 = json.loads(result.done.stdout)
    assert (source["precision"], source["parameters"]) == ("source", 1_248_424)
    assert fp32["error_of_spread"] < 1e-3 < int8["error_of_spread"] < 0.5
    card = Card.read(result.out / f"{name}_int8.toml")
    assert (card.labels, card.accuracy, card.family) == ("imagenet", None, "squeezenet")
    assert card.conversion is not None
    assert card.conversion.weights == "random"
    assert card.conversion.calibration == "10 random images: for latency, not for answers"
    assert card.conversion.error_of_spread == pytest.approx(int8["error_of_spread"], abs=1e-5)
