"""Models that nobody described, served: they answer as they do when they are run, and are told of at the start."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("httptools", reason="needs the extra: pip install 'ondevice-cnn[serve]'")

from serving import Endpoint
from tflite import colours

from ondevice import Runner, intake
from ondevice.models.overrides import Overrides

NAMES = ("other", "red")
SCALED = [("MUL", 1 / 255)]


def png(colour: tuple[int, int, int]) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (30, 20), colour).save(file, "PNG")
    return file.getvalue()


@pytest.fixture
def models(home: Path, tmp_path: Path) -> list[str]:
    """Of two classes, each another way: one probability, one logit, a size of its own choice, blue first."""
    folder = tmp_path / "models"
    folder.mkdir()
    (folder / "labels.txt").write_text("\n".join(NAMES))
    two = np.array([[0, 3, 3], [6, 0, 0]])
    paths = [
        colours(folder / "probability.tflite", weights=[[4, 0, 0]], scaling=SCALED, end="LOGISTIC"),
        colours(folder / "logit.tflite", weights=[[4, 0, 0]], scaling=SCALED, end=""),
        colours(folder / "stored.tflite", weights=two, dtype="uint8", quantization=(1 / 255, 0)),
    ]
    free = colours(folder / "free.tflite", (1, -1, -1, 3), weights=two, scaling=SCALED)
    blue = colours(folder / "blue.tflite", weights=two[:, ::-1], scaling=SCALED)
    added = [intake.add(free, None, Overrides(size=(9, 12))), intake.add(blue, None, Overrides(bgr=True))]
    return [*map(str, paths), *(entry.card.name for entry in added)]


@pytest.fixture
def endpoint(home: Path, models: list[str]) -> Iterator[Endpoint]:
    with Endpoint(home, "--models", ",".join(models), "--no-log-requests") as running:
        yield running


def test_they_answer_as_they_do_when_they_are_run(endpoint: Endpoint, models: list[str], tmp_path: Path) -> None:
    for model in models:
        runner = Runner(model)
        for colour, index in (((255, 0, 0), 1), ((0, 0, 255), 0)):
            here = runner.classify(png(colour)).top
            reply = endpoint.ask("POST", f"/v2/models/{runner.name}/infer", data=png(colour))
            label, score, number = (output["data"] for output in reply.json()["outputs"])
            assert (label, number) == ([p.label for p in here], [p.index for p in here])
            assert score == pytest.approx([p.score for p in here], abs=1e-6)
            assert number[0] == index or here[0].score == here[1].score
    said = endpoint.stderr
    assert (
        "ondevice: probability.tflite has no card: labels labels.txt (2 classes) (file beside it); size 8 x 8 x 3, "
        "range 0 to 255, output the probability of class 1 of two (network itself); background none, crop 1, "
        "colours RGB (convention)\n"
    ) in said
    assert "free.tflite" not in said
    assert "the card of free" not in said


def test_what_it_says_of_one_output_is_what_the_runtime_gives(endpoint: Endpoint) -> None:
    """The classification extension ranks the model's own output: one value, which is that of class 1."""
    wanted = {"name": "probabilities", "parameters": {"classification": 2}}
    tensor = {"name": "picture", "datatype": "FP32", "shape": [1, 8, 8, 3], "data": [255.0, 0, 0] * 64}
    reply = endpoint.ask("POST", "/v2/models/probability/infer", json={"inputs": [tensor], "outputs": [wanted]})
    (row,) = reply.json()["outputs"][0]["data"]
    assert row.split(":")[1:] == ["0", "red"]
    assert float(row.split(":")[0]) == pytest.approx(1 / (1 + np.exp(-4)), abs=1e-5)
