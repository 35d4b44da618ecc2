"""A home folder that 0.1.0 filled works: its models, trials, endpoint profiles and bench records.

What is in it, and how it was made: fixtures/home-0.1.0/README.md.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import pytest
from events import Events

from ondevice import trial
from ondevice.bench import record
from ondevice.cloud.backends.local import store
from ondevice.models import files, zoo
from ondevice.models.card import Accuracy
from ondevice.runtime import Runtime

Cli = Callable[..., subprocess.CompletedProcess[str]]

FILLED = Path(__file__).parent / "fixtures" / "home-0.1.0"
PULLED = "mobilenet_v1_0.25_128_quant"
# The runtime, and the machine, that it was filled with.
RUNTIME = Runtime("litert", "2.3.0", None)
CPU = "AMD EPYC"


@pytest.fixture(autouse=True)
def filled(home: Path) -> Path:
    """A copy of it, as this test's home, with the large file that was left out."""
    shutil.copytree(FILLED, home, dirs_exist_ok=True)
    bundled = zoo.find("digits_xs_fp32").path.read_bytes()
    (home / "data" / "models" / "my_digits.tflite").write_bytes(bundled + bytes(16))
    return home


def again(*_: object) -> NoReturn:
    raise AssertionError("done again, though 0.1.0 had done it")


def test_added_models_answer_under_their_names_and_labels(cli: Cli, sample: Path) -> None:
    for name, labels in (("my_digits", {"seven"}), ("tiny_int8", {"zero", "seven"})):
        done = cli("run", name, sample, "--format", "json", "--top", "1")
        assert done.returncode == 0
        assert re.fullmatch(
            rf"ondevice: the card of {name} is of version 0\.1\.0, [^\n]*`[^\n]*` makes it anew\n", done.stderr
        )
        assert json.loads(done.stdout)[0]["top"][0]["label"] in labels


def test_the_cards_of_added_models_are_read_whole() -> None:
    cards = {entry.card.name: entry.card for entry in zoo.entries() if entry.origin == "added"}
    assert list(cards) == ["tiny_int8", "my_digits"]
    ours, converted = cards["my_digits"], cards["tiny_int8"]
    assert (ours.precision, ours.licence, ours.labels) == ("fp32", "CC0-1.0", "my_digits.labels.txt")
    assert ours.input.value_range == (0.0, 1.0)
    assert (ours.accuracy, ours.conversion) == (None, None)
    assert converted.conversion is not None
    assert converted.conversion.calibration == "20 pictures of digits, seed 0"
    assert (converted.conversion.agreement, converted.conversion.mean_error) == (1.0, 0.00236303)
    assert converted.input.crop == 1.0


def test_an_added_model_can_be_removed_with_all_its_files(cli: Cli, home: Path) -> None:
    assert cli("models", "remove", "my_digits").returncode == 0
    assert {path.name.split(".")[0] for path in (home / "data" / "models").iterdir()} == {"tiny_int8"}


def test_a_pulled_model_is_not_pulled_again(cli: Cli, data: Path, home: Path) -> None:
    file = home / "cache" / "models" / f"{PULLED}.tflite"
    shutil.copy(data / "tflite" / file.name, file)
    entry = zoo.find(PULLED)
    assert (entry.present, entry.path, type(entry.card.accuracy)) == (True, file, Accuracy)
    pulled = cli("models", "pull", PULLED, "--from", "/nowhere")
    assert (pulled.returncode, pulled.stdout) == (0, f"{file} (was there already)\n")
    assert cli("run", PULLED, min((data / "imagenet").glob("*.JPEG"))).returncode == 0


@pytest.mark.parametrize("name", ["my_digits", "tiny_int8"])
def test_a_file_that_passed_its_trial_is_not_tried_again(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial, "_try_in_child", again)
    entry = zoo.find(name)
    assert files.sha256(entry.path) == entry.card.sha256
    trial.ensure(entry.path, entry.card.sha256, RUNTIME)


def test_a_calibration_is_not_needed_any_more(cli: Cli) -> None:
    done = cli("devices", "calibrate", "pixel-3")
    assert (done.returncode, done.stdout) == (2, "")
    assert "nothing to calibrate: leave this step out" in done.stderr


def test_the_endpoint_begins_with_the_times_that_it_had_learned(home: Path) -> None:
    setting = store.Setting(CPU, str(RUNTIME), 1)
    (path,) = (home / "cache" / "profiles").iterdir()
    assert store.default_path(setting) == path
    notes = Events()
    saved = store.Store(path, setting, notes).load()
    assert notes == []
    assert {name: one.profile.n for name, one in saved.items()} == {"digits_xs_int8": 40, "digits_m_int8": 35}
    medium = saved["digits_m_int8"]
    assert (medium.profile.mean_ms, medium.profile.std_ms) == (0.661504, 0.392741)
    assert (medium.load_ms, medium.decode) == (7.7204070000789216, ()), "decoding was learned by bytes"


@pytest.mark.parametrize("name", ["bench.json", "emulated.jsonl", "mlperf.json"])
def test_bench_records_are_read_and_printed_as_they_were(name: str, home: Path, cli: Cli) -> None:
    path = home / "records" / name
    written = path.read_text()
    form = path.suffix.removeprefix(".")
    assert cli("bench", "--read", path, "--format", form).stdout == written
    assert all(read.version == "0.1.0" for read in record.read(path))


def test_old_and_new_measurements_are_compared(cli: Cli, home: Path) -> None:
    old = home / "records" / "bench.json"
    done = cli("bench", "--compare", old, old, "--format", "json")
    assert [row["model"] for row in json.loads(done.stdout)] == ["my_digits", "tiny_int8"]


def test_profiles_that_bench_saved_are_simulated(cli: Cli, home: Path) -> None:
    path = home / "records" / "profiles.json"
    rows = json.loads(path.read_text())
    for row, name in zip(rows, ("digits_xs_int8", "digits_m_int8"), strict=True):
        row["model"] = name  # the added models have no accuracy, and only what has one can be chosen
    path.write_text(json.dumps(rows))
    done = cli("simulate", "--models", path, "--network", "normal:mean=20,std=5", "--sla", "50", "--requests", "1000")
    assert done.returncode == 0, done.stderr


def test_what_the_pages_of_0_1_0_import_is_there() -> None:
    from ondevice import Answer, OffloadClient, OnDeviceError, Outcome, Prediction, Runner
    from ondevice.lab.link import HOST, Links, LinkSpec, State, Way
    from ondevice.selection import anytime, policies, replies

    assert all((Answer, OffloadClient, OnDeviceError, Outcome, Prediction, Runner, HOST, Links, LinkSpec, State, Way))
    assert all(module.__doc__ for module in (anytime, policies, replies))
