"""The ladder of uploads: in order, rising, what is measured before what is usual, and there and back as JSON."""

from __future__ import annotations

import json

import numpy as np
import pytest

from ondevice.errors import UsageError
from ondevice.protocol.rung import Compression, Rung
from ondevice.selection.ladder import UploadLadder, ladder, rising, rungs_for, usual_bytes, usual_kept

SIDES = {"small": 128, "large": 224}
SMALL, MIDDLE, LARGE = Rung(128, 40), Rung(192, 40), Rung(224, 75)


def test_without_measurements_it_is_the_usual_one() -> None:
    made = ladder(SIDES, {}, {}, 0.875)
    assert made.measured == ()
    assert set(made.rungs) <= set(rungs_for(224))
    for number, rung in enumerate(made.rungs):
        assert made.size_bytes[number] == usual_bytes(rung)
    # The larger model needs the larger picture: at the smallest upload it keeps less of its accuracy.
    assert made.kept[0, 1] < made.kept[0, 0]


def test_it_grows_in_bytes_and_never_falls_in_accuracy() -> None:
    made = ladder(SIDES, {}, {}, 0.875)
    assert (np.diff(made.size_bytes) > 0).all()
    for how in Compression:
        of = [row for row, rung in enumerate(made.rungs) if rung.compression is how]
        assert (np.diff(made.kept[of], axis=0) >= 0).all()
        # Each has some of its own, from small to large: there are clients without WebP.
        assert len(of) > 5
        assert made.kept[of[-1], 1] - made.kept[of[0], 1] > 0.3
    assert ((made.kept > 0) & (made.kept <= 1)).all()


def test_what_was_measured_counts_and_the_rest_is_usual() -> None:
    measured = {"large": {SMALL: 0.6, MIDDLE: 0.9, LARGE: 0.95}}
    made = ladder(SIDES, measured, {SMALL: 2000.0, MIDDLE: 4000.0, LARGE: 9000.0}, 0.875)
    assert made.measured == ("large",)
    assert made.rungs == (SMALL, MIDDLE, LARGE)
    assert made.kept[:, 1].tolist() == [0.6, 0.9, 0.95]
    assert made.kept[0, 0] == pytest.approx(usual_kept(SMALL, 128))


def test_what_was_measured_of_a_small_model_alone_is_not_all_that_is_offered_to_a_larger_one() -> None:
    made = ladder(SIDES, {"small": {SMALL: 0.77}}, {}, 0.875)
    assert made.measured == ("small",)
    assert made.kept[made.rungs.index(SMALL), 0] == pytest.approx(0.77, abs=0.1)  # beside what is usual, rising
    assert max(rung.side for rung in made.rungs) == SIDES["large"]
    assert made.kept[-1, 1] > 0.95


def test_webp_is_offered_where_it_is_better_than_smaller_jpegs_and_jpeg_for_who_has_no_webp() -> None:
    poor, good = Rung(128, 40, Compression.WEBP), Rung(128, 60, Compression.WEBP)
    measured = {"large": {SMALL: 0.6, MIDDLE: 0.9, poor: 0.6, good: 0.95}}
    made = ladder({"large": 224}, measured, {SMALL: 2000.0, poor: 2100.0, good: 3000.0, MIDDLE: 4000.0}, 1.0)
    assert made.rungs == (SMALL, good, MIDDLE)
    assert made.kept[:, 0].tolist() == [0.6, 0.95, 0.9]


@pytest.mark.parametrize("better", [-0.2, 0.0, 0.1])
def test_at_others_rungs_a_model_is_as_far_from_the_usual_as_at_its_own(better: float) -> None:
    own = usual_kept(MIDDLE, 224) + better
    measured = {"large": {MIDDLE: own}, "small": {SMALL: 0.5, MIDDLE: 0.8, LARGE: 0.9}}
    made = ladder(SIDES, measured, {}, 0.875)
    kept = dict(zip(made.rungs, made.kept[:, 1].tolist(), strict=True))
    for rung in (SMALL, LARGE):
        assert np.sign(round(kept[rung] - usual_kept(rung, 224), 6)) == np.sign(better)
    assert kept[MIDDLE] == pytest.approx(own)
    assert kept[SMALL] < own < kept[LARGE] <= 1


def test_a_picture_far_smaller_than_any_measured_keeps_next_to_nothing() -> None:
    measured = {"large": {Rung(64, 40): 0.7, Rung(128, 90): 1.0}, "small": {Rung(24, 40): 0.2, Rung(128, 90): 1.0}}
    made = ladder({"small": 40, "large": 128}, measured, {}, 1.0)
    assert made.rungs[0] == Rung(24, 40)
    assert made.kept[0, 1] < 0.4


def test_noise_in_what_was_measured_is_evened_out() -> None:
    measured = {"large": {SMALL: 0.7, MIDDLE: 0.6, LARGE: 1.02}}
    sizes = {SMALL: 2000.0, MIDDLE: 4000.0, LARGE: 9000.0}
    made = ladder({"large": 224}, measured, sizes, 1.0)
    # The second costs more and is not better: it is not offered. More than all of the accuracy is noise.
    assert made.rungs == (SMALL, LARGE)
    assert made.kept[:, 0].tolist() == [0.7, 1.0]
    # Another model is better then: it is offered, and neither takes the first for better than it.
    both = ladder(SIDES, {**measured, "small": {SMALL: 0.7, MIDDLE: 0.8, LARGE: 0.9}}, sizes, 1.0)
    assert both.rungs == (SMALL, MIDDLE, LARGE)
    assert both.kept.T.tolist() == [pytest.approx([0.7, 0.8, 0.9]), pytest.approx([0.65, 0.65, 1.0])]


def test_no_rung_is_larger_than_the_largest_model() -> None:
    measured = {"small": {Rung(160, 75): 1.0, SMALL: 0.9}}
    assert ladder({"small": 128}, measured, {}, 1.0).rungs == (SMALL,)


def test_what_is_usual() -> None:
    webp, jpeg = Rung(192, 40, Compression.WEBP), Rung(192, 40)
    # WebP takes fewer bytes and loses no more; small models lose more at the same share of their side.
    assert usual_bytes(webp) < 0.9 * usual_bytes(jpeg)
    assert usual_kept(webp, 224) > usual_kept(jpeg, 224)
    assert usual_kept(Rung(96, 40), 96) < usual_kept(Rung(224, 40), 224)
    assert usual_kept(Rung(16, 40), 224) < 0.1
    for rung in (webp, jpeg):
        shares = [usual_kept(rung._replace(side=side), 224) for side in range(8, 600, 8)]
        qualities = [usual_kept(rung._replace(quality=quality), 224) for quality in range(1, 96)]
        assert shares == sorted(shares)
        assert qualities == sorted(qualities)


@pytest.mark.parametrize(
    ("values", "expected"),
    [([1, 2, 3], [1, 2, 3]), ([3, 2, 1], [2, 2, 2]), ([1, 3, 2, 4], [1, 2.5, 2.5, 4]), ([], [])],
)
def test_rising(values: list[float], expected: list[float]) -> None:
    assert rising(values) == expected


def test_rising_is_the_nearest_of_all_rising_ones() -> None:
    values = np.random.default_rng(3).normal(0, 1, 12) + np.linspace(0, 1, 12)
    found = np.array(rising(values.tolist()))
    assert (np.diff(found) >= 0).all()
    for seed in range(200):
        other = np.sort(found + np.random.default_rng(seed).normal(0, 0.2, 12))
        assert ((values - other) ** 2).sum() >= ((values - found) ** 2).sum()


def test_there_and_back_as_json() -> None:
    made = ladder(SIDES, {"large": {SMALL: 0.6, MIDDLE: 0.9}}, {}, 0.875)
    back = UploadLadder.from_dict(json.loads(json.dumps(made.as_dict())))
    assert (back.names, back.rungs, back.crop, back.measured) == (made.names, made.rungs, made.crop, made.measured)
    assert np.allclose(back.kept, made.kept, atol=1e-4)
    assert np.allclose(back.size_bytes, made.size_bytes, atol=0.5)


def test_models_in_another_order() -> None:
    made = ladder(SIDES, {"large": {SMALL: 0.6, MIDDLE: 0.9}}, {}, 0.875)
    turned = made.of(["large", "small"])
    assert turned.names == ("large", "small")
    assert (turned.kept == made.kept[:, ::-1]).all()
    assert made.of(["small"]).measured == ()
    with pytest.raises(UsageError, match="says nothing of huge"):
        made.of(["huge"])


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("rungs", []), ("rungs", ["x"]), ("bytes", [1.0]), ("bytes", [5, 4]), ("crop", 0), ("crop", 1.5),
        ("kept", {"large": [0.5]}), ("kept", {"large": [0.5, 1.5]}), ("kept", {"large": [0.5, float("nan")]}),
        ("kept", {}), ("kept", {"a": [0.1, 0.2], "b": [0.1]}),
    ],
)  # fmt: skip
def test_what_cannot_be_meant_is_told(field: str, value: object) -> None:
    told = ladder({"large": 224}, {"large": {SMALL: 0.6, MIDDLE: 0.9}}, {}, 0.875).as_dict()
    with pytest.raises((ValueError, UsageError)):
        UploadLadder.from_dict({**told, field: value})


@pytest.mark.parametrize("rung", [SMALL, Rung(224, 60, Compression.WEBP)])
def test_a_rung_is_read_as_it_is_written(rung: Rung) -> None:
    assert Rung.parse(rung.text) == rung
    assert rung.compression.media_type in ("image/jpeg", "image/webp")


@pytest.mark.parametrize(
    "text", ["", "192", "192,", "a,b", "192,0", "192,96", "7,40", "4097,40", "192,40,gif", "192,40,"]
)
def test_what_is_no_rung_is_told(text: str) -> None:
    with pytest.raises(UsageError, match="is not an upload: give SIDE,QUALITY"):
        Rung.parse(text)
