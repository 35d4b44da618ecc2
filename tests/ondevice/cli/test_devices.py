"""`ondevice devices` and `--device` as a user meets them: real processes, exit status, one-line errors."""

from __future__ import annotations

import csv
import io
import json
import subprocess
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import no_classifiers
import pytest
from refusals import one_line_error

from ondevice.devices.card import devices, find
from ondevice.models import zoo

Cli = Callable[..., "subprocess.CompletedProcess[str]"]
PHONE = "pieslicer-phone"
LABEL = f"{PHONE} (emulated)"


def strictly(text: str) -> Any:
    """JSON as its standard has it: without NaN, which Python alone reads."""

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is not JSON")

    return json.loads(text, parse_constant=refuse)


def test_list_names_all_and_which_can_be_emulated(cli: Cli) -> None:
    done = cli("devices", "list", "--format", "json")
    rows = {row["name"]: row for row in strictly(done.stdout)}
    assert (done.returncode, done.stderr) == (0, "")
    assert list(rows) == [device.name for device in devices()]
    assert (rows["pixel-3"]["published"], rows["pixel-3"]["emulated"]) == (
        len(find("pixel-3").latencies),
        "float, quant",
    )
    fits = [find("pixel-3").fit(kind, 4) for kind in ("float", "quant")]
    said = " ".join(f"{fit.architecture.mean:.0%}" for fit in fits if fit and fit.architecture)
    assert rows["pixel-3"]["new architecture"] == said
    listed = rows["nexus-5"]
    assert (listed["published"], listed["emulated"], listed["within a family"]) == (1, "no", "")


def test_list_as_a_table(cli: Cli) -> None:
    head, rule, *rows = cli("devices", "list").stdout.splitlines()
    assert head.split() == [
        "name",
        "soc",
        "year",
        "threads",
        "published",
        "emulated",
        "within",
        "a",
        "family",
        "new",
        "architecture",
    ]
    assert set(rule) == {"-", " "}
    assert [row.split()[0] for row in rows] == [device.name for device in devices()]


def test_show_has_the_facts_and_every_latency(cli: Cli) -> None:
    done = cli("devices", "show", "pixel-3")
    facts, latencies = done.stdout.split("\n\n")
    assert (done.returncode, done.stderr) == (0, "")
    assert find("pixel-3").soc in facts
    assert find("pixel-3").source in facts
    for fit in find("pixel-3").fits:
        (described,) = [line for line in facts.splitlines() if line.startswith(f"{fit.kind}, {fit.threads} thread")]
        assert f"{fit.model.per_gmac_ms:.3g} for 10^9 multiply-adds" in described
        assert fit.architecture is not None
        assert f"new architecture ± {fit.architecture.mean:.1%} (worst {fit.architecture.worst:.0%})" in described
    assert len(latencies.splitlines()) == 2 + len(find("pixel-3").latencies)


def test_show_as_csv_is_the_latencies(cli: Cli) -> None:
    rows = list(csv.DictReader(io.StringIO(cli("devices", "show", "pixel-3", "--format", "csv").stdout)))
    assert len(rows) == len(find("pixel-3").latencies)
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
    assert [fit["model"] for fit in record["fits"]] == [
        pytest.approx(list(fit.model), abs=1e-5) for fit in find(name).fits
    ]


def test_show_as_jsonl_is_one_line(cli: Cli) -> None:
    (line,) = cli("devices", "show", "pixel-3", "--format", "jsonl").stdout.splitlines()
    assert strictly(line)["name"] == "pixel-3"


def test_show_says_why_a_device_is_not_emulated(cli: Cli) -> None:
    done = cli("devices", "show", "nexus-5")
    assert find("nexus-5").note in done.stdout
    assert "1240" in done.stdout
    assert "1740" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["devices", "show", "pixel3"], 2, "no device 'pixel3'; did you mean pixel-3"),
        (["devices", "calibrate", "pixel-3"], 2, "so there is nothing to calibrate: leave this step out"),
        (["devices", "calibrate", "pixel-3", "--models", "nowhere"], 2, "`ondevice devices predict NAME MODEL` says"),
        (["devices", "predict", "pixel3", "digits_xs_fp32"], 2, "did you mean pixel-3"),
        (["devices", "predict", "nexus-5", "digits_xs_fp32"], 2, "nexus-5 is listed, not emulated: one published"),
        (["devices", "predict", "pixel-3", "digits_xs_fp32", "--threads", "3"], 2, "give --threads 1 or 4"),
        (["devices", "predict", "pixel-3", "SAMPLE"], 1, "ondevice: error: "),
        (["devices", "show"], 2, "NAME"),
        (["run", "digits_xs_fp32", "SAMPLE", "--device", "pixel3"], 2, "did you mean pixel-3"),
        (["run", "digits_xs_fp32", "SAMPLE", "--device", "lg-g3"], 2, "lg-g3 is listed, not emulated: "),
        (
            ["run", "digits_xs_fp32", "SAMPLE", "--device", PHONE, "--threads", "2"],
            2,
            "give --threads 1, or leave it out",
        ),
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
    assert LABEL in best
    assert PHONE not in second
    (note,) = done.stderr.splitlines()
    assert note.startswith(f"ondevice: emulated {PHONE}: ")
    assert "new architecture: how far off is not known" in note
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
    assert [row["device"] for row in rows] == [LABEL] * 5


def test_predict_says_what_every_model_takes_and_on_what_that_rests(cli: Cli) -> None:
    done = cli("devices", "predict", PHONE, "digits_xs_fp32", "digits_m_int8", "--format", "json")
    rows = strictly(done.stdout)
    assert (done.returncode, done.stderr) == (0, "")
    assert [(row["model"], row["device"], row["threads"]) for row in rows] == [
        ("digits_xs_fp32", PHONE, 1),
        ("digits_m_int8", PHONE, 1),
    ]
    for row in rows:
        assert row["p10_ms"] < row["p50_ms"] < row["p90_ms"]
        assert row["basis"].startswith("new architecture: how far off is not known, for too few others are published")
    run = cli("bench", "digits_xs_fp32", "--device", PHONE, "--runs", 1, "--format", "json")
    (record,) = strictly(run.stdout)
    assert record["emulation"]["predicted_ms"] == rows[0]["mean_ms"]


def test_models_are_called_by_their_whole_names_and_files_of_one_name_by_their_folders(
    cli: Cli, tmp_path: Path
) -> None:
    for folder, name in (("a", "digits_xs_fp32"), ("b", "digits_m_int8"), ("b", "digits_l_int8")):
        path = tmp_path / folder / ("net_1.0_8.tflite" if name != "digits_l_int8" else "own_1.0.tflite")
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(zoo.find(name).path.read_bytes())
    paths = [tmp_path / "a" / "net_1.0_8.tflite", *sorted((tmp_path / "b").iterdir())]
    done = cli("devices", "predict", PHONE, *paths, "--format", "json")
    rows = strictly(done.stdout)
    assert [row["model"] for row in rows] == ["a/net_1.0_8", "b/net_1.0_8", "own_1.0"]
    assert rows[0]["mean_ms"] != rows[1]["mean_ms"]


def test_what_is_not_a_classifier_is_predicted_too_where_its_layers_are_known(cli: Cli, tmp_path: Path) -> None:
    paths = no_classifiers.audio(tmp_path / "audio.tflite"), no_classifiers.lstm(tmp_path / "lstm.tflite")
    done = cli("devices", "predict", "pixel-3", *paths, "--format", "json")
    assert [row["model"] for row in strictly(done.stdout)] == ["audio"]
    assert "no published model tells what UNIDIRECTIONAL_SEQUENCE_LSTM takes on pixel-3" in one_line_error(done.stderr)


def test_one_model_that_cannot_be_read_costs_itself_alone(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "net.tflite").write_bytes(b"no model")
    done = cli("devices", "predict", PHONE, tmp_path / "net.tflite", "digits_xs_fp32", "--format", "json")
    assert done.returncode == 1
    assert [row["model"] for row in strictly(done.stdout)] == ["digits_xs_fp32"]
    assert "net.tflite" in one_line_error(done.stderr)


def test_a_published_network_is_run_as_published(cli: Cli, data: Path, sample: Path) -> None:
    model = data / "tflite" / "mobilenet_v1_0.25_128_quant.tflite"
    done = cli("run", model, sample, "--device", PHONE)
    assert f"{PHONE} (emulated, published)" in done.stdout
    assert f"emulated {PHONE}: 87.5 ms an inference, published for this network (TensorFlow Mobile" in done.stderr
