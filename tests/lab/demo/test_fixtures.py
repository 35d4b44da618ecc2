"""The photos that the demo is run with."""

from __future__ import annotations

import io
from collections import Counter

import pytest
from PIL import Image

from ondevice import Runner
from ondevice.client.executors.upload_menu import scaled_rung
from ondevice.lab.demo.fixtures import Photo, photos
from ondevice.models import zoo
from ondevice.upload import compressed


@pytest.fixture(scope="module")
def made() -> list[Photo]:
    """A hundred photos."""
    return photos(100)


def test_photos_are_as_large_as_a_camera_s(made: list[Photo]) -> None:
    for photo in made[:20]:
        with Image.open(io.BytesIO(photo.file)) as image:
            assert (image.format, image.mode, image.size) == ("JPEG", "RGB", (1024, 1024))
        assert 60_000 < len(photo.file) < 160_000
    assert Counter(photo.truth for photo in made) == dict.fromkeys(range(10), 10)


def test_photos_are_always_the_same_and_each_another() -> None:
    assert photos(12) == photos(12)
    assert len({photo.file for photo in photos(12)}) == 12


@pytest.mark.parametrize("model", ["digits_s_int8", "digits_m_int8"])
def test_photos_are_as_easy_as_the_pictures_they_are_made_of(model: str, made: list[Photo]) -> None:
    runner = Runner(model)
    accuracy = zoo.find(model).card.accuracy
    assert accuracy is not None
    whole = sum(runner.classify(photo.file).index == photo.truth for photo in made)
    scaled = sum(runner.classify(compressed(photo.file, scaled_rung(128), 1.0)).index == photo.truth for photo in made)
    # Two standard errors of a share of 100.
    assert whole / 100 == pytest.approx(accuracy.top1, abs=0.08)
    assert abs(whole - scaled) <= 5
