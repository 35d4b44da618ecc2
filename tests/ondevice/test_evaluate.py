"""Accuracy over labelled pictures, and the interval around it."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from ondevice.answer import Outcome
from ondevice.dataset.labelled import Labelled, labelled
from ondevice.errors import UsageError
from ondevice.evaluate import check_better, evaluate, measured, wilson
from ondevice.models import zoo
from ondevice.models.card import Accuracy
from ondevice.runner import Runner

MODEL = "tflite/mobilenet_v2_1.0_224_quant.tflite"


@pytest.mark.parametrize(
    ("right", "n", "low", "high"),
    [
        (8, 10, 0.4902, 0.9433),
        (1, 2, 0.0945, 0.9055),
        (0, 10, 0.0, 0.2775),
        (10, 10, 0.7225, 1.0),
        (1, 1, 0.2065, 1.0),
        (450, 500, 0.8706, 0.9233),
    ],
)
def test_wilson(right: int, n: int, low: float, high: float) -> None:
    assert wilson(right, n) == pytest.approx((low, high), abs=5e-5)


@pytest.mark.parametrize("n", [1, 3, 7, 100, 99_999])
def test_wilson_stays_within_bounds(n: int) -> None:
    assert wilson(0, n)[0] == pytest.approx(0, abs=1e-12)
    assert wilson(n, n)[1] == pytest.approx(1, abs=1e-12)
    for right in {0, n // 2, n}:
        low, high = wilson(right, n)
        assert 0 <= low <= right / n + 1e-12
        assert right / n - 1e-12 <= high <= 1


def test_wilson_of_nothing() -> None:
    assert all(map(math.isnan, wilson(0, 0)))


def test_accuracy_on_photos(data: Path) -> None:
    runner = Runner(data / MODEL)
    everything = labelled(data / "imagenet", runner.labels)
    some = Labelled(everything.paths[:100], everything.truth[:100], everything.skipped)
    told: list[Outcome] = []
    result = evaluate(runner, some, told.append)
    assert (result.n, result.failed, result.skipped, result.left_out) == (100, 0, 0, 0)
    assert [outcome.image for outcome in told] == list(some.paths)
    right = sum(outcome.get().index == truth for outcome, truth in zip(told, some.truth, strict=True))
    assert result.top1 == right / 100 > 0.8
    among = sum(truth in {p.index for p in outcome.get().top} for outcome, truth in zip(told, some.truth, strict=True))
    assert result.top5 == among / 100 > result.top1
    assert (result.top1_low, result.top1_high) == wilson(right, 100)
    assert sum(result.confusion.counts.values()) == 100
    assert sum(n for (truth, answered), n in result.confusion.counts.items() if truth == answered) == right
    assert result.total_p50_ms >= max(result.decode_p50_ms, result.invoke_p50_ms) > 0
    assert (result.model, result.threads) == ("mobilenet_v2_1.0_224_quant", 1)


def test_pictures_left_out_are_counted_and_written_into_the_card() -> None:
    runner = Runner("digits_xs_int8")
    result = evaluate(runner, labelled(zoo.samples_dir(), runner.labels).limited(30), lambda outcome: None)
    assert (result.n, result.left_out) == (30, 170)
    assert result.record()["left_out"] == 170
    assert "confusion" not in result.record()
    accuracy = measured(result, zoo.samples_dir())
    assert accuracy.data.startswith("30 of 200 pictures of samples, by `ondevice evaluate` with ")
    assert accuracy.n == 30


@pytest.mark.parametrize(
    ("known", "n"), [(None, 1), (Accuracy(0.7, "30 pictures", n=30), 30), (Accuracy(0.7, "30 pictures", n=30), 31)]
)
def test_a_figure_gives_way_to_one_from_as_many_pictures(known: Accuracy | None, n: int) -> None:
    check_better(known, n)


@pytest.mark.parametrize(
    ("known", "said"),
    [
        (Accuracy(0.7, "photos", n=30), "the card has top1 0.7 (photos), of 30 pictures, more than these 29"),
        (Accuracy(0.7, "its authors"), "the card has top1 0.7 (its authors), which may rest on more than these 29"),
    ],
    ids=["more", "unknown"],
)
def test_a_figure_from_more_pictures_stays(known: Accuracy, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        check_better(known, 29)
    assert str(caught.value) == f"{said}: --force replaces it"


def test_a_bad_picture_counts_as_failed_alone(data: Path, tmp_path: Path) -> None:
    runner = Runner(data / MODEL)
    photo = str(data / "imagenet" / "n01440764_tench.JPEG")
    bad = tmp_path / "bad.jpg"
    bad.write_bytes(b"no picture")
    told: list[Outcome] = []
    result = evaluate(runner, Labelled((photo, str(bad), photo, photo), (0, 0, 0, 5), 3), told.append)
    assert (result.n, result.failed, result.skipped) == (3, 1, 3)
    assert result.top1 == pytest.approx(2 / 3)
    assert [outcome.ok for outcome in told] == [True, False, True, True]


def test_nothing_answered_is_nan_and_not_an_error(data: Path) -> None:
    result = evaluate(Runner(data / MODEL), Labelled(("gone.jpg",), (0,), 0), lambda outcome: None)
    assert (result.n, result.failed) == (0, 1)
    values = result.record()
    assert all(math.isnan(v) for k, v in values.items() if k.startswith("top") or k.endswith("_ms"))
