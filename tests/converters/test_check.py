"""Whether a file is still the same network: the measures, by hand, and what they must reach."""

from __future__ import annotations

import math

import numpy as np
import pytest

from ondevice.converters import check, pictures
from ondevice.converters.check import AGREEMENT, SPREAD, Compared
from ondevice.converters.job import PRECISIONS
from ondevice.models import zoo
from ondevice.runner import Runner
from ondevice.runtime import Model


def test_compare_by_hand() -> None:
    source = np.array([[0.9, 0.1], [0.4, 0.6], [0.5, 0.5]], np.float32)
    ours = np.array([[0.7, 0.3], [0.6, 0.4], [0.5, 0.5]], np.float32)
    agreement, mean_error, worst_error = check.compare(ours, source)
    assert agreement == pytest.approx(2 / 3)
    assert mean_error == pytest.approx(0.8 / 6)
    assert worst_error == pytest.approx(0.2)


def test_the_paired_difference_by_hand() -> None:
    # Of 100 pictures both are right on 60, the source alone on 9, the file alone on 3.
    source = np.array([True] * 69 + [False] * 31)
    ours = np.array([True] * 60 + [False] * 9 + [True] * 3 + [False] * 28)
    value, low, high = check.difference(ours, source)
    assert value == pytest.approx(-0.06)
    half = 1.959964 * math.sqrt(12 - 36 / 100) / 100
    assert (low, high) == (pytest.approx(-0.06 - half), pytest.approx(-0.06 + half))


def test_pictures_on_which_both_are_alike_narrow_the_interval() -> None:
    few, many = np.array([True, False]), np.array([True, False] * 1 + [True] * 98)
    few_low, few_high = check.difference(few, ~few)[1:]
    low, high = check.difference(many, np.r_[~many[:2], many[2:]])[1:]
    assert high - low < (few_high - few_low) / 10


@pytest.mark.parametrize("right", [True, False])
def test_no_difference_has_no_interval(right: bool) -> None:
    same = np.full(50, right)
    assert check.difference(same, same) == (0, 0, 0)


@pytest.fixture
def logits() -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    return np.random.default_rng(0).normal(3, 2, (8, 50)).astype(np.float32)


def test_a_shift_of_all_logits_of_a_picture_is_no_error(logits: check.Outputs) -> None:
    shifts = np.linspace(-20, 20, 8, dtype=np.float32)[:, None]
    assert check.error_of_spread(logits + shifts, logits) < 1e-6
    assert check.error_of_spread(logits, logits) == 0


def test_of_one_output_the_spread_is_that_over_the_pictures(logits: check.Outputs) -> None:
    one = logits[:, :1]
    assert check.error_of_spread(one + 3, one) < 1e-6
    assert check.error_of_spread(np.zeros_like(one), one) == pytest.approx(1)


@pytest.mark.parametrize("share", [0.01, 0.3])
def test_the_error_is_relative_to_the_spread(share: float, logits: check.Outputs) -> None:
    error = np.random.default_rng(1).normal(0, share * 2, logits.shape).astype(np.float32)
    of_spread = check.error_of_spread(logits + error, logits)
    assert of_spread == pytest.approx(share, rel=0.15)
    assert check.error_of_spread(7 * (logits + error), 7 * logits) == pytest.approx(of_spread, rel=1e-3)


def test_a_file_that_says_the_same_of_everything_is_wholly_off(logits: check.Outputs) -> None:
    assert check.error_of_spread(np.zeros_like(logits), logits) == pytest.approx(1)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_every_precision_has_limits(precision: str) -> None:
    limit = AGREEMENT[precision]
    assert check.failure(precision, Compared(limit, 9.0, 9.0), None) == ""
    said = check.failure(precision, Compared(limit - 0.01, 0.0, 0.0), None)
    assert said == f"it agrees with the source on {limit - 0.01:.1%} of the pictures, under {limit:.0%}"


@pytest.mark.parametrize("precision", PRECISIONS)
def test_with_random_weights_the_logits_decide(precision: str) -> None:
    limit = SPREAD[precision]
    assert check.failure(precision, Compared(0.0, 9.0, 9.0), limit) == ""
    said = check.failure(precision, Compared(1.0, 0.0, 0.0), limit * 2)
    assert said == f"its logits are off by {limit * 2:.2g} of their spread, over {limit:g}"


def test_a_diverged_file_fails() -> None:
    for agreement in (float("nan"), 1.0):  # the first class of all that are not numbers is the same one
        compared = Compared(agreement, float("nan"), float("nan"))
        assert check.failure("int8", compared, None).endswith("are not numbers (NaN or infinite)")
    assert check.failure("int8", Compared(1.0, 0.0, 0.0), float("nan"))


@pytest.mark.parametrize("model", ["digits_m_fp32", "digits_m_int8"])
def test_outputs_are_the_runners_scores(model: str) -> None:
    entry = zoo.find(model)
    paths = [str(path) for path in sorted(zoo.samples_dir().glob("*/*.png"))[::20]]
    images = pictures.load(paths, entry.card.input).images
    ours = check.outputs(Model(entry.path), entry.card.input, images)
    runner = Runner(model)
    for row, path in zip(ours, paths, strict=True):
        answer = runner.classify(path)
        assert (int(row.argmax()), float(row.max())) == (answer.index, pytest.approx(answer.score, abs=1e-6))


@pytest.mark.parametrize(
    ("agreement", "of_spread", "on_noise", "said"),
    [
        (1.0, None, False, "ok"),
        (1.0, None, True, "ok on noise"),
        (1.0, 0.1, True, "ok"),
        (0.0, 0.1, True, "ok by logits"),
    ],
)
def test_a_verdict_says_what_it_rests_on(agreement: float, of_spread: float | None, on_noise: bool, said: str) -> None:
    assert check.verdict("int8", check.Compared(agreement, 0, 0), of_spread, on_noise) == said
