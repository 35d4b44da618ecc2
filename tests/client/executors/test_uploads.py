"""What is sent of a picture: its file, or scaled, whichever is expected to be there sooner."""

from __future__ import annotations

from pathlib import Path

import engines
import numpy as np
import pytest
from PIL import Image

from ondevice.client.executors.uploads import Uploads
from ondevice.client.network import NetworkEstimates
from ondevice.client.picture import Picture
from ondevice.errors import ImageError

SIDE = 224


@pytest.fixture
def uploads() -> Uploads:
    return Uploads(NetworkEstimates(), engines.ENGINE.aside)


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A picture of several megabytes, of noise."""
    path = tmp_path_factory.mktemp("pictures") / "large.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (1200, 1600, 3), np.uint8)).save(path)
    return path


def test_a_large_picture_is_scaled_when_that_is_sooner(uploads: Uploads) -> None:
    network = NetworkEstimates()
    assert uploads.sending(10_000, SIDE) == (network.sending_ms(10_000), False)
    ms, scaled = uploads.sending(5_000_000, SIDE)
    assert scaled
    assert ms < network.sending_ms(5_000_000)
    assert len(uploads.overhead_ms(5_000_000, SIDE)) == 21
    assert max(uploads.overhead_ms(5_000_000, SIDE)) < max(uploads.overhead_ms(5_000_000, 0))


def test_models_that_do_not_tell_their_side_get_the_file(uploads: Uploads) -> None:
    assert not uploads.sending(5_000_000, 0)[1]


def test_what_is_sent(uploads: Uploads, large: Path) -> None:
    sent = engines.awaited(uploads.of(Picture(large), SIDE))
    assert (sent.kind, len(sent.body) < 200_000) == ("image/jpeg", True)
    sent = engines.awaited(uploads.of(Picture(large), 0))
    assert (sent.kind, sent.body) == ("image/png", large.read_bytes())


def test_pixels_are_always_scaled(uploads: Uploads) -> None:
    assert engines.awaited(uploads.of(Picture(np.zeros((8, 8, 3), np.uint8)), 0)).kind == "image/jpeg"


def test_what_cannot_be_read_here_is_sent_as_it_is(uploads: Uploads) -> None:
    broken = b"\xff\xd8\xff" + bytes(5_000_000)
    assert engines.awaited(uploads.of(Picture(broken), SIDE)).body == broken


def test_what_is_nothing_is_an_error(uploads: Uploads) -> None:
    with pytest.raises(ImageError):
        engines.awaited(uploads.of(Picture(b"nothing"), SIDE))


def test_what_scaling_takes_is_learned(uploads: Uploads, large: Path) -> None:
    before_ms = uploads.sending(5_000_000, SIDE)[0]
    for _ in range(3):
        engines.awaited(uploads.of(Picture(large), SIDE))
    assert uploads.sending(5_000_000, SIDE)[0] != before_ms
