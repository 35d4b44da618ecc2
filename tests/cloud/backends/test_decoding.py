"""What decoding is expected to take, from a picture's header alone: learned by format and pixels, and mended."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest

from ondevice.cloud.backends.decoding import DecodeFactor, DecodeTimes, Decoding, agree
from ondevice.protocol.picture import PictureFormat, PictureHead

PHOTO = PictureHead(PictureFormat.JPEG, 500, 375, 110_000)
HUGE = PictureHead(PictureFormat.WEBP, 7000, 7000, 87_000)
SMALL_WEBP = PictureHead(PictureFormat.WEBP, 500, 375, 40_000)
SIZES = ((128, 128), (224, 224))


def learned(head: PictureHead, ms: float, count: int = 40) -> DecodeTimes:
    times = DecodeTimes((224, 224))
    for _ in range(count):
        times.add(head, ms)
    return times


def test_nothing_to_decode_takes_no_time() -> None:
    assert DecodeTimes((224, 224)).expect(None) == 0.0


def test_before_anything_is_learned_more_pixels_take_longer() -> None:
    times = DecodeTimes((224, 224))
    for kind in PictureFormat:
        heads = [PictureHead(kind, side, side, side * side // 2) for side in (32, 256, 1024, 4096, 7000)]
        expected = [times.expect(head) for head in heads]
        assert expected == sorted(expected)
    assert 2 < times.expect(PHOTO) < 10
    assert times.expect(HUGE) > 1000


def test_pixels_that_are_only_claimed_take_no_time() -> None:
    times = DecodeTimes((224, 224))
    for kind in PictureFormat:
        assert times.expect(PictureHead(kind, 7000, 7000, 100)) < 10, "it ends after its header"
        assert times.expect(PictureHead(kind, 60_000, 60_000, 10_000_000)) < 1, "it is refused"


def test_what_is_learned_is_expected() -> None:
    for head in (PHOTO, HUGE, SMALL_WEBP):
        assert learned(head, 123.0).expect(head) == pytest.approx(123.0)


def test_four_huge_pictures_say_nothing_of_others() -> None:
    times = learned(PHOTO, 5.0)
    for _ in range(3):
        times.add(SMALL_WEBP, 9.0)
    for _ in range(4):
        times.add(HUGE, 30_000.0)
    assert times.expect(PHOTO) == pytest.approx(5.0)
    assert times.expect(SMALL_WEBP) == pytest.approx(9.0)
    assert times.expect(HUGE) == pytest.approx(30_000.0)


def test_one_outlier_is_not_believed_and_a_change_is() -> None:
    times = learned(PHOTO, 5.0)
    times.add(PHOTO, 500.0)
    assert times.expect(PHOTO) < 7
    for _ in range(40):
        times.add(PHOTO, 50.0)
    assert 40 < times.expect(PHOTO) < 51


def test_a_size_not_seen_is_taken_from_the_nearest_in_proportion() -> None:
    times = learned(PHOTO, 5.0)
    twice = PHOTO._replace(width=1000, height=750, size_bytes=440_000)
    slower = learned(PHOTO, 10.0)
    assert slower.expect(twice) == pytest.approx(2 * times.expect(twice))
    assert times.expect(HUGE) == DecodeTimes((224, 224)).expect(HUGE), "another format"


def exiled() -> tuple[DecodeTimes, DecodeTimes]:
    """Of two inputs the larger one's figure was learned while the machine stood still."""
    decoding = Decoding()
    small, large = map(decoding.of, SIZES)
    for _ in range(40):
        small.add(PHOTO, 2.0)
        large.add(PHOTO, 5.0)
    for _ in range(40):
        large.add(PHOTO, 200.0)
    return small, large


def test_what_models_of_another_input_decode_mends_a_figure() -> None:
    small, large = exiled()
    assert large.expect(PHOTO) > 100
    for _ in range(100):
        small.add(PHOTO, 2.0)
    assert small.expect(PHOTO) == pytest.approx(2.0, rel=0.02)
    assert large.expect(PHOTO) < 8


def test_inputs_of_other_sizes_do_not_pull_at_each_other_where_they_agree() -> None:
    decoding = Decoding()
    small, large = map(decoding.of, SIZES)
    ratio = large.expect(PHOTO) / small.expect(PHOTO)
    for _ in range(40):
        large.add(PHOTO, 2.0 * ratio * 1.2)
        small.add(PHOTO, 2.0)
    assert small.expect(PHOTO) == pytest.approx(2.0)
    assert large.expect(PHOTO) == pytest.approx(2.0 * ratio * 1.2)


def test_what_was_not_seen_at_one_size_is_known_from_the_other() -> None:
    decoding = Decoding()
    small, large = map(decoding.of, SIZES)
    before_ms = large.expect(SMALL_WEBP)
    three_times_ms = 3 * small.expect(SMALL_WEBP)
    for _ in range(20):
        small.add(SMALL_WEBP, three_times_ms)
    assert large.expect(SMALL_WEBP) == pytest.approx(3 * before_ms)
    large.add(SMALL_WEBP, 7.0)
    assert large.expect(SMALL_WEBP) == pytest.approx(7.0), "what it has seen itself counts more"


def test_the_first_measurement_scales_all_that_is_not_known() -> None:
    times, as_new = DecodeTimes((224, 224)), DecodeTimes((224, 224))
    assert not times.measured(PHOTO, [2 * as_new.expect(PHOTO), 1000.0, 0.0])
    for head in (PHOTO, HUGE, SMALL_WEBP):
        assert times.expect(head) == pytest.approx(2 * as_new.expect(head))


def test_what_was_saved_goes_on() -> None:
    times = learned(PHOTO, 6.0)
    times.add(HUGE, 4000.0)
    again = DecodeTimes((224, 224))
    again.take(times.factors)
    assert [again.expect(head) for head in (PHOTO, HUGE)] == [times.expect(head) for head in (PHOTO, HUGE)]
    assert again.factors == times.factors
    assert all(known.sound for known in times.factors)
    assert not again.measured(PHOTO, [5.0])


def test_what_was_saved_is_dropped_where_a_measurement_contradicts_it() -> None:
    again = DecodeTimes((224, 224))
    again.take([known._replace(factor=known.factor * 1e5) for known in learned(PHOTO, 6.0).factors])
    assert again.measured(PHOTO, [5.0])
    assert again.expect(PHOTO) == pytest.approx(5.0)


@pytest.mark.parametrize(
    "change",
    [
        lambda known: known._replace(format="heic"),
        lambda known: known._replace(doubling=0),
        lambda known: known._replace(doubling=65),
        lambda known: known._replace(factor=0.0),
        lambda known: known._replace(factor=math.nan),
        lambda known: known._replace(factor=math.inf),
        lambda known: known._replace(samples=-1),
    ],
)
def test_what_cannot_have_been_learned(change: Callable[[DecodeFactor], DecodeFactor]) -> None:
    (known,) = learned(PHOTO, 6.0).factors
    assert known.sound
    assert not change(known).sound


@pytest.mark.parametrize("ms", [math.nan, -1.0, math.inf])
def test_only_times_are_learned(ms: float) -> None:
    times = learned(PHOTO, 6.0)
    with pytest.raises(ValueError, match="not a time in ms"):
        times.add(PHOTO, ms)
    assert times.expect(PHOTO) == pytest.approx(6.0)


def test_extremes_stay_finite() -> None:
    for head in (PHOTO, HUGE, PictureHead.read(b""), PictureHead(PictureFormat.PNG, 2**31, 2**31, 1)):
        for ms in (0.0, 1e-300, 1e9):
            times = learned(head, ms, 3)
            assert 0 <= times.expect(head) < math.inf


def test_agreement() -> None:
    assert agree(1.0, 9.9)
    assert agree(9.9, 1.0)
    assert not agree(1.0, 10.1)
    assert not agree(0.0, 1.0)


def test_a_jpeg_is_expected_at_the_scale_that_it_is_decoded_at() -> None:
    """From five pixels of what a model sees, a side, for each of its own."""
    times = DecodeTimes((140, 140))
    whole, scaled = (PictureHead(PictureFormat.JPEG, 1000, side, 100_000) for side in (799, 801))
    assert times.expect(scaled) < 0.6 * times.expect(whole)
    assert times.expect(whole._replace(format=PictureFormat.PNG)) < times.expect(
        scaled._replace(format=PictureFormat.PNG)
    )


def test_of_a_centre_that_was_cut_out_more_is_seen_so_that_it_is_decoded_smaller() -> None:
    times = DecodeTimes((140, 140))
    whole = PictureHead(PictureFormat.JPEG, 799, 799, 100_000)
    assert times.expect(whole._replace(cropped=0.9)) < 0.6 * times.expect(whole)
    assert times.expect(whole._replace(cropped=0.2)) == times.expect(whole._replace(cropped=0.875))
