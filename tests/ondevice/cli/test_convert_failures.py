"""`ondevice convert` with what cannot be converted, and with wrong flags."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from converting import ran

from ondevice import extras
from ondevice.cli.convert import JobFlags, convert
from ondevice.converters.architectures import catalogue
from ondevice.errors import MissingError

Cli = Callable[..., "subprocess.CompletedProcess[str]"]


def test_an_unknown_name_is_wrong_usage_and_leaves_no_log(tmp_path: Path) -> None:
    result = ran(tmp_path, "mobilenet_v1_0.3_128x")
    (said,) = result.errors()
    assert said.startswith("ondevice: error: no architecture 'mobilenet_v1_0.3_128x', and no such file; did you mean ")
    assert (result.done.returncode, result.done.stdout, result.names(), result.logs()) == (2, "", [], [])


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "give either sources, or --zoo paper or torch, or --list"),
        (["small.keras", "--zoo", "paper"], "give either sources, or --zoo paper or torch, or --list"),
        (["small.keras", "--list"], "give either sources, or --zoo paper or torch, or --list"),
        (["--zoo", "other"], "give either sources, or --zoo paper or torch, or --list"),
        (["small.keras", "--jobs", "0"], "from 1 to 64 networks can be converted at once, not 0"),
        (["a/net.keras", "b/net.h5"], "two sources are called 'net': give one of them another --name"),
        (["a.keras", "b.keras", "--name", "same"], "two sources are called 'same'"),
        (["net.keras", "--precision", "fp32,int4"], "not 'int4'"),
        (["net.keras", "--precision", "int8"], "int8 needs --calibration DIR"),
        (["net.keras", "--mean", "1,x", "--std", "1"], "--mean takes one number, or one a channel"),
        (["net.keras", "--mean", "1"], "mean and std are given together"),
        (["net.keras", "--io", "int16"], "--io is one of int8, uint8, float, not 'int16'"),
        (["net.keras", "--size", "3"], "--size must be from 8 to 4096 pixels"),
        (["net.keras", "--range", "1"], "--range"),
        (["net.keras", "--crop", "1.5"], "--crop must be over 0 and at most 1, not 1.5"),
        (["net.keras"], "net.keras: no such file"),
        (["net.onnx"], "net.onnx: no such file"),
        (["misspelt"], "no architecture 'misspelt', and no such file; did you mean "),
        (["ResNet50V3"], "did you mean ResNet50V2, "),
        (["squeezenet"], "Keras publishes no imagenet weights of it"),
        (["my net.keras"], "my net.keras: no such file"),
        (["net.keras", "--precision", "int8", "--calibration", "random", "--calibration-size", "0"], "from 1 to 10000"),
    ],
)
def test_wrong_usage_is_one_line_at_once(arguments: list[str], said: str, cli: Cli, tmp_path: Path) -> None:
    done = cli("convert", *arguments, "--out", tmp_path / "out")
    assert done.stderr.startswith("ondevice: error: ")
    assert said in done.stderr
    assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (2, "", 1)
    assert not (tmp_path / "out").exists()


def test_what_is_wrong_with_all_is_told_once_and_what_with_one_of_them_first(cli: Cli, tmp_path: Path) -> None:
    calibration = ["--precision", "int8", "--calibration", tmp_path / "nowhere"]
    done = cli("convert", "misspelt", "other", *calibration, "--out", tmp_path / "out")
    assert done.stderr == f"ondevice: error: --calibration {tmp_path / 'nowhere'}: no such folder\n"
    done = cli("convert", "misspelt", "squeezenet", "--out", tmp_path / "out")
    assert [line.split("; ")[0].removeprefix("ondevice: error: ") for line in done.stderr.splitlines()] == [
        "no architecture 'misspelt', and no such file",
        "squeezenet: Keras publishes no imagenet weights of it",
    ]
    assert (done.returncode, done.stdout) == (2, "")


def test_the_architectures_are_listed(cli: Cli) -> None:
    done = cli("convert", "--list", "--format", "json")
    by_name = {row["name"]: row for row in json.loads(done.stdout)}
    assert list(by_name) == catalogue.names()
    assert by_name["resnet_v2_50"] == {
        "name": "resnet_v2_50", "Keras's name": "ResNet50V2", "side": 224, "parameters_millions": 25.6, "classes": 1000,
        "published weights": "imagenet",
    }  # fmt: skip
    assert by_name["squeezenet"]["published weights"] == by_name["squeezenet"]["Keras's name"] == ""
    assert "any name takes another side behind it" in done.stderr
    (row,) = [line for line in cli("convert", "--list").stdout.splitlines() if line.startswith("efficientnet_b0 ")]
    assert row.split() == ["efficientnet_b0", "EfficientNetB0", "224", "5.3", "M", "1000", "imagenet"]


def test_a_folder_of_weights_that_lacks_them(cli: Cli, tmp_path: Path) -> None:
    done = cli("convert", "mobilenet_v1_0.25_128", "--weights", tmp_path)
    said = f"--weights {tmp_path}: it has no mobilenet_v1_0.25_128.weights.h5"
    assert (done.returncode, done.stderr) == (2, f"ondevice: error: {said}\n")


def test_without_the_extra_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extras, "_installed", lambda distribution: distribution != "tensorflow")
    with pytest.raises(MissingError, match=r"^converting needs more packages: run `pip install 'tensorflow>="):
        convert(sources=["mobilenet_v1_0.25_128"])


def test_how_pictures_are_given_to_the_network_is_taken_as_it_is_said() -> None:
    job = JobFlags(mean="123.7,116.3,103.5", std="58.4", bgr=True).job("net.keras", 0, False)
    assert (job.mean, job.std, job.bgr) == ((123.7, 116.3, 103.5), (58.4,), True)
    assert job.normalization == (job.mean, job.std)
