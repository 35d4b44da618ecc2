"""`ondevice convert` as a user meets it: real processes, real files, and nothing left of what went wrong."""

from __future__ import annotations

import contextlib
import csv
import hashlib
import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from ondevice import extras
from ondevice.cli.convert import convert
from ondevice.converters.job import PRECISIONS
from ondevice.errors import MissingError
from ondevice.models import zoo
from ondevice.models.card import Card

pytestmark = [
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
    pytest.mark.skipif(sys.platform != "linux", reason="finds processes in /proc"),
]
Cli = Callable[..., "subprocess.CompletedProcess[str]"]
SAMPLES = str(zoo.samples_dir())
# The small networks see the digits, whose folders are named as the classes are.
HOW = ("--range=-1,1", "--crop", "1", "--labels", "digits", "--calibration", SAMPLES, "--calibration-size", "20")


class Ran(NamedTuple):
    """A finished command, where it wrote, and the home that it had."""

    done: subprocess.CompletedProcess[str]
    out: Path
    home: Path

    def names(self) -> list[str]:
        return sorted(path.name for path in self.out.iterdir()) if self.out.is_dir() else []

    def logs(self) -> list[Path]:
        return list((self.home / "cache" / "logs").glob("*"))

    def errors(self) -> list[str]:
        """The lines on standard error; fails if one of them is no error of ours."""
        lines = self.done.stderr.splitlines()
        assert all(line.startswith("ondevice: error: ") for line in lines), self.done.stderr
        return lines


def command(out: Path, *arguments: object) -> list[str]:
    return [sys.executable, "-m", "ondevice", "convert", *map(str, arguments), "--out", str(out)]


def environment(home: Path, **more: str) -> dict[str, str]:
    """With a home and a folder for temporary files of its own."""
    (home / "tmp").mkdir(parents=True, exist_ok=True)
    return {**os.environ, "ONDEVICE_HOME": str(home), "TMPDIR": str(home / "tmp"), **more}


def ran(folder: Path, *arguments: object, **more: str) -> Ran:
    """Convert in a folder of its own; fails if temporary files are left."""
    out, home = folder / "out", folder / "home"
    done = subprocess.run(
        command(out, *arguments), capture_output=True, text=True, timeout=300, check=False,
        env=environment(home, **more),
    )  # fmt: skip
    assert list((home / "tmp").iterdir()) == []
    assert not list(out.glob(".*")) if out.is_dir() else True
    return Ran(done, out, home)


@pytest.fixture(scope="module")
def networks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two copies of a small network, and others that cannot be converted."""
    pytest.importorskip("tensorflow")
    from ondevice.converters.export import tensorflow

    keras = tensorflow().keras
    keras.utils.set_random_seed(1)
    kinds = keras.layers
    folder = tmp_path_factory.mktemp("networks")
    model = keras.Sequential(
        [
            keras.Input((32, 32, 3)),
            kinds.Conv2D(64, 3, 2, activation="relu"),
            kinds.Conv2D(128, 3, 2, activation="relu"),
            kinds.GlobalAveragePooling2D(),
            # Weights that are large enough to tell classes apart: untrained ones say the same of every picture.
            kinds.Dense(10, activation="softmax", kernel_initializer=keras.initializers.RandomNormal(stddev=3.0)),
        ]
    )
    for name in ("small", "victim"):
        model.save(folder / f"{name}.keras")
    inputs = keras.Input((32, 32, 3))
    x = kinds.Dense(10)(kinds.GlobalAveragePooling2D()(inputs))
    keras.Model(inputs, keras.ops.erfinv(x)).save(folder / "inverse.keras")
    return folder


@pytest.fixture(scope="module")
def small(networks: Path, tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """The small network in all precisions."""
    precisions = ",".join(PRECISIONS)
    return ran(tmp_path_factory.mktemp("small"), networks / "small.keras", "--precision", precisions, *HOW)


def test_a_good_run_prints_the_table_alone(small: Ran) -> None:
    assert (small.done.returncode, small.done.stderr) == (0, "")
    lines = small.done.stdout.splitlines()
    assert lines[0].split()[:2] == ["model", "precision"]
    assert [line.split()[1] for line in lines[2:8]] == ["source", *PRECISIONS]
    assert all(line.endswith(" ok") for line in lines[3:8])
    assert lines[8] == ""
    assert lines[9].startswith("Which to take: int8 on CPUs with int8 dot products")
    assert lines[-1].startswith("Peak memory of a conversion: ")
    assert small.logs() == []


def test_every_file_has_its_card_and_no_other_is_left(small: Ran) -> None:
    wanted = [f"small_{precision}.{suffix}" for precision in PRECISIONS for suffix in ("tflite", "toml")]
    assert small.names() == sorted(wanted)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_the_card_says_how_the_file_came_to_be(precision: str, small: Ran) -> None:
    path = small.out / f"small_{precision}.tflite"
    card = Card.read(path.with_suffix(".toml"))
    assert (card.name, card.precision, card.labels) == (path.stem, precision, "digits")
    assert (card.size_bytes, card.sha256) == (path.stat().st_size, hashlib.sha256(path.read_bytes()).hexdigest())
    assert (card.input.value_range, card.input.crop) == ((-1.0, 1.0), 1.0)
    assert card.conversion is not None
    assert card.conversion.calibration == ("20 pictures of samples, seed 0" if precision == "int8" else "none")
    assert card.conversion.check == "180 pictures of samples not calibrated on"
    assert card.conversion.weights == "the source's own"
    assert "tensorflow 2." in card.conversion.tools
    assert card.conversion.agreement >= 0.75
    assert card.accuracy is not None


def test_fp32_answers_as_the_source_does(small: Ran) -> None:
    conversion = Card.read(small.out / "small_fp32.toml").conversion
    assert conversion is not None
    assert (conversion.agreement, conversion.worst_error < 1e-5) == (1.0, True)


def test_files_shrink(small: Ran) -> None:
    size = {precision: (small.out / f"small_{precision}.tflite").stat().st_size for precision in PRECISIONS}
    assert size["fp16"] / size["fp32"] < 0.55
    assert max(size[p] for p in ("dynamic", "weight_only", "int8")) / size["fp32"] < 0.35


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_a_file_goes_straight_into_run_bench_and_evaluate(precision: str, small: Ran, cli: Cli, sample: Path) -> None:
    path = small.out / f"small_{precision}.tflite"
    (answer,) = json.loads(cli("run", path, sample, "--format", "json").stdout)
    (evaluated,) = json.loads(cli("evaluate", path, SAMPLES, "--format", "json").stdout)
    bench = cli("bench", path, "--runs", 5, "--format", "json")
    assert len(answer["top"]) == 5
    assert {top["label"] for top in answer["top"]} <= set("0123456789")
    assert (evaluated["n"], evaluated["failed"]) == (200, 0)
    assert (bench.returncode, bench.stderr.count("error")) == (0, 0)
    assert json.loads(bench.stdout)


def test_models_add_takes_it_with_its_card(small: Ran, cli: Cli, sample: Path) -> None:
    done = cli("models", "add", small.out / "small_int8.tflite")
    assert (done.returncode, done.stderr) == (0, "")
    card = Card.read(small.out / "small_int8.toml")
    assert zoo.find("small_int8").card == card
    assert cli("run", "small_int8", sample).returncode == 0


def test_what_is_there_is_not_overwritten_unless_forced(small: Ran, networks: Path, cli: Cli) -> None:
    before = (small.out / "small_fp16.tflite").stat().st_mtime_ns
    done = cli("convert", networks / "small.keras", *HOW, "--precision", "fp16", "--out", small.out)
    assert (done.returncode, done.stdout) == (2, "")
    said = f"{small.out / 'small_fp16.tflite'} is there already: give --force to replace it, or another --out"
    assert done.stderr == f"ondevice: error: {said}\n"
    assert (small.out / "small_fp16.tflite").stat().st_mtime_ns == before


def descendants(process: subprocess.Popen[Any]) -> list[int]:
    """The converting processes that it started, by their command lines."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            line = (folder / "cmdline").read_bytes().split(b"\0")
            parent = int((folder / "stat").read_text().rsplit(")", 1)[1].split()[1])
            if b"ondevice.converters.worker" in line and parent == process.pid:
                found.append(int(folder.name))
    return found


def awaited(condition: Callable[[], Any], process: subprocess.Popen[Any]) -> Any:
    """What the condition gives, once it gives something; fails where the process ends before."""
    while not (found := condition()):
        assert process.poll() is None, "it ended before"
        time.sleep(0.01)
    return found


@contextlib.contextmanager
def running(folder: Path, *arguments: object) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        command(folder / "out", *arguments), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env=environment(folder / "home"),
    )  # fmt: skip
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def finished(process: subprocess.Popen[str], folder: Path) -> Ran:
    stdout, stderr = process.communicate(timeout=300)
    done = subprocess.CompletedProcess(process.args, process.returncode, stdout, stderr)
    return Ran(done, folder / "out", folder / "home")


def test_one_that_is_killed_costs_itself_alone_and_the_same_input_gives_the_same_bytes(
    small: Ran, networks: Path, tmp_path: Path
) -> None:
    sources = (networks / "victim.keras", networks / "small.keras")
    with running(tmp_path, *sources, "--precision", "fp32,int8", "--format", "csv", *HOW) as process:
        (victim,) = awaited(lambda: descendants(process), process)
        os.kill(victim, signal.SIGKILL)
        result = finished(process, tmp_path)
    (error,) = result.errors()
    (log,) = result.logs()
    assert error == (f"ondevice: error: victim: the converting process died (SIGKILL): it said nothing; the log: {log}")
    assert result.done.returncode == 1
    rows = list(csv.DictReader(io.StringIO(result.done.stdout)))
    assert [(row["model"], row["precision"]) for row in rows] == [
        ("small", "source"), ("small", "fp32"), ("small", "int8"),
    ]  # fmt: skip
    assert result.names() == [f"small_{p}.{suffix}" for p in ("fp32", "int8") for suffix in ("tflite", "toml")]
    assert list((result.home / "tmp").iterdir()) == []
    for name in ("small_fp32.tflite", "small_int8.tflite"):
        assert (result.out / name).read_bytes() == (small.out / name).read_bytes()


def test_ctrl_c_leaves_pairs_alone(networks: Path, tmp_path: Path) -> None:
    with running(tmp_path, networks / "small.keras", "--precision", ",".join(PRECISIONS), *HOW) as process:
        awaited(lambda: list((tmp_path / "out").glob("*.tflite")), process)
        children = descendants(process)
        process.send_signal(signal.SIGINT)
        result = finished(process, tmp_path)
    assert (result.done.returncode, result.done.stdout) == (130, "")
    assert result.errors() == ["ondevice: error: interrupted"]
    assert len(children) == 1
    assert not Path(f"/proc/{children[0]}").exists()
    names = result.names()
    assert not [name for name in names if name.endswith(".part")]
    assert all(f"{Path(name).stem}.toml" in names for name in names if name.endswith(".tflite"))
    assert list((result.home / "tmp").iterdir()) == []


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


def test_real_weights_stay_as_good(data: Path, networks: Path, tmp_path: Path) -> None:
    name, photos = "mobilenet_v1_0.25_128", data / "imagenet"
    arguments = ("--weights", data / "keras", "--precision", "fp32,int8", "--calibration", photos)
    result = ran(tmp_path, name, *arguments, "--calibration-size", 100, "--format", "json")
    assert result.done.returncode == 0
    source, fp32, int8 = json.loads(result.done.stdout)
    assert (fp32["n"], fp32["agreement"], fp32["top1"]) == (400, 1.0, source["top1"])
    assert int8["top1"] >= fp32["top1"] - 0.025
    assert int8["difference_low"] <= int8["top1_difference"] <= int8["difference_high"]
    assert int8["size_bytes"] / fp32["size_bytes"] <= 0.32
    conversion = Card.read(result.out / f"{name}_int8.toml").conversion
    assert conversion is not None
    assert (conversion.weights, conversion.calibration) == (
        f"{name}.weights.h5", "100 pictures of imagenet, seed 0",
    )  # fmt: skip
