"""Commands that messages tell to type: each is typed, and does what it was to do."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from ondevice.models import zoo

pytestmark = pytest.mark.usefixtures("tried")
Cli = Callable[..., "subprocess.CompletedProcess[str]"]
HOW = ("--labels", "digits", "--range=-1,1")


def hinted(done: subprocess.CompletedProcess[str], **given: object) -> list[str]:
    """The first command of `ondevice` that a message has between back-quotes, with what is given for its words."""
    command = re.search(r"`(ondevice [^`]+)`", done.stderr)
    assert command, done.stderr
    return [str(given.get(word, word)) for word in shlex.split(command[1])][1:]


@pytest.fixture
def model(stranger: Path) -> Path:
    """A model that no card knows, under a name that a shell takes apart."""
    return stranger.rename(stranger.with_name("my $model's.tflite"))


def test_adding_under_a_name_that_cards_have(cli: Cli, model: Path, sample: Path) -> None:
    done = cli("models", "add", model, *HOW)
    (name,) = re.findall(r"such as (--name \S+)$", done.stderr.strip())
    assert cli("models", "add", model, *HOW, *name.split()).returncode == 0
    assert cli("run", name.split()[1], sample).returncode == 0


@pytest.mark.parametrize("spoil", [Path.unlink, lambda path: path.write_bytes(path.read_bytes() + b"x")])
def test_adding_again_what_is_gone_or_changed(
    spoil: Callable[[Path], object], cli: Cli, model: Path, sample: Path
) -> None:
    assert cli("models", "add", model, *HOW, "--name", "mine").returncode == 0
    spoil(zoo.find("mine").path)
    again = hinted(cli("run", "mine", sample), FILE=model)
    assert cli(*again, *HOW).returncode == 0
    assert cli("run", "mine", sample).returncode == 0


def test_keeping_a_range_that_was_guessed(cli: Cli, model: Path, sample: Path) -> None:
    add = hinted(cli("run", model, sample), FILE="digits")
    assert cli(*[word.replace("LOW,HIGH", "-1,1") for word in add]).returncode == 0
    said = cli("run", model, sample).stderr
    assert said == f"ondevice: {model.name} is the file of my_model_s in the zoo, whose card says all of it\n"


def test_giving_a_file_or_a_card_of_ours_a_card_to_write_into(cli: Cli, model: Path) -> None:
    samples = zoo.samples_dir()
    add = hinted(cli("evaluate", model, samples, "--update-card"))
    assert cli(*add, *HOW, "--name", "mine").returncode == 0
    add = hinted(cli("evaluate", "digits_xs_fp32", samples, "--update-card"), NAME="ours")
    assert cli(*add).returncode == 0
    assert cli("evaluate", "ours", samples, "--update-card", "--force").returncode == 0


def test_an_accuracy_for_a_simulation(cli: Cli, model: Path, tmp_path: Path) -> None:
    def simulated(*more: object) -> subprocess.CompletedProcess[str]:
        network = ("--network", "normal:mean=5,std=1", "--sla", 100, "--requests", 10, "--policy", "random")
        return cli("simulate", "--models", tmp_path / "times.json", *network, *more)

    timed = ("--runs", 3, "--save", tmp_path / "times.json")
    assert cli("bench", model, "digits_xs_fp32", *timed).returncode == 0
    done = simulated()
    assert cli(*hinted(done, FILE=model, SHARE=0.7), *HOW).returncode == 0
    assert simulated("--without", "my $model's").returncode == 0
    assert cli("bench", "my_model_s", "digits_xs_fp32", *timed).returncode == 0
    assert simulated().returncode == 0


@pytest.mark.skipif(not shutil.which("unzip"), reason="unzip is not installed")
def test_unpacking_an_archive(cli: Cli, model: Path, sample: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import zipfile

    monkeypatch.chdir(model.parent)
    with zipfile.ZipFile("a b.zip", "w") as archive:
        archive.write(model, "inner/model.tflite")
    done = cli("run", "a b.zip", sample)
    command, given = re.findall(r"`(unzip [^`]+)`, then give (\S+)$", done.stderr.strip())[0]
    subprocess.run(shlex.split(command), check=True, capture_output=True)
    assert cli("run", given, sample).returncode == 0


def test_timing_what_is_not_a_classifier(cli: Cli, model: Path, sample: Path) -> None:
    schema = pytest.importorskip("ai_edge_litert.schema_py_generated")
    import flatbuffers

    other = schema.ModelT.InitFromPackedBuf(model.read_bytes(), 0)
    other.subgraphs[0].outputs = [*other.subgraphs[0].outputs] * 2
    builder = flatbuffers.Builder(1 << 16)
    builder.Finish(other.Pack(builder), b"TFL3")
    model.write_bytes(bytes(builder.Output()))
    timing = hinted(cli("run", model, sample))
    assert json.loads(cli(*timing, "--runs", 3, "--format", "jsonl").stdout)["input"].startswith("random")


def test_a_benchmark_in_json_is_read_again(cli: Cli, tmp_path: Path) -> None:
    done = cli("bench", "digits_xs_fp32", "--runs", 3, "--format", "json")
    (tmp_path / "b.json").write_text(done.stdout, encoding="utf-8")
    assert cli("bench", "--read", tmp_path / "b.json").returncode == 0
    (tmp_path / "b.json").write_text("a table", encoding="utf-8")
    assert "`ondevice bench … --format json`" in cli("bench", "--read", tmp_path / "b.json").stderr
