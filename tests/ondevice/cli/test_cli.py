"""The command line as a user meets it: real processes, exit status, one-line errors."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from huge import black_png
from PIL import Image
from refusals import one_line_error

from ondevice.models import zoo

Cli = Callable[..., "subprocess.CompletedProcess[str]"]
MODEL = "mobilenet_v1_0.25_128_quant"


@pytest.fixture
def batch(data: Path, tmp_path: Path) -> tuple[list[Path], list[Path]]:
    """Good pictures of every awkward kind, and bad ones."""
    photo = data / "imagenet" / "n01440764_tench.JPEG"
    rgb = Image.open(photo).convert("RGB")
    good = {
        name: tmp_path / name
        for name in ("grey.jpg", "palette.png", "cmyk.jpg", "deep.png", "turned.jpg", "moving.gif")
    }
    rgb.convert("L").save(good["grey.jpg"])
    rgb.quantize(64).save(good["palette.png"], transparency=3)
    rgb.convert("CMYK").save(good["cmyk.jpg"])
    Image.fromarray(np.asarray(rgb.convert("L")).astype(np.uint16) * 257).save(good["deep.png"])
    exif = Image.Exif()
    exif[0x0112] = 6
    rgb.transpose(Image.Transpose.ROTATE_90).save(good["turned.jpg"], exif=exif)
    rgb.save(good["moving.gif"], save_all=True, append_images=[rgb.rotate(90)])
    bad = [tmp_path / name for name in ("cut.jpg", "empty.jpg", "text.jpg", "huge.png", "missing.jpg")]
    bad[0].write_bytes(photo.read_bytes()[:20_000])
    bad[1].write_bytes(b"")
    bad[2].write_text("I am no picture")
    bad[3].write_bytes(black_png(30_000))
    return [photo, *good.values()], bad


def test_a_batch_answers_the_good_and_reports_the_bad(
    cli: Cli, data: Path, batch: tuple[list[Path], list[Path]]
) -> None:
    good, bad = batch
    model = data / "tflite" / f"{MODEL}.tflite"
    done = cli("run", model, *bad[:2], *good, *bad[2:], "--format", "jsonl")
    records = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert [r["image"] for r in records] == [str(p) for p in (*bad[:2], *good, *bad[2:])]
    answered = {r["image"]: r["top"][0]["label"] for r in records if "top" in r}
    assert set(answered) == {str(p) for p in good}
    assert [answered[str(p)] for p in good if p.name in ("n01440764_tench.JPEG", "turned.jpg", "cmyk.jpg")] == [
        "tench"
    ] * 3
    errors = [line for line in done.stderr.splitlines() if line.startswith("ondevice: error: ")]
    assert len(errors) == len(bad)
    for path, line in zip(bad, errors, strict=True):
        assert str(path) in line


def test_a_folder_is_walked_and_what_is_no_picture_is_counted(
    cli: Cli, data: Path, sample: Path, tmp_path: Path
) -> None:
    for name in ("a.png", "b.png"):
        (tmp_path / name).write_bytes(sample.read_bytes())
    (tmp_path / "notes.txt").write_text("no picture")
    done = cli("run", "digits_xs_int8", tmp_path, "--format", "csv", "--top", 1)
    rows = list(csv.DictReader(io.StringIO(done.stdout)))
    assert done.returncode == 0
    assert [Path(row["image"]).name for row in rows] == ["a.png", "b.png"]
    assert "skipped 1 files" in done.stderr


def test_a_picture_on_standard_input(cli: Cli, sample: Path) -> None:
    done = cli("run", "digits_l_fp32", "-", "--format", "json", stdin=sample.read_bytes())
    (record,) = json.loads(done.stdout)
    assert done.stderr == ""
    assert record["threads"] == 1
    assert [len(record["top"]), record["model"]] == [5, "digits_l_fp32"]


def test_a_photo_given_to_the_digits_gets_a_warning_and_a_sample_none(cli: Cli, sample: Path, tmp_path: Path) -> None:
    photo = tmp_path / "photo.jpg"
    Image.effect_noise((640, 480), 50).convert("RGB").save(photo)
    assert "handwritten digits only" in cli("run", "digits_xs_fp32", photo).stderr
    assert cli("run", "digits_xs_fp32", sample).stderr == ""


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["run", "mobilenet_v2_1.0_224_qant", "x.jpg"], 1, "did you mean mobilenet_v2_1.0_224_quant"),
        (["run", MODEL, "x.jpg"], 1, f"ondevice models pull {MODEL}"),
        (["run", "nothing.tflite", "x.jpg"], 1, "no such file"),
        (["run", "digits_xs_fp32", "x.jpg", "--threads", "0"], 2, "from 1 to 256, not 0"),
        (["run", "digits_xs_fp32", "x.jpg", "--threads", "-1"], 2, "from 1 to 256, not -1"),
        (["run", "digits_xs_fp32", "x.jpg", "--top", "0"], 2, "top must be 1 or more, not 0"),
        (["run", "digits_xs_fp32", "x.jpg", "--runtime", "onnx"], 2, "litert, tflite-runtime, tensorflow"),
        (["run", "digits_xs_fp32", "x.jpg", "--runtime", "tflite-runtime"], 1, "pip install tflite-runtime"),
        (["run", "digits_xs_fp32", "x.jpg", "--format", "xml"], 2, "xml"),
        (["run", "digits_xs_fp32"], 2, "IMAGE"),
        (["walk"], 2, "walk"),
        (["evaluate", "digits_xs_fp32", "nowhere"], 2, "no such folder"),
        (["models", "pull", "digits_xs_fp32"], 2, "nothing to pull"),
        (["models", "pull", MODEL, "--from", "http://127.0.0.1:9/"], 1, "--from FOLDER"),
        (["models", "remove", "digits_xs_fp32"], 2, "bundled"),
        (["models", "show", "x"], 1, "no model 'x'"),
    ],
)
def test_errors_are_one_line_that_says_what_to_do(cli: Cli, arguments: list[str], status: int, said: str) -> None:
    done = cli(*arguments)
    assert said in one_line_error(done.stderr)
    assert (done.returncode, done.stdout) == (status, "")


def test_debug_shows_the_traceback(cli: Cli) -> None:
    done = cli("--debug", "run", "nothing.tflite", "x.jpg")
    assert done.returncode == 1
    assert "Traceback" in done.stderr


def test_evaluate_agrees_with_the_card(cli: Cli) -> None:
    done = cli("evaluate", "digits_m_fp32", zoo.samples_dir(), "--format", "json", "--threads", 2)
    (record,) = json.loads(done.stdout)
    accuracy = zoo.find("digits_m_fp32").card.accuracy
    assert accuracy is not None
    assert record["n"] == len(list(zoo.samples_dir().glob("*/*.png")))
    # 200 pictures of the 3000: two standard errors are 2 points.
    assert record["top1"] == pytest.approx(accuracy.top1, abs=0.03)
    assert record["top1_low"] < record["top1"] < record["top1_high"]
    assert record["threads"] == 2


@pytest.mark.parametrize(
    ("model", "decode", "right"),
    [
        ("mobilenet_v1_0.25_128_quant", "--scaled-decode", 49),
        ("mobilenet_v1_0.25_128_quant", "--full-decode", 48),
        ("mobilenet_v1_0.5_160_quant", "--scaled-decode", 72),
        ("mobilenet_v1_0.75_192_quant", "--full-decode", 82),
        ("mobilenet_v2_1.0_224_quant", "--scaled-decode", 87),
    ],
)
def test_accuracy_on_photos(cli: Cli, data: Path, photos: Path, model: str, decode: str, right: int) -> None:
    done = cli("evaluate", data / "tflite" / f"{model}.tflite", photos, decode, "--format", "json")
    (record,) = json.loads(done.stdout)
    assert (record["n"], record["failed"]) == (100, 0)
    # Another processor's kernels may decide a picture or two that are nearly even otherwise.
    assert record["top1"] * 100 == pytest.approx(right, abs=2)


def test_run_imports_nothing_heavy(cli: Cli, sample: Path) -> None:
    program = (
        "import sys; sys.argv = ['ondevice', 'run', 'digits_xs_fp32', sys.argv[1]]\n"
        "import atexit; from ondevice.cli import main\n"
        "atexit.register(lambda: print(*sorted(m for m in sys.modules if '.' not in m), file=sys.stderr))\nmain()"
    )
    done = subprocess.run([sys.executable, "-c", program, sample], capture_output=True, text=True, check=True)
    loaded = set(done.stderr.split())
    assert {"numpy", "PIL", "ondevice"} <= loaded
    assert loaded & {"tensorflow", "aiohttp", "matplotlib", "requests", "rich", "sklearn"} == set()


def test_models_list_and_show(cli: Cli) -> None:
    listed = json.loads(cli("models", "list", "--format", "json").stdout)
    assert {row["origin"] for row in listed} == {"bundled", "pulled"}
    shown = cli("models", "show", "mobilenet_v2_1.0_224_quant")
    assert "7aad0c74c5e3c06e5eb3c827e13304fdd68a83da6087d92ee169c24ff9fd4776" in shown.stdout
    assert "not pulled yet" in shown.stdout


def test_a_broken_card_is_told_and_the_other_models_are_listed(cli: Cli, home: Path, sample: Path) -> None:
    folder = home / "data" / "models"
    folder.mkdir(parents=True)
    (folder / "mine.toml").write_text("name = ")
    done = cli("models", "list", "--format", "json")
    assert {row["origin"] for row in json.loads(done.stdout)} == {"bundled", "pulled"}
    assert str(folder / "mine.toml") in one_line_error(done.stderr)
    assert done.returncode == 1
    assert cli("run", "digits_xs_int8", sample).returncode == 0


@pytest.mark.parametrize("arguments", [("models", "list"), ("run", "digits_xs_int8", "x.png"), ("doctor",)])
def test_a_home_of_nobody_is_told(cli: Cli, arguments: tuple[str, ...]) -> None:
    done = cli(*arguments, ONDEVICE_HOME="~nobody-at-all/x")
    assert "ONDEVICE_HOME: ~nobody-at-all/x: the home folder" in one_line_error(done.stderr)
    assert done.returncode == 2


def test_doctor_runs_a_model_and_names_what_is_missing(cli: Cli) -> None:
    done = cli("doctor", "--format", "json")
    found = {row["what"]: row["found"] for row in json.loads(done.stdout)}
    assert done.returncode == 0
    assert "digits_xs" in found["trial"]
    assert found["runtime tflite-runtime"] == "not installed"
    assert "quota" in found["cores"]
