"""What can be sent to the models that are served, and the choice by what that leaves of their accuracies."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from given_backend import Given, arrival, model, selector

from ondevice.cloud.select.accuracies import Accuracies
from ondevice.cloud.select.uploads import OfferedUploads
from ondevice.protocol.metadata import TensorMetadata
from ondevice.protocol.rung import Compression, Rung
from ondevice.protocol.served import ServedModel
from ondevice.protocol.upload_shares import UploadShares
from ondevice.selection.ladder import UploadLadder, ladder, usual_kept
from ondevice.selection.replies import ReplyDistribution

pytestmark = pytest.mark.usefixtures("clock")

SMALL, LARGE = Rung(128, 40), Rung(224, 75)
MEASURED = UploadShares(("128,40", "224,75"), (2500.0, 9500.0), (0.3, 0.9))


def sided(name: str, *shape: int, top1: float | None = 0.5, **more: Any) -> ServedModel:
    return replace(model(name, top1), input=TensorMetadata("in", "INT8", shape), crop=0.875, **more)


def of(*models: ServedModel) -> OfferedUploads:
    return OfferedUploads(models)


def test_the_usual_ladder_of_the_models_sides() -> None:
    small, large = sided("small", 1, 128, 128, 3), sided("large", 1, 3, 224, 224)
    told = of(small, large).published(["small", "large"])
    assert told == ladder({"small": 128, "large": 224}, {}, {}, 0.875).as_dict()
    assert (told["crop"], told["measured"]) == (0.875, [])
    assert UploadLadder.from_dict(told).names == ("small", "large")


def test_what_was_measured_of_a_model_is_in_the_ladder_and_named() -> None:
    made = of(sided("small", 1, 128, 128, 3), sided("large", 1, 224, 224, 3, uploads=MEASURED))
    told = made.published(["large", "small"])
    assert told
    assert (told["rungs"], told["bytes"], told["measured"]) == (["128,40", "224,75"], [2500, 9500], ["large"])
    assert told["kept"]["large"] == [0.3, 0.9]
    assert made.kept(SMALL) == {"small": usual_kept(SMALL, 128), "large": 0.3}
    # What is not in the ladder, whoever asks, is as usual.
    other = Rung(160, 40, Compression.WEBP)
    assert made.kept(other) == {"small": usual_kept(other, 128), "large": usual_kept(other, 224)}


def test_what_was_measured_of_pictures_larger_than_the_model_counts_beside_a_model_that_takes_them() -> None:
    small = sided("small", 1, 128, 128, 3, uploads=replace(MEASURED, kept=(0.7, 0.96)))
    told = of(small, sided("large", 1, 224, 224, 3, uploads=MEASURED)).published(["small", "large"])
    assert told
    assert told["kept"] == {"small": [0.7, 0.96], "large": [0.3, 0.9]}


def test_bytes_that_several_have_measured_are_their_mean() -> None:
    again = replace(MEASURED, bytes=(3500.0, 9700.0))
    told = of(sided("a", 1, 224, 224, 3, uploads=MEASURED), sided("b", 1, 224, 224, 3, uploads=again)).published(["a"])
    assert told
    assert told["bytes"] == [3000, 9600]


def test_of_a_name_that_several_places_have_the_first_tells() -> None:
    made = of(sided("a", 1, 224, 224, 3, uploads=MEASURED), sided("a", 1, 128, 128, 3))
    assert made.kept(SMALL) == {"a": 0.3}


def test_the_largest_crop_is_sent_and_who_looks_at_less_needs_more_pixels() -> None:
    whole = replace(sided("whole", 1, 128, 128, 3), crop=1.0)
    made = of(whole, sided("centre", 1, 224, 224, 3, uploads=MEASURED))
    told = made.published(["whole", "centre"])
    assert told
    # 224 pixels of the middle 0.875 are a side of 256; what was measured of pictures cut to that says nothing here.
    assert (told["crop"], told["measured"]) == (1.0, [])
    other = Rung(200, 75)
    assert made.kept(other) == {"whole": usual_kept(other, 128), "centre": usual_kept(other, 256)}


@pytest.mark.parametrize(
    "shape", [(1, 4, 4, 1), (1, 224, 192, 3), (1, 5000, 5000, 3), (224, 224), (), (1, 3, 224, 192)]
)
def test_without_a_side_nothing_is_published_and_nothing_is_known(shape: tuple[int, ...]) -> None:
    odd = sided("odd", *shape)
    assert of(odd).published(["odd"]) is None
    assert of(odd).kept(SMALL) == {}
    with_others = of(odd, sided("large", 1, 224, 224, 3))
    assert with_others.published(["large", "odd"]) is None
    assert with_others.published(["large"])
    assert with_others.kept(SMALL).keys() == {"large"}
    assert Accuracies([odd], with_others).on(SMALL).tolist() == [0.5]


def test_of_no_models_nothing_is_published() -> None:
    assert of().published([]) is of(sided("a", 1, 224, 224, 3)).published([]) is None


@pytest.mark.parametrize("shape", [(1, 48, 48), (48, 48, 3), (3, 48, 48), (1, 48, 48, 1)])
def test_a_side_is_told_by_grey_pictures_and_those_without_batches_too(shape: tuple[int, ...]) -> None:
    assert of(sided("a", *shape)).kept(Rung(48, 40)) == {"a": usual_kept(Rung(48, 40), 48)}


def test_measurements_that_cannot_be_meant_count_for_nothing() -> None:
    huge = UploadShares(("4096,40",), (1e6,), (0.1,))
    made = of(replace(sided("a", 1, 224, 224, 3, uploads=huge), crop=1e-9), sided("b", 1, 96, 96, 3))
    told = made.published(["a", "b"])
    assert told
    assert UploadLadder.from_dict(told).measured == ()


def test_the_accuracies_are_those_on_what_was_sent() -> None:
    large, small, unrated = (
        sided("large", 1, 224, 224, 3, top1=0.8, uploads=MEASURED),
        sided("small", 1, 128, 128, 3, top1=0.6),
        sided("unrated", 1, 96, 96, 3, top1=None),
    )
    known = Accuracies([large, small, unrated], of(large, small))
    kept = usual_kept(SMALL, 128)
    assert known.on(None).tolist() == [0.8, 0.6, 0.0]
    assert known.on(SMALL) == pytest.approx([0.24, 0.6 * kept, 0.0])
    assert known.expected(large, None) == 0.8
    assert known.expected(large, SMALL) == 0.24
    assert known.expected(small, SMALL) == round(0.6 * kept, 4)
    assert known.expected(unrated, SMALL) is None


def test_a_small_upload_gets_a_model_that_makes_more_of_it() -> None:
    """The better model of whole pictures takes longer, and sees less in a small one."""
    better = sided("better", 1, 224, 224, 3, top1=0.8, uploads=MEASURED)
    of_small = UploadShares(("128,40", "224,75"), (2500.0, 9500.0), (0.9, 1.0))
    smaller = sided("smaller", 1, 128, 128, 3, top1=0.6, uploads=replace(of_small, kept=(0.9, 0.95)))
    choosing = selector(Given(models=[better, smaller]))
    for upload, name, top1 in ((None, "better", 0.8), (LARGE, "better", 0.72), (SMALL, "smaller", 0.54)):
        made = choosing.choose(arrival(sla_ms=200, upload=upload))
        assert (made.served.name, made.top1) == (name, pytest.approx(top1))
        assert made.problem.expected_top1(made.served) == pytest.approx(top1)
        named = choosing.admit_named(better, made.backend, arrival(sla_ms=200, upload=upload))
        assert named.top1 == pytest.approx(0.8 * {None: 1.0, LARGE: 0.9, SMALL: 0.3}[upload])


def test_accuracies_stay_when_times_change() -> None:
    better = sided("better", 1, 224, 224, 3, top1=0.8, uploads=MEASURED)
    backend = Given(models=[better])
    candidates = selector(backend).available.candidates([backend])
    before = candidates.models(SMALL)
    assert candidates.models(SMALL) is before
    assert candidates.models() is not before
    backend.times.table.write(0, backend.times.learned[0].invoke.distribution)
    after = candidates.models(SMALL)
    assert after is not before
    assert np.array_equal(after.top1, before.top1)


def test_several_answers_are_chosen_by_what_was_sent_too() -> None:
    """On a small picture the slower model is the worse one, and has nothing to add."""
    slow = sided("large", 1, 224, 224, 3, top1=0.9, uploads=MEASURED)
    fast = sided("middle", 1, 128, 128, 3, top1=0.7, uploads=replace(MEASURED, kept=(0.9, 0.95)))
    choosing = selector(Given(models=[fast, slow]))
    asked = {"sla_ms": 149.0, "anytime": 2, "reply": ReplyDistribution(np.linspace(0, 200, 21), 0.0, 1.0)}
    for upload, names in ((None, ["middle", "large"]), (LARGE, ["middle", "large"]), (SMALL, ["middle"])):
        assert [one.served.name for one in choosing.choose_several(arrival(**asked, upload=upload))] == names
