"""What the card says of another server's model beyond its labels: what one output means, which colour comes first."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from ondevice import remote
from ondevice.models import zoo
from ondevice.models.card import Card, Input
from ondevice.protocol.metadata import ModelMetadata
from ondevice.protocol.response import InferResponse
from ondevice.protocol.served import Work
from ondevice.protocol.tensor import Tensor
from ondevice.remote import RemoteModel, preparation

TENSORS = {
    "x": {"name": "x", "datatype": "FP32", "shape": [1, 8, 8, 3]},
    "y": {"name": "y", "datatype": "FP32", "shape": [1, 1]},
}


def two_classes(meaning: str) -> RemoteModel:
    """A server's network that takes blue first and has one output, by its card in the zoo."""
    folder = zoo.added_dir()
    folder.mkdir(parents=True)
    (folder / "two.labels.txt").write_text("no\nyes\n")
    Card(
        name="two", family="two", architecture="unknown", precision="fp32", input=Input(8, 8, 3, bgr=True),
        labels="two.labels.txt", size_bytes=1, sha256="0" * 64, licence="own", source="own", output=meaning,
    ).write(folder / "two.toml")  # fmt: skip
    metadata = {"name": "two", "inputs": [TENSORS["x"]], "outputs": [TENSORS["y"]]}
    return remote.describe("two", ModelMetadata.parse(metadata), "there")


@pytest.mark.parametrize(("meaning", "p"), [("probability", 0.8), ("logit", 1 / (1 + np.exp(-0.8)))])
def test_one_output_of_a_server_is_of_two_classes(meaning: str, p: float, home: Path) -> None:
    found = two_classes(meaning)
    output = Tensor.of("y", np.array([[0.8]], np.float32))
    top, _ = found.read(InferResponse("two", "1", None, {}, [output]), Work(b"", True, 2, False, 0.0))
    assert [index for index, _ in top] == [1, 0]
    assert [score for _, score in top] == pytest.approx([p, 1 - p])


def test_a_worker_is_told_that_blue_comes_first(home: Path) -> None:
    prepared = json.loads(json.dumps(preparation(two_classes("logit"))))
    red = np.full((8, 8, 3), (255, 0, 0), np.uint8)
    assert remote.preprocessor(prepared).prepare(red)[0, 0, 0].tolist() == [-1.0, -1.0, 1.0]
