"""The range of pixels that a network wants, by the numbers that people scale their pictures with."""

from __future__ import annotations

import itertools
import math

import pytest

from ondevice.models.value_range import PIXELS, SYMMETRIC, UNIT, Affine, Range, wanted_range

IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
UNTRAINED = Affine.normalizing(0.0, 1.0)


def times(values: tuple[float, ...], factor: float) -> tuple[float, ...]:
    return tuple(value * factor for value in values)


# What people write, with its (scale, offset), and the pixels that they mean.
RESCALINGS: list[tuple[float, float, Range | None]] = [
    (1 / 255, 0, PIXELS),
    (1 / 256, 0, PIXELS),
    (0.003921568859368563, 0, PIXELS),
    (1 / 127.5, -1, PIXELS),
    (1 / 128, -1, PIXELS),
    (1 / 127, -1, PIXELS),
    (1 / 127.5, 0, PIXELS),
    (1 / 255, -0.5, PIXELS),
    (-1 / 255, 1, PIXELS),  # black on white made white on black
    (1, -127.5, PIXELS),
    (1, -128, PIXELS),
    (255, 0, UNIT),
    (256, 0, UNIT),
    (2, -1, UNIT),
    (1, -0.5, UNIT),
    (-1, 1, UNIT),
    (0.5, 0.5, SYMMETRIC),
    (127.5, 127.5, SYMMETRIC),
    (128, 128, SYMMETRIC),
    (1, 0, None),
    (1, 2, None),
    (2, 0, None),
    (0.5, 0, None),
    (127.5, 0, None),
    (1 / 65535, 0, None),
    (1 / 255, 0.5, None),
    (20, 0, None),
    (0, 0, None),
    (math.nan, 0, None),
    (1, math.inf, None),
]


@pytest.mark.parametrize(("scale", "offset", "wanted"), RESCALINGS)
def test_one_rescaling(scale: float, offset: float, wanted: Range | None) -> None:
    assert wanted_range(Affine.of(scale, offset)) == wanted


@pytest.mark.parametrize(
    ("mean", "std"),
    [
        IMAGENET,
        (IMAGENET[0], times(IMAGENET[1], 2.1)),  # the deviation given as the variance: its root
        (IMAGENET[0], (1.0,)),  # the mean alone
        ((0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)),
        ((0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)),
        ((0.5071, 0.4867, 0.4408), (0.2675, 0.2565, 0.2761)),
        ((0.1307,), (0.3081,)),
        ((0.2860,), (0.3530,)),
        ((0.5,), (0.5,)),
        ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
        ((0.4377, 0.4438, 0.4728), (0.1980, 0.2010, 0.1970)),  # SVHN
        ((0.344, 0.380, 0.408), (0.204, 0.137, 0.115)),  # EuroSAT
        ((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)),  # CLIP
    ],
)
def test_the_mean_and_deviation_of_pictures_say_what_they_were_taken_of(
    mean: tuple[float, ...], std: tuple[float, ...]
) -> None:
    unit = Affine.normalizing(mean, std)
    assert wanted_range(unit) == UNIT
    assert wanted_range(Affine.of(1 / 255).then(unit)) == PIXELS
    if len(std) > 1:
        assert wanted_range(Affine.normalizing(times(mean, 255), times(std, 255))) == PIXELS


@pytest.mark.parametrize(("mean", "std"), list(itertools.product((0.3, 0.4, 0.5, 0.6), (0.2, 0.25, 0.3))))
def test_own_pictures_in_each_range(mean: float, std: float) -> None:
    for low, high in (PIXELS, UNIT, SYMMETRIC):
        own = Affine.normalizing(low + mean * (high - low), std * (high - low))
        assert wanted_range(own) in ((low, high), None)
    if std < 0.3:  # else bright pictures of -1..1 without contrast have them too
        assert wanted_range(Affine.normalizing(mean, std)) == UNIT
    assert wanted_range(Affine.normalizing(mean * 255, std * 255)) == PIXELS


@pytest.mark.parametrize(
    ("mean", "std", "wanted"),
    [
        (-0.1, 0.5, SYMMETRIC),  # a negative mean is none of 0..1
        (0.05, 0.6, SYMMETRIC),  # values of 0..1 cannot vary so much
        (0.0, 0.5, None),
        (0.25, 0.3, None),  # dark pictures of 0..1, or bright ones of -1..1 without contrast
        (123.68, 1.0, PIXELS),  # Caffe's
        (127.5, 127.5, PIXELS),
        (33.3, 78.6, PIXELS),  # MNIST
        (0.0, 255.0, PIXELS),
        (40_000.0, 9_000.0, None),
    ],
)
def test_one_normalization(mean: float, std: float, wanted: Range | None) -> None:
    assert wanted_range(Affine.normalizing(mean, std)) == wanted


def test_chains() -> None:
    mean, std = IMAGENET
    norm = Affine.normalizing(mean, std)
    assert wanted_range(Affine.of(127.5, 127.5).then(Affine.of(1 / 255)).then(norm)) == SYMMETRIC
    assert wanted_range(Affine.of(255.0).then(Affine.of(1 / 127.5, -1))) == UNIT
    assert wanted_range(Affine.of(1 / 255).then(UNTRAINED)) == PIXELS
    # EfficientNet divides by the root of the deviation once more.
    root = Affine.of(tuple(1 / math.sqrt(value) for value in std))
    assert wanted_range(Affine.of(1 / 255).then(norm).then(root)) == PIXELS


def test_nothing_is_scaled() -> None:
    assert wanted_range(Affine()) is None
    assert wanted_range(UNTRAINED) is None


def test_channels_that_disagree_say_nothing() -> None:
    assert wanted_range(Affine.of((1 / 255, 1 / 255, 255))) is None


def test_affine_maps_are_joined_channel_by_channel() -> None:
    joined = Affine.of(2.0, (1.0, 2.0, 3.0)).then(Affine.of((1.0, 10.0, 100.0), -1.0))
    assert joined == Affine((2.0, 20.0, 200.0), (0.0, 19.0, 299.0))
    with pytest.raises(ValueError, match="zip"):
        Affine.of((1.0, 2.0)).then(Affine.of((1.0, 2.0, 3.0)))
