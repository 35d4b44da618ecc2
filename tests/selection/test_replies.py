"""What is learned of replies: against the definition, calibrated, soon right after a change, and safe with few."""

from __future__ import annotations

import math

import numpy as np
import pytest

from ondevice.errors import UsageError
from ondevice.selection.replies import _SIZE, HALF_LIFE, Replies, ReplyDistribution
from ondevice.timing.arrays import FloatArray
from ondevice.timing.quantiles import MIDDLES, POINTS

MIDDLE = POINTS // 2


def drawn(n: int, slope: float = 0.0, middle_ms: float = 50.0, seed: int = 0) -> tuple[FloatArray, FloatArray]:
    """Uploads and replies: lognormal, log reply = slope log upload + noise, the same spread for all slopes."""
    upload, noise = np.random.default_rng(seed).normal(0, 0.5, (2, n))
    reply = slope * upload + math.sqrt(1 - slope**2) * noise
    return middle_ms * np.exp(upload), middle_ms * np.exp(reply)


def learned(*pairs: tuple[FloatArray, FloatArray]) -> Replies:
    replies = Replies()
    for uploads, times in pairs:
        for upload_ms, reply_ms in zip(uploads.tolist(), times.tolist(), strict=True):
            replies.add(upload_ms, reply_ms)
    return replies


def below(replies: Replies, uploads: FloatArray, times: FloatArray) -> FloatArray:
    """The share of replies that are at most each point, [POINTS]."""
    return (times[:, None] <= replies.points_ms(uploads)).mean(axis=0)


def test_at_first_a_reply_takes_as_long_as_its_upload_give_or_take() -> None:
    replies = Replies()
    assert replies.count == 0
    for upload_ms in (5.0, 500.0):
        points_ms = replies.points_ms(upload_ms)
        assert points_ms.shape == (POINTS,)
        assert points_ms[MIDDLE] == pytest.approx(upload_ms)
        assert points_ms[2] < upload_ms / 2 < 2 * upload_ms < points_ms[-3]


def test_one_request_moves_the_middle_and_leaves_a_spread() -> None:
    replies = Replies()
    replies.add(50, 20)
    points_ms = replies.points_ms(50)
    assert points_ms[MIDDLE] == pytest.approx(20)
    assert points_ms[1] < 15
    assert points_ms[-2] > 27
    # Half of a change in the upload shows in the reply.
    assert replies.points_ms(200)[MIDDLE] == pytest.approx(40)


def test_a_few_are_no_certainty_and_many_are() -> None:
    spreads = [math.log(points[-1] / points[0]) for points in (same(n).points_ms(50) for n in (1, 4, 16, 90))]
    assert spreads == sorted(spreads, reverse=True)
    assert same(90).points_ms(50)[1:-1] == pytest.approx(np.full(POINTS - 2, 20), rel=0.01)


def same(n: int) -> Replies:
    return learned((np.full(n, 50.0), np.full(n, 20.0)))


@pytest.mark.parametrize("n", [2, 7, _SIZE, _SIZE + 30])
def test_the_line_by_definition(n: int) -> None:
    uploads, times = drawn(n, 0.6)
    x, y = np.log(uploads[-_SIZE:]), np.log(times[-_SIZE:])
    weights = 0.5 ** (np.arange(len(x))[::-1] / HALF_LIFE)
    x = x - np.average(x, weights=weights)
    # Least squares with one more equation, slope = 1/2, whose weight is 1/2.
    rows = np.c_[np.r_[np.sqrt(weights), 0], np.r_[np.sqrt(weights) * x, math.sqrt(0.5)]]
    a, slope = np.linalg.lstsq(rows, np.r_[np.sqrt(weights) * y, math.sqrt(0.5) / 2])[0]
    replies = learned((uploads, times))
    assert replies.count == n
    assert replies.distribution.slope == pytest.approx(slope)
    left = np.r_[y - slope * x, a + 0.7 * np.array([-1.281552, -0.524401, 0, 0.524401, 1.281552])]
    weights, order = np.r_[weights, np.full(5, 0.2)], left.argsort()
    at = np.cumsum(weights[order]) - weights[order] / 2
    points = np.interp(MIDDLES * weights.sum(), at, left[order])
    assert replies.distribution.points_ms == pytest.approx(np.exp(points), rel=1e-5)
    assert math.log(replies.distribution.upload_ms) == pytest.approx(np.log(uploads[-_SIZE:]).mean(), abs=0.2)


@pytest.mark.parametrize("slope", [0.0, 0.8])
def test_points_are_equally_likely_for_slow_uploads_and_for_fast_ones(slope: float) -> None:
    shares = {"slow": np.zeros(POINTS), "fast": np.zeros(POINTS)}
    for seed in range(30):
        replies, (uploads, times) = learned(drawn(200, slope, seed=seed)), drawn(500, slope, seed=seed + 1000)
        for which, chosen in (("slow", uploads > 60), ("fast", uploads < 40)):
            shares[which] += below(replies, uploads[chosen], times[chosen]) / 30
    assert shares["slow"] == pytest.approx(MIDDLES, abs=0.08)
    assert shares["fast"] == pytest.approx(MIDDLES, abs=0.08)


def test_uploads_that_foretell_nothing_are_not_believed() -> None:
    slopes = {
        slope: np.mean([learned(drawn(200, slope, seed=s)).distribution.slope for s in range(20)]) for slope in (0, 0.8)
    }
    assert slopes[0] < 0.12
    assert slopes[0.8] == pytest.approx(0.8, abs=0.05)


@pytest.mark.parametrize("power", [-2.0, 3.0])
def test_the_slope_stays_within_0_and_1(power: float) -> None:
    uploads, _ = drawn(100)
    assert learned((uploads, 50 * (uploads / 50) ** power)).distribution.slope == (0 if power < 0 else 1)


@pytest.mark.parametrize("factor", [2.0, 0.5])
def test_a_change_of_network_is_learned_within_a_hundred_requests(factor: float) -> None:
    before = drawn(500)
    for count, tolerance in ((40, 0.35), (100, 0.15)):
        middles = [
            learned(before, drawn(count, middle_ms=50 * factor, seed=seed)).points_ms(50 * factor)[MIDDLE]
            for seed in range(1, 11)
        ]
        assert np.log(np.mean(middles) / (50 * factor)) == pytest.approx(0, abs=tolerance)


def test_what_is_older_than_the_window_is_gone() -> None:
    recent, other = drawn(_SIZE, seed=1), drawn(300, middle_ms=4000, seed=2)
    assert (learned(other, recent).points_ms(30) == learned(recent).points_ms(30)).all()


def test_forgetting_is_starting_anew() -> None:
    replies = learned(drawn(50))
    replies.forget()
    assert replies.count == 0
    assert (replies.points_ms(30) == Replies().points_ms(30)).all()
    replies.add(50, 20)
    assert (replies.points_ms(30) == same(1).points_ms(30)).all()


def test_the_distribution_is_all_that_another_needs() -> None:
    replies = learned(drawn(100, 0.5))
    points_ms, slope, upload_ms = replies.distribution
    told = ReplyDistribution(np.round(points_ms, 1), round(slope, 2), round(upload_ms, 1))
    assert told.given(80.0) == pytest.approx(replies.points_ms(80), rel=0.02)
    assert told.given(told.upload_ms) == pytest.approx(told.points_ms)


def test_many_uploads_at_once() -> None:
    replies, uploads = learned(drawn(100, 0.5)), np.array([[10.0, 50], [90, 400]])
    points_ms = replies.points_ms(uploads)
    assert points_ms.shape == (2, 2, POINTS)
    assert points_ms[1, 0] == pytest.approx(replies.points_ms(90))


@pytest.mark.parametrize("extreme", [0.0, 1e-300, 1e5, 1e300])
def test_absurd_times_give_times_that_never_fall(extreme: float) -> None:
    replies = learned(drawn(20))
    for upload_ms, reply_ms in ((extreme, 5.0), (5.0, extreme), (extreme, extreme)):
        replies.add(upload_ms, reply_ms)
        points_ms = replies.points_ms(np.array([extreme, 5.0]))
        assert np.isfinite(points_ms).all()
        assert (points_ms > 0).all()
        assert (np.diff(points_ms) >= 0).all()


@pytest.mark.parametrize("wrong", [math.nan, -1.0, math.inf])
def test_what_is_no_time_is_refused_and_changes_nothing(wrong: float) -> None:
    replies = learned(drawn(20))
    before = replies.points_ms(50)
    for pair in ((wrong, 5.0), (5.0, wrong)):
        with pytest.raises(UsageError, match="is not a time in ms"):
            replies.add(*pair)
    assert replies.count == 20
    assert (replies.points_ms(50) == before).all()


# Told to another


def test_a_distribution_survives_being_told() -> None:
    replies = Replies()
    for upload_ms, reply_ms in ((20.0, 30.0), (40.0, 45.0), (10.0, 22.0)):
        replies.add(upload_ms, reply_ms)
    told = ReplyDistribution.parse(replies.distribution.text)
    assert len(replies.distribution.text) < 250
    assert told.given(33.0) == pytest.approx(replies.distribution.given(33.0), rel=2e-3)


@pytest.mark.parametrize(
    "text",
    [
        "", "1", "0.5,10", "words", "0.5,10," + ",".join(["5"] * 20), "0.5,10," + ",".join(["5"] * 22),
        "2,10," + ",".join(["5"] * 21), "-1,10," + ",".join(["5"] * 21), "0.5,0," + ",".join(["5"] * 21),
        "0.5,10," + ",".join(["nan"] * 21), "0.5,nan," + ",".join(["5"] * 21), "0.5,10," + ",".join(["-5"] * 21),
        "0.5,10," + ",".join(["1e99"] * 21), "0.5,10," + ",".join(map(str, range(21, 0, -1))), "5," * 10_000,
    ],
)  # fmt: skip
def test_what_is_not_a_distribution(text: str) -> None:
    with pytest.raises(UsageError, match="a slope from 0 to 1"):
        ReplyDistribution.parse(text)
