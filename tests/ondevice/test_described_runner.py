"""Runners of files that nobody described: what they answer, and how little it takes to be told."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tflite import Network, colours

from ondevice import Runner, intake
from ondevice.errors import CardError, ModelError, UsageError
from ondevice.models import zoo
from ondevice.models.overrides import Overrides

pytestmark = pytest.mark.usefixtures("tried")
RED, BLUE = (np.full((40, 60, 3), colour, np.uint8) for colour in ((255, 0, 0), (0, 0, 255)))


def best(runner: Runner, picture: np.ndarray) -> tuple[int, float]:  # type: ignore[type-arg]
    answer = runner.classify(picture)
    return answer.top[0].index, answer.score


@pytest.mark.parametrize("dtype", ["uint8", "int8"])
@pytest.mark.parametrize("quantization", [(1 / 255, 0), None])
def test_whole_numbers_get_all_256_values(dtype: str, quantization: tuple[float, int] | None, tmp_path: Path) -> None:
    if quantization and dtype == "int8":
        quantization = (1 / 255, -128)
    runner = Runner(colours(tmp_path / "net.tflite", dtype=dtype, quantization=quantization))
    grey = np.arange(256, dtype=np.uint8)[None, :, None].repeat(3, 2)
    values = runner.prepare(Image.fromarray(grey.repeat(256, 0)).resize((8, 8)))
    assert len(np.unique(values)) == 8  # as many as the picture has columns, none cut off at an end
    assert best(runner, RED)[0] == 0
    assert best(runner, BLUE)[0] == 2


def test_a_network_that_scales_pixels_itself_is_given_pixels(tmp_path: Path) -> None:
    runner = Runner(colours(tmp_path / "net.tflite", scaling=[("MUL", 1 / 255)]))
    assert runner.input.value_range == (0, 255)
    assert best(runner, RED) == (0, pytest.approx(0.9999, abs=1e-4))


def test_one_that_leaves_its_size_open_is_run_at_the_size_that_is_said(tmp_path: Path) -> None:
    """Of a picture with stripes a pixel wide, one pixel is the mean."""
    path = colours(tmp_path / "free.tflite", (1, -1, -1, 3), scaling=[("MUL", 1 / 255)])
    with pytest.raises(UsageError, match="give --size"):
        Runner(path)
    runner = Runner(path, overrides=Overrides(size=(16, 24)))
    assert runner.model.input.shape == (1, 16, 24, 3)
    assert best(runner, RED)[0] == 0
    with pytest.raises(ModelError, match="convert it with a fixed size"):
        Runner(path, device="pixel-3", overrides=Overrides(size=(16, 24)))


def test_a_free_size_is_not_emulated_nor_loaded_at_one_pixel(tmp_path: Path) -> None:
    net = Network()
    given, seen, means = net.tensor((1, -1, -1, 3)), net.tensor((1, -1, -1, 3)), net.tensor((1, 3))
    window, bias = net.constant(np.ones((3, 3, 3, 3))), net.constant(np.zeros(3))
    steps = {"strideH": 1, "strideW": 1, "dilationHFactor": 1, "dilationWFactor": 1, "padding": 1}  # 1 is VALID
    net.operator("CONV_2D", [given, window, bias], [seen], kind="Conv2DOptions", **steps)
    net.operator("MEAN", [seen, net.constant([1, 2], "int32")], [means], kind="ReducerOptions", keepDims=False)
    path = net.write(tmp_path / "convolved.tflite", [given], [means])
    with pytest.raises(ModelError, match="convert it with a fixed size"):
        Runner(path, device="pixel-3", overrides=Overrides(size=(16, 24)))


def test_its_card_keeps_the_size(tmp_path: Path) -> None:
    path = colours(tmp_path / "free.tflite", (1, -1, -1, 3), scaling=[("MUL", 1 / 255)])
    (tmp_path / "labels.txt").write_text("red\ngreen\nblue\n")
    card = intake.add(path, "mine", Overrides(size=(16, 24))).card
    assert (card.input.height, card.input.width) == (16, 24)
    runner = Runner("mine")
    assert runner.model.input.shape == (1, 16, 24, 3)
    assert runner.classify(RED).label == "red"


@pytest.mark.parametrize(("end", "weight"), [("LOGISTIC", 4.0), ("", 4.0)])
def test_one_output_answers_with_two_classes(end: str, weight: float, tmp_path: Path) -> None:
    path = colours(tmp_path / "net.tflite", weights=[[weight, 0, 0]], end=end)
    given = Overrides(value_range=(0, 1))
    (tmp_path / "labels.txt").write_text("other\nred\n")
    red, blue = (Runner(path, overrides=given).classify(picture).top for picture in (RED, BLUE))
    assert [(p.index, p.label) for p in red] == [(1, "red"), (0, "other")]
    p = 1 / (1 + np.exp(-weight))
    assert [s.score for s in red] == [pytest.approx(p, abs=1e-5), pytest.approx(1 - p, abs=1e-5)]
    assert [s.score for s in blue] == [0.5, 0.5]
    assert blue[0].index == 0  # equal scores in the order of their index


def test_its_card_keeps_what_the_output_means(tmp_path: Path) -> None:
    path = colours(tmp_path / "net.tflite", weights=[[4, 0, 0]], end="")
    (tmp_path / "labels.txt").write_text("other\nred\n")
    assert intake.add(path, "mine", Overrides(value_range=(0, 1))).card.output == "logit"
    assert Runner("mine").classify(RED).label == "red"


def test_a_card_that_takes_three_outputs_for_one_is_told(tmp_path: Path) -> None:
    path = colours(tmp_path / "net.tflite")
    (tmp_path / "labels.txt").write_text("red\ngreen\nblue\n")
    card = intake.add(path, "mine", Overrides(value_range=(0, 1))).card
    dataclasses.replace(card, output="probability").write(zoo.find("mine").card_path)
    with pytest.raises(CardError, match=r"has 3 outputs, .* 3 names, and its output is called a probability, which is"):
        Runner("mine")


def test_grey_without_a_channel(tmp_path: Path) -> None:
    path = colours(tmp_path / "net.tflite", (1, 8, 8), weights=[[-9], [9]], bias=[4, -4], scaling=[("MUL", 1 / 255)])
    runner = Runner(path)
    assert runner.prepare(RED).shape == (1, 8, 8)
    white, black = (np.full((9, 9), value, np.uint8) for value in (255, 0))
    assert (best(runner, white)[0], best(runner, black)[0]) == (1, 0)


def test_blue_first(tmp_path: Path) -> None:
    path = colours(tmp_path / "net.tflite", scaling=[("MUL", 1 / 255)])
    runner = Runner(path, overrides=Overrides(bgr=True))
    assert (best(runner, RED)[0], best(runner, BLUE)[0]) == (2, 0)


def test_mean_and_std_a_channel(tmp_path: Path) -> None:
    given = Overrides(mean=(255.0, 0.0, 0.0), std=(1.0, 1.0, 255.0), bgr=True)
    runner = Runner(colours(tmp_path / "net.tflite"), overrides=given)
    assert runner.prepare(RED)[0, 0, 0].tolist() == [-255.0, 0.0, 1.0]


def test_the_crop_is_that_of_whole_pictures(tmp_path: Path) -> None:
    picture = np.zeros((40, 40, 3), np.uint8)
    picture[:2] = 255  # a line at the edge, most of which the crop of ImageNet leaves out
    path = colours(tmp_path / "net.tflite", scaling=[("MUL", 1 / 255)])
    seen = [float(Runner(path, overrides=Overrides(crop=crop)).prepare(picture).mean()) for crop in (None, 1.0, 0.875)]
    assert seen[0] == seen[1] > 1.5 * seen[2]
