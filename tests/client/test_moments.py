"""What moments say of other sizes, by hand; and what silence makes of them."""

from __future__ import annotations

import numpy as np
import pytest

from ondevice.client.moments import Moments

FIRST_BYTES, FADING = 1_100, 0.5 ** (1 / 3)
RATE = 0.004


def after(*answers: tuple[float, float, float | None, float]) -> Moments:
    """Of these alone: what was guessed before has faded."""
    moments = Moments.guessed(60.0)
    for _ in range(40):
        for answer in answers:
            moments = moments.answered(*answer)
    return moments


def middle_ms(moments: Moments, size_bytes: float) -> float:
    return float(moments.points_ms(np.array([size_bytes]))[0, 10])


def test_what_was_sent_takes_as_long_again_and_less_of_it_its_share_of_what_was_behind_the_first_packet() -> None:
    moments = after((6_100.0, 70.0, 20.0, 3.0))
    for size_bytes, expected in ((6_100, 73.0), (3_600, 63.0), (FIRST_BYTES, 53.0), (0, 53.0)):
        assert middle_ms(moments, size_bytes) == pytest.approx(expected, rel=1e-3)


def test_more_comes_at_the_same_rate() -> None:
    moments = after((6_100.0, 70.0, 20.0, 3.0))
    assert middle_ms(moments, 11_100) == pytest.approx(53 + 40, rel=0.01)


def test_a_moment_that_told_little_of_the_rate_is_taken_to_be_as_usual_there() -> None:
    """Of two moments one told by 5,000 bytes, the other by 10, which came slowly."""
    moments = after((6_100.0, 70.0, 20.0, 0.0), (1_110.0, 51.0, 1.0, 0.0))
    assert moments.points_ms(np.array([6_100.0]))[0, -3] < 50 + 2 * 20


def test_the_median_of_the_fixed_part() -> None:
    assert Moments.guessed(60.0).fixed_ms == 60
    assert after((6_100.0, 70.0, 20.0, 3.0)).fixed_ms == 50


def test_a_moment_weighs_half_as_much_after_three_more() -> None:
    """Three of the new weigh as much as all of the old ones, and a half."""
    moments = after((0.0, 100.0, 0.0, 0.0))
    for _ in range(2):
        moments = moments.answered(0.0, 50.0, 0.0, 0.0)
    assert moments.fixed_ms == 100
    for _ in range(2):
        moments = moments.answered(0.0, 50.0, 0.0, 0.0)
    assert moments.fixed_ms == 50


def test_where_nothing_is_said_of_the_sending_both_parts_may_have_been_long() -> None:
    moments = after((6_100.0, 70.0, 20.0, 0.0))
    longer = moments
    for _ in range(12):
        longer = longer.answered(6_100.0, 100.0, None, 0.0)
    points_ms = longer.points_ms(np.array([0.0, 6_100.0]))
    assert points_ms[1] == pytest.approx(np.full(21, 100), rel=0.3)
    assert points_ms[0, 2] < 60 < 70 < points_ms[0, -2], "without a body it takes 50, or 80"


def test_silence_picks_the_moments_at_which_a_request_of_its_size_takes_longer() -> None:
    """Half of the time 50 ms and 4 µs a byte, half of it 20 ms and 12: 10 kB take 86 or 127 ms, 1 kB 50 or 20."""
    moments = after(
        *((10_000.0, fixed_ms + rate * 8_900, rate * 8_900, 0.0) for fixed_ms, rate in ((50, RATE), (20, 3 * RATE)))
    )
    assert 0.3 < (moments.points_ms(np.array([0.0])) > 40).mean() < 0.7
    of_large, of_small = moments, moments
    for _ in range(4):
        of_large = of_large.silent(10_000.0, 100.0)
        of_small = of_small.silent(0.0, 30.0)
    assert (of_large.points_ms(np.array([0.0])) > 40).mean() < 0.35
    assert (of_small.points_ms(np.array([0.0])) > 40).mean() > 0.65


def test_silence_longer_than_anything_is_of_worse_moments() -> None:
    moments = after((6_100.0, 70.0, 20.0, 0.0)).silent(6_100.0, 500.0)
    points_ms = moments.points_ms(np.array([0.0, 6_100.0]))
    assert points_ms[1, -1] > 500
    assert points_ms[1, 5] < 100, "one of them is not the rule"
    assert points_ms[0, -1] > 400, "it may have been anything but its sending"
