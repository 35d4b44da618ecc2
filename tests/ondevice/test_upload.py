"""What is sent of a picture: the part that models look at, upright, square, as small as is asked."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, features

from ondevice.errors import ImageError, UsageError
from ondevice.image import ImageSource, pixels
from ondevice.models.card import Input
from ondevice.protocol.picture import PictureHead
from ondevice.protocol.rung import Compression, Rung
from ondevice.upload import can_compress, compressed

BOTH = list(Compression)


def photo(height: int = 300, width: int = 400) -> np.ndarray[Any, Any]:
    """Smooth, another in each corner, so that nothing can be turned or moved unseen."""
    y, x = np.mgrid[0:height, 0:width]
    return np.stack([x * 255 / width, y * 255 / height, 127 + 100 * np.sin(x / 40)], axis=2).astype(np.uint8)


def opened(body: bytes) -> Image.Image:
    return Image.open(io.BytesIO(body))


@pytest.mark.parametrize("compression", BOTH)
@pytest.mark.parametrize("crop", [0.875, 1.0])
def test_it_is_what_a_model_with_this_crop_sees(compression: Compression, crop: float) -> None:
    made = opened(compressed(photo(), Rung(96, 95, compression), crop))
    assert (made.size, made.mode) == ((96, 96), "RGB")
    wanted = pixels(photo(), Input(96, 96, crop=crop)).astype(int)
    other = pixels(photo(), Input(96, 96, crop=0.75)).astype(int)
    difference = np.abs(np.asarray(made).astype(int) - wanted).mean()
    # At the best quality next to nothing is lost, and far less than another crop would change.
    assert difference < 4 < np.abs(other - wanted).mean()


@pytest.mark.parametrize("compression", BOTH)
def test_lower_qualities_and_smaller_sides_are_fewer_bytes(compression: Compression) -> None:
    rungs = [Rung(64, 40, compression), Rung(128, 40, compression), Rung(128, 75, compression)]
    sizes = [len(compressed(photo(), rung, 1.0)) for rung in rungs]
    assert sizes == sorted(set(sizes))


@pytest.mark.parametrize("compression", BOTH)
def test_an_endpoint_reads_its_size_and_format(compression: Compression) -> None:
    body = compressed(photo(), Rung(80, 40, compression), 1.0)
    head = PictureHead.read(body)
    assert (head.format, head.width, head.height) == (compression.value, 80, 80)


def test_colour_is_at_half_the_side() -> None:
    made = opened(compressed(photo(), Rung(96, 40), 1.0))
    assert [layer[1:3] for layer in made.layer] == [(2, 2), (1, 1), (1, 1)]  # type: ignore[attr-defined]


@pytest.mark.parametrize("compression", BOTH)
def test_it_stands_upright_and_says_nothing_of_having_been_turned(compression: Compression) -> None:
    turned, exif = io.BytesIO(), Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(np.rot90(photo(), 1)).save(turned, "JPEG", quality=95, exif=exif)
    made = opened(compressed(turned.getvalue(), Rung(96, 90, compression), 1.0))
    assert not made.getexif()
    difference = np.abs(np.asarray(made).astype(int) - pixels(photo(), Input(96, 96, crop=1.0)).astype(int))
    assert difference.mean() < 5


@pytest.mark.parametrize("compression", BOTH)
@pytest.mark.parametrize("form", ["path", "bytes", "array", "picture", "grey"])
def test_any_picture_can_be_sent(form: str, compression: Compression, tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    Image.fromarray(photo()).save(path)
    sources: dict[str, ImageSource] = {
        "path": path,
        "bytes": path.read_bytes(),
        "array": photo(),
        "picture": Image.fromarray(photo()),
        "grey": photo()[..., 0],
    }
    assert opened(compressed(sources[form], Rung(64, 75, compression), 0.875)).mode == "RGB"


@pytest.mark.parametrize("compression", BOTH)
def test_noise_at_the_best_quality_fits_the_encoder(compression: Compression) -> None:
    noise = np.random.default_rng(1).integers(0, 256, (224, 224, 3), dtype=np.uint8)
    assert len(compressed(noise, Rung(224, 95, compression), 1.0)) > 224 * 224


def test_what_is_not_a_picture_is_told(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"not a picture at all")
    for source in (tmp_path / "a.jpg", tmp_path / "gone.jpg", b"nor this"):
        with pytest.raises(ImageError):
            compressed(source, Rung(64, 75), 1.0)


def test_a_pillow_without_webp_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(features, "check", lambda name: name != "webp")
    assert can_compress(Compression.JPEG)
    assert not can_compress(Compression.WEBP)
    with pytest.raises(UsageError, match="cannot write webp"):
        compressed(photo(), Rung(64, 75, Compression.WEBP), 1.0)
