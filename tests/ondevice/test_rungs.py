"""Accuracy on what is sent of pictures: each as it is and at every rung, the same pictures everywhere."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tflite import colours

from ondevice import rungs as module
from ondevice.answer import Outcome
from ondevice.dataset.labelled import labelled
from ondevice.errors import UsageError
from ondevice.evaluate import evaluate, wilson
from ondevice.models import zoo
from ondevice.models.overrides import Overrides
from ondevice.protocol.rung import Compression, Rung
from ondevice.rungs import RungAccuracy, evaluate_uploads
from ondevice.runner import Runner
from ondevice.upload import compressed

SMALL, MIDDLE, LARGE = Rung(32, 40), Rung(40, 75, Compression.WEBP), Rung(128, 90)
RED, GREEN, BLUE = 0, 1, 2


@pytest.fixture
def samples() -> list[tuple[str, int]]:
    """Every tenth of the bundled drawings, with its class."""
    found = labelled(zoo.samples_dir(), Runner("digits_xs_int8").labels)
    return [*zip(found.paths, found.truth, strict=True)][::10]


def silent(outcome: Outcome) -> None:
    assert outcome.ok


def test_it_is_what_the_model_says_of_what_is_sent(samples: list[tuple[str, int]]) -> None:
    runner, told = Runner("digits_xs_int8"), []
    result = evaluate_uploads(runner, samples, [LARGE, SMALL, MIDDLE], told.append)
    assert (result.model, result.n, result.failed) == ("digits_xs_int8", 20, 0)
    assert result.runtime == str(runner.model.runtime)
    assert [outcome.image for outcome in told] == [path for path, _ in samples]
    assert {*result.rungs} == {SMALL, MIDDLE, LARGE}
    for row, (path, truth) in enumerate(samples):
        assert result.right[row, 0] == (runner.classify(path).index == truth)
        assert result.size_bytes[row, 0] == Path(path).stat().st_size
        for at, rung in enumerate(result.rungs, 1):
            body = compressed(path, rung, runner.input.crop)
            assert result.size_bytes[row, at] == len(body)
            assert result.right[row, at] == (runner.classify(body).index == truth)
    # Large pictures are as good as the files; at a quarter of the drawing's side nothing is to be recognised.
    top1 = result.right.mean(axis=0)
    assert abs(top1[1 + result.rungs.index(LARGE)] - top1[0]) <= 0.1
    assert top1[1 + result.rungs.index(SMALL)] < top1[0]


def test_the_rungs_are_in_order_of_their_bytes_and_come_once(samples: list[tuple[str, int]]) -> None:
    result = evaluate_uploads(Runner("digits_xs_int8"), samples[:3], [LARGE, SMALL, MIDDLE, SMALL], silent)
    sizes = result.size_bytes[:, 1:].mean(axis=0)
    assert len(result.rungs) == 3
    assert (np.diff(sizes) > 0).all()


def test_a_picture_is_cropped_once(tmp_path: Path) -> None:
    """Green outside the middle 0.6, red in it, and blue in the middle 0.6 of that."""
    picture = np.zeros((200, 200, 3), np.uint8)
    for side, colour in ((200, GREEN), (120, RED), (72, BLUE)):
        edge = (200 - side) // 2
        picture[edge : 200 - edge, edge : 200 - edge] = 0
        picture[edge : 200 - edge, edge : 200 - edge, colour] = 255
    (tmp_path / "names.txt").write_text("red\ngreen\nblue\n")
    said = Overrides(str(tmp_path / "names.txt"), (0.0, 1.0), crop=0.6)
    runner = Runner(colours(tmp_path / "model.tflite"), overrides=said)
    assert [runner.classify(picture).label, runner.prepare(picture, 0.6)[..., GREEN].max() > 0.5] == ["red", True]
    result = evaluate_uploads(runner, [(picture, RED)], [Rung(64, 90)], silent)
    assert result.right.tolist() == [[True, True]]
    assert math.isnan(result.size_bytes[0, 0])
    assert [row["bytes"] is None for row in result.records()] == [True, False]


def test_pictures_are_decoded_once_for_each_side(
    samples: list[tuple[str, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded: list[int] = []
    real: Callable[..., Image.Image] = module.centre

    def counted(source: str, side: int, crop: float) -> Image.Image:
        decoded.append(side)
        return real(source, side, crop)

    monkeypatch.setattr(module, "centre", counted)
    tried = [Rung(side, quality, how) for quality in (40, 75) for side in (64, 32) for how in Compression]
    evaluate_uploads(Runner("digits_xs_int8"), samples[:2], tried, silent)
    assert decoded == [32, 64] * 2


def test_a_picture_that_fails_counts_nowhere(samples: list[tuple[str, int]], tmp_path: Path) -> None:
    (tmp_path / "bad.png").write_bytes(b"no picture")
    told: list[Outcome] = []
    pictures = [samples[0], (str(tmp_path / "bad.png"), 0), (str(tmp_path / "gone.png"), 0), samples[1]]
    result = evaluate_uploads(Runner("digits_xs_int8"), pictures, [SMALL, LARGE], told.append)
    assert (result.n, result.failed, result.right.shape) == (2, 2, (2, 3))
    assert [outcome.ok for outcome in told] == [True, False, False, True]
    assert {row["n"] for row in result.records()} == {2}


def given(right: list[list[bool]]) -> RungAccuracy:
    shape = len(right), 3
    sizes = np.broadcast_to([20_000.0, 900.4, 4000.0], shape)
    made = np.broadcast_to([0.0, 2.0, 3.0], shape)
    return RungAccuracy("mine", "litert", (SMALL, LARGE), np.array(right, bool).reshape(shape), sizes, made, 1)


def test_records() -> None:
    whole, small, large = given(
        [[True, False, True], [True, True, True], [False, False, False], [True, False, True]]
    ).records()
    low, high = wilson(1, 4)
    assert small == {
        "model": "mine", "sent": "32,40", "n": 4, "failed": 1, "bytes": 900, "top1": 0.25, "top1_low": low,
        "top1_high": high, "kept": pytest.approx(1 / 3), "encode_p50_ms": 2.0,
    }  # fmt: skip
    assert (whole["sent"], whole["bytes"], whole["top1"], whole["kept"]) == ("file", 20_000, 0.75, 1.0)
    assert whole["encode_p50_ms"] is None
    assert (large["sent"], large["kept"], large["encode_p50_ms"]) == ("128,90", 1.0, 3.0)


def test_what_a_card_says_of_it() -> None:
    said = given([[True, False, True], [True, True, True], [False, True, False]]).uploads("drawings")
    assert (said.rungs, said.bytes, said.top1) == (("32,40", "128,90"), (900, 4000), (0.6667, 0.6667))
    assert (said.whole, said.n, said.data) == (0.6667, 3, "drawings")
    assert said.kept == {SMALL: 1.0, LARGE: 1.0}


@pytest.mark.parametrize("right", [[], [[False, True, True]]], ids=["no picture", "none right"])
def test_of_what_is_never_right_no_card_says_anything(right: list[list[bool]]) -> None:
    result = given(right)
    with pytest.raises(UsageError, match="mine was right on none of the pictures"):
        result.uploads("drawings")
    assert all(math.isnan(row["kept"]) for row in result.records())


def test_whole_files_are_as_right_as_without_uploads(data: Path) -> None:
    runner = Runner(data / "tflite" / "mobilenet_v1_0.25_128_quant.tflite")
    photos = labelled(data / "imagenet", runner.labels).limited(40)
    pictures = [*zip(photos.paths, photos.truth, strict=True)]
    result = evaluate_uploads(runner, pictures, [Rung(64, 40), Rung(128, 90)], silent)
    assert result.records()[0]["top1"] == evaluate(runner, photos, silent).top1
    # A good picture of the model's side keeps most of what it knows, a small one half of it.
    assert result.right[:, 1].sum() < result.right[:, 2].sum()
    assert (result.made_ms[:, 1:] > 0).all()
