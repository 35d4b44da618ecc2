"""`ondevice devices` and `--device` as a user meets them: real processes, exit status, one-line errors."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ondevice.devices import calibration
from ondevice.devices.card import devices, find
from ondevice.models import zoo

Cli = Callable[..., "subprocess.CompletedProcess[str]"]
PHONE = "pieslicer-phone"
# As `ondevice`, but however busy the machine that runs the tests is, and in two passes.
CALIBRATE = (
    "from ondevice.devices import calibration, timing\ncalibration.MAX_OTHERS, timing.PASSES = 1e9, 2\n"
    "from ondevice.cli import main\nmain()"
)


def one_line_error(stderr: str) -> str:
    lines = [line for line in stderr.splitlines() if line.strip()]
    assert "Traceback" not in stderr
    assert len(lines) == 1, stderr
    assert lines[0].startswith("ondevice: error: ")
    return lines[0]


def strictly(text: str) -> Any:
    """JSON as its standard has it: without NaN, which Python alone reads."""

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    return json.loads(text, parse_constant=refuse)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The bundled fp32 models under names that were published of the phone."""
    names = ("mobilenet_v1_0.25_128", "mobilenet_v1_0.5_128", "mobilenet_v1_0.75_128", "mobilenet_v1_1.0_224")
    for name, bundled in zip(names, ("xs", "s", "m", "l"), strict=True):
        (tmp_path / f"{name}_fp32.tflite").write_bytes(zoo.find(f"digits_{bundled}_fp32").path.read_bytes())
    return tmp_path


def test_list_names_all_and_which_can_be_emulated(cli: Cli) -> None:
    done = cli("devices", "list", "--format", "json")
    rows = {row["name"]: row for row in strictly(done.stdout)}
    assert (done.returncode, done.stderr) == (0, "")
    assert list(rows) == [device.name for device in devices()]
    assert (rows["pixel-3"]["published"], rows["pixel-3"]["emulated"]) == (63, "float, quant")
    assert rows["pixel-3"]["error"] == "5% 7%"
    assert (rows["nexus-5"]["published"], rows["nexus-5"]["emulated"], rows["nexus-5"]["error"]) == (1, "no", "")


def test_list_as_a_table(cli: Cli) -> None:
    head, rule, *rows = cli("devices", "list").stdout.splitlines()
    assert head.split() == ["name", "soc", "year", "threads", "published", "emulated", "error"]
    assert set(rule) == {"-", " "}
    assert [row.split()[0] for row in rows] == [device.name for device in devices()]


def test_show_has_the_facts_and_every_latency(cli: Cli) -> None:
    done = cli("devices", "show", "pixel-3")
    facts, latencies = done.stdout.split("\n\n")
    assert (done.returncode, done.stderr) == (0, "")
    assert find("pixel-3").soc in facts
    assert find("pixel-3").source in facts
    for kind, fit in find("pixel-3").fits.items():
        (described,) = [line for line in facts.splitlines() if line.startswith(f"{kind} fit")]
        assert f"± {fit.error:.1%} (worst {fit.worst:.0%}) on {len(fit.points)} models" in described
    assert "calibrated here" not in facts
    assert len(latencies.splitlines()) == 2 + 63


def test_show_as_csv_is_the_latencies(cli: Cli) -> None:
    rows = list(csv.DictReader(io.StringIO(cli("devices", "show", "pixel-3", "--format", "csv").stdout)))
    assert len(rows) == 63
    assert {"model": rows[0]["model"], "kind": rows[0]["kind"], "infer_ms": rows[0]["infer_ms"]} == {
        "model": "mobilenet_v1_0.25_128",
        "kind": "quant",
        "infer_ms": "0.8",
    }


def test_show_as_csv_has_threads_percentiles_and_whether_it_is_another_graph(cli: Cli) -> None:
    rows = list(csv.DictReader(io.StringIO(cli("devices", "show", "pixel-3", "--format", "csv").stdout)))
    assert Counter(row["threads"] for row in rows) == {"4": 54, "1": 9}
    networks = {row["model"]: row["network"] for row in rows}
    assert (networks["densenet"], networks["resnet_v2_101"]) == ("(another)", "resnet_v2_101_299")
    assert networks["inception_v3"] == ""
    rows = list(csv.DictReader(io.StringIO(cli("devices", "show", "khadas-vim4", "--format", "csv").stdout)))
    assert [rows[0][name] for name in ("infer_ms", "p50_ms", "p90_ms", "p99_ms")] == [
        "4.201",
        "3.985",
        "4.203",
        "9.281",
    ]


def test_show_leaves_empty_columns_out_of_a_table(cli: Cli) -> None:
    head = cli("devices", "show", "khadas-vim4").stdout.split("\n\n")[1].splitlines()[0]
    assert head.split() == ["model", "kind", "threads", "infer_ms", "p50_ms", "p90_ms", "p99_ms"]


@pytest.mark.parametrize("name", ["pixel-3", PHONE, "nexus-5"])
def test_show_as_json_is_the_whole_card(cli: Cli, name: str) -> None:
    done = cli("devices", "show", name, "--format", "json")
    record = strictly(done.stdout)
    assert record["soc"] == find(name).soc
    assert len(record["latencies"]) == len(find(name).latencies)
    assert {kind: len(fit["points"]) for kind, fit in record["fits"].items()} == {
        kind: len(fit.points) for kind, fit in find(name).fits.items()
    }


def test_show_as_jsonl_is_one_line(cli: Cli) -> None:
    (line,) = cli("devices", "show", "pixel-3", "--format", "jsonl").stdout.splitlines()
    assert strictly(line)["name"] == "pixel-3"


def test_show_says_why_a_device_is_not_emulated(cli: Cli) -> None:
    done = cli("devices", "show", "nexus-5")
    assert find("nexus-5").note in done.stdout
    assert "1240" in done.stdout
    assert "1740" in done.stdout


def test_show_tells_of_a_calibration_of_this_host(cli: Cli) -> None:
    calibration.save("pixel-3", {"float": find("pixel-3").fits["float"]})
    assert "float fit, calibrated here" in cli("devices", "show", "pixel-3").stdout


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["devices", "show", "pixel3"], 2, "no device 'pixel3'; did you mean pixel-3"),
        (["devices", "calibrate", "pixel3"], 2, "did you mean pixel-3"),
        (["devices", "calibrate", "nexus-5"], 2, "nexus-5 is listed, not emulated: one published time"),
        (["devices", "calibrate", "pixel-3"], 2, "too few of the published models are at hand (none; 4 of a kind"),
        (["devices", "calibrate", "pixel-3", "--models", "nowhere"], 2, "nowhere: no such folder"),
        (["devices", "show"], 2, "NAME"),
        (["run", "digits_xs_fp32", "SAMPLE", "--device", "pixel3"], 2, "did you mean pixel-3"),
        (["run", "digits_xs_fp32", "SAMPLE", "--device", "lg-g3"], 2, "lg-g3 is listed, not emulated: "),
        (["run", "digits_xs_fp32", "SAMPLE", "--device", PHONE, "--threads", "2"], 2, "leave --threads out"),
    ],
)
def test_errors_are_one_line_that_says_what_to_do(
    cli: Cli, sample: Path, arguments: list[str], status: int, said: str
) -> None:
    done = cli(*(str(sample) if argument == "SAMPLE" else argument for argument in arguments))
    assert said in one_line_error(done.stderr)
    assert (done.returncode, done.stdout) == (status, "")


def test_run_says_emulated_beside_the_times_and_the_error_in_a_note(cli: Cli, sample: Path) -> None:
    done = cli("run", "digits_xs_fp32", sample, "--device", PHONE, "--top", 2)
    head, _, best, second = done.stdout.splitlines()
    assert done.returncode == 0
    assert "device" in head.split()
    assert f"{PHONE} (emulated ± 7%)" in best
    assert PHONE not in second
    (note,) = done.stderr.splitlines()
    assert note.startswith(f"ondevice: emulated {PHONE}: ")
    assert "± 7% (worst 61%) on 17 published models left out of the fit" in note
    assert note.endswith("decoding is this machine's")


def test_run_has_emulated_and_device_in_its_records(cli: Cli, sample: Path) -> None:
    done = cli("run", "digits_xs_fp32", sample, "--device", PHONE, "--format", "json")
    (record,) = strictly(done.stdout)
    assert (record["emulated"], record["device"], record["threads"]) == (True, PHONE, 1)
    (real,) = strictly(cli("run", "digits_xs_fp32", sample, "--format", "json").stdout)
    assert (real["emulated"], real["device"]) == (False, None)
    assert record["top"] == real["top"]


def test_run_as_csv_says_emulated_in_every_row(cli: Cli, sample: Path) -> None:
    done = cli("run", "digits_xs_fp32", sample, "--device", PHONE, "--format", "csv")
    rows = list(csv.DictReader(io.StringIO(done.stdout)))
    assert [row["device"] for row in rows] == [f"{PHONE} (emulated ± 7%)"] * 5


def test_run_with_a_corrupt_calibration_is_one_line(cli: Cli, sample: Path) -> None:
    path = calibration.save(PHONE, {"float": find(PHONE).fits["float"]})
    path.write_text("{")
    done = cli("run", "digits_xs_fp32", sample, "--device", PHONE)
    said = one_line_error(done.stderr)
    assert f"{path}: corrupt calibration" in said
    assert said.endswith(f"delete it, or run `ondevice devices calibrate {PHONE}` again")
    assert (done.returncode, done.stdout) == (1, "")


def calibrated(folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", CALIBRATE, "devices", "calibrate", PHONE, "--models", str(folder)]
    return subprocess.run([*command, "--format", "json"], capture_output=True, text=True, check=False, env=os.environ)


def test_calibrate_prints_every_model_and_is_used_from_then_on(cli: Cli, folder: Path, sample: Path) -> None:
    done = calibrated(folder)
    rows = {row["model"]: row for row in strictly(done.stdout)}
    assert done.returncode == 0
    assert {row["published_ms"] for row in rows.values()} == {66.3, 83.0, 104.2, 168.1}
    for row in rows.values():
        assert row["off"] == f"{row['predicted_ms'] / row['published_ms'] - 1:+.1%}"
    error, saved = done.stderr.splitlines()
    assert error.startswith("ondevice: float: ")
    assert "on 4 models, each left out of its fit" in error
    assert Path(saved.rpartition(": ")[2]).is_file()
    run = cli("run", "digits_xs_fp32", sample, "--device", PHONE)
    assert "calibrated on this host" in run.stderr


def test_calibrate_names_a_file_that_is_no_model(folder: Path) -> None:
    (folder / "mobilenet_v1_0.5_128_fp32.tflite").write_bytes(b"I am no model")
    done = calibrated(folder)
    said = one_line_error(done.stderr)
    assert "mobilenet_v1_0.5_128_fp32.tflite" in said
    assert said.endswith("move it out of the folder")
    assert (done.returncode, done.stdout) == (2, "")


def test_calibrate_with_an_unwritable_data_folder_is_one_line(folder: Path, home: Path) -> None:
    (home / "data").write_text("I am no folder")
    done = calibrated(folder)
    assert str(home / "data") in one_line_error(done.stderr)
    assert (done.returncode, done.stdout) == (1, "")
