"""A picture's format and pixels from its header, for whatever Pillow writes, and for what nobody would."""

from __future__ import annotations

import io
import random
from typing import Any

import pytest
from PIL import Image

from ondevice.protocol.picture import PictureFormat, PictureHead, jpeg_scale

SIZE = (300, 200)


def written(kind: str, size: tuple[int, int] = SIZE, mode: str = "RGB", **options: Any) -> bytes:
    file = io.BytesIO()
    Image.new(mode, size, 90).save(file, kind, **options)
    return file.getvalue()


WRITTEN = {
    "jpeg": (written("JPEG"), PictureFormat.JPEG),
    "jpeg with EXIF": (written("JPEG", exif=b"Exif\0\0" + bytes(60_000)), PictureFormat.JPEG),
    "grey jpeg": (written("JPEG", mode="L"), PictureFormat.JPEG),
    "progressive": (written("JPEG", progressive=True), PictureFormat.PROGRESSIVE),
    "png": (written("PNG"), PictureFormat.PNG),
    "webp": (written("WEBP"), PictureFormat.WEBP),
    "lossless webp": (written("WEBP", lossless=True), PictureFormat.WEBP),
    "webp with EXIF": (written("WEBP", exif=b"Exif\0\0" + bytes(60)), PictureFormat.WEBP),
    "gif": (written("GIF", mode="L"), PictureFormat.GIF),
    "bmp": (written("BMP"), PictureFormat.OTHER),
    "tiff": (written("TIFF"), PictureFormat.OTHER),
    "compressed tiff": (written("TIFF", compression="tiff_adobe_deflate"), PictureFormat.OTHER),
}


@pytest.mark.parametrize("name", WRITTEN)
def test_format_and_pixels(name: str) -> None:
    data, kind = WRITTEN[name]
    head = PictureHead.read(data)
    assert (head.format, head.width, head.height, head.size_bytes) == (kind, *SIZE, len(data))
    assert head.pixels == 60_000


def test_fill_bytes_before_a_marker() -> None:
    data = WRITTEN["jpeg"][0]
    assert PictureHead.read(data[:2] + b"\xff\xff" + data[2:]).pixels == 60_000


def test_the_most_pixels_in_the_fewest_bytes() -> None:
    head = PictureHead.read(written("WEBP", (7000, 7000), lossless=True, method=0))
    assert (head.format, head.pixels) == (PictureFormat.WEBP, 49_000_000)


@pytest.mark.parametrize("data", [b"", b"x", b"P6 2 2 255 " + bytes(12), b"\xff\xd8" + b"\xff\xe0\0\2" * 100_000])
def test_what_has_no_header_of_these_has_a_pixel_a_byte(data: bytes) -> None:
    head = PictureHead.read(data)
    assert (head.format, head.pixels) == (PictureFormat.OTHER, max(len(data), 1))


@pytest.mark.parametrize("name", WRITTEN)
def test_whatever_comes_is_a_head(name: str) -> None:
    data, rng = WRITTEN[name][0][:200], random.Random(0)
    for length in range(len(data)):
        assert PictureHead.read(data[:length]).pixels > 0
    for _ in range(300):
        mutated = bytearray(data)
        for _ in range(4):
            mutated[rng.randrange(len(data))] = rng.randrange(256)
        assert PictureHead.read(bytes(mutated)).pixels > 0


def test_a_picture_that_was_not_sent_yet_is_a_photo() -> None:
    head = PictureHead.guessed(100_000)
    assert (head.format, head.pixels, head.size_bytes) == (PictureFormat.JPEG, 300_000, 100_000)


def test_photos_of_a_dataset(data: Any) -> None:
    for path in sorted((data / "imagenet").glob("*.JPEG"))[:20]:
        with Image.open(path) as image:
            head = PictureHead.read(path.read_bytes())
            assert (head.width, head.height) == image.size
            assert (head.format is PictureFormat.PROGRESSIVE) == bool(image.info.get("progressive"))


@pytest.mark.parametrize(
    ("ratio", "scale"), [(0.5, 1), (2, 1), (4.99, 1), (5, 2), (9.99, 2), (10, 4), (19.99, 4), (20, 8), (1000, 8)]
)
def test_two_and_a_half_pixels_are_left_for_each_of_the_input_s(ratio: float, scale: int) -> None:
    assert jpeg_scale((4000, 3000), ratio) == scale


@pytest.mark.parametrize(("ratio", "scale"), [(1.9, 1), (2, 2), (4, 4), (9, 4), (9.9, 4)])
def test_there_is_no_room_to_spare_where_the_picture_would_be_refused_with_it(ratio: float, scale: int) -> None:
    """Of 100 megapixels a half has 25, of 400 it has 100."""
    assert jpeg_scale((10_000, 10_000), ratio) == min(scale, 2)
    assert jpeg_scale((20_000, 20_000), ratio) == scale
