"""What is learned of the times of another server's models, on a given clock."""

from __future__ import annotations

import pytest
from clock import Clock
from upstream_models import model

from ondevice.cloud.backends.backend import InferenceResult
from ondevice.cloud.backends.upstream.round_trips import AGAIN, RoundTrips
from ondevice.models.card import Input
from ondevice.protocol.picture import PictureHead

PHOTO = PictureHead.guessed(100_000)


def answer(ms: float, decode_ms: float = 0.0, queue_ms: float = 0.0) -> InferenceResult:
    return InferenceResult("m", [], queue_ms=queue_ms, decode_ms=decode_ms, infer_ms=ms)


def test_each_model_has_its_row() -> None:
    clock = Clock()
    models = [model("a", 0, 10.0), model("b", 1, 30.0)]
    times = RoundTrips(models, clock)
    assert times.table.mean_ms.tolist() == pytest.approx([10.0, 30.0])
    version = times.table.version
    for _ in range(48):
        times.answered(models[1], PHOTO, answer(50.0), 50.0)
    assert times.table.mean_ms.tolist() == pytest.approx([10.0, 50.0])
    assert times.table.version == version + 48


def test_what_the_parts_do_not_explain_is_this_servers_own() -> None:
    known = model("m")
    times = RoundTrips([known], Clock())
    for _ in range(200):
        times.answered(known, None, answer(10.0, 1.0, queue_ms=100.0), 114.0)
    assert times.way_ms == pytest.approx(3.0, rel=0.01)
    assert times.work_ms(None).tolist() == [0.0], "nobody is kept by that"


def test_decoding_is_learned_for_a_model_that_takes_only_tensors() -> None:
    pictures, tensors = model("a", 0), model("b", 1, feed=Input(8, 8))
    times = RoundTrips([pictures, tensors], Clock())
    for known in (pictures, tensors):
        for _ in range(48):
            times.answered(known, PHOTO, answer(10.0, 40.0), 50.5)
    assert times.work_ms(PHOTO).tolist() == pytest.approx([0.0, 40.0])


def test_a_model_is_stale_when_it_has_not_run_for_ten_seconds() -> None:
    clock = Clock()
    known = model("m")
    times = RoundTrips([known], clock)
    times.answered(known, None, answer(10.0), 10.0)
    clock.pass_ms(9_900)
    assert times.take_stale() is None
    clock.pass_ms(200)
    assert times.take_stale() is known
    assert times.take_stale() is None


def test_no_model_takes_more_than_a_hundredth_of_the_time_to_be_timed_again() -> None:
    clock = Clock(0.0)
    times = RoundTrips([model("m", ms=2_000.0)], clock)
    clock.pass_ms(100 * AGAIN * 2_000.0 - 1_000)
    assert times.take_stale() is None
    clock.pass_ms(2_000)
    assert times.take_stale()


def test_one_that_cannot_be_asked_is_not_timed() -> None:
    known = model("m")
    known.health.on = False
    assert RoundTrips([known], Clock()).take_stale() is None


def test_an_old_bad_figure_is_mended_by_a_new_measurement() -> None:
    known = model("m", ms=500.0)
    times = RoundTrips([known], Clock())
    times.renew(known, [5.0] * AGAIN)
    assert times.table.mean_ms[0] < 200
    times.renew(known, [5.0] * AGAIN)
    assert times.table.mean_ms[0] == pytest.approx(5.0)
