"""Pictures: every mode and format to upright 8-bit pixels, and what is refused."""

from __future__ import annotations

import io
import os
import re
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from huge import black_png, png
from PIL import Image

from ondevice import image as images
from ondevice.errors import ImageError, PictureMemoryError
from ondevice.image import describe, pixels
from ondevice.models.card import Input

Array = np.ndarray[Any, Any]
WHOLE = Input(16, 16, 3, crop=1.0)
GREY = Input(16, 16, 1, crop=1.0)
CORNERS = np.array([[[250, 0, 0], [0, 250, 0]], [[0, 0, 250], [250, 250, 250]]], np.uint8)

# For each orientation, how an upright picture is stored.
STORED: dict[int, Callable[[Array], Array]] = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: np.rot90(a, 1),
    7: lambda a: a[::-1, ::-1].swapaxes(0, 1),
    8: lambda a: np.rot90(a, -1),
}


def test_what_opens_pictures_is_loaded_before_the_first_is_timed() -> None:
    """In a process of its own: here some picture was the first already."""
    told = "from ondevice.image import FORMATS, Image; print({*FORMATS} - {*Image.OPEN})"
    done = subprocess.run([sys.executable, "-c", told], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


def upright() -> Array:
    """60 x 40 with a colour in each corner."""
    return CORNERS.repeat(20, axis=0).repeat(30, axis=1)


def smooth(height: int = 600, width: int = 800) -> Array:
    y, x = np.mgrid[0:height, 0:width]
    channels = (x * 255 / width, y * 255 / height, 127 + 100 * np.sin(x / 90) * np.cos(y / 70))
    return np.stack(channels, axis=2).astype(np.uint8)


def encoded(image: Image.Image, form: str, **options: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, form, **options)
    return out.getvalue()


def corners(array: Array) -> Array:
    """The colours a quarter of the way in from each corner."""
    height, width = array.shape[:2]
    return array[[[height // 4], [-height // 4]], [width // 4, -width // 4]]


def assert_near(a: Array, b: Array, levels: int) -> None:
    assert np.abs(a.astype(int) - b.astype(int)).max() <= levels


@pytest.mark.parametrize("form", ["JPEG", "PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize("orientation", STORED)
def test_every_orientation_comes_out_upright(form: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = Image.fromarray(np.ascontiguousarray(STORED[orientation](upright())))
    data = encoded(stored, form, exif=exif, **({"quality": 95} if form in ("JPEG", "WEBP") else {}))
    for wanted in (Input(20, 30, 3, crop=1.0), Input(30, 20, 3, crop=1.0), Input(24, 24, 3)):
        for source in (data, Image.open(io.BytesIO(data))):
            result = pixels(source, wanted)
            assert result.shape == (wanted.height, wanted.width, 3)
            assert_near(corners(result), CORNERS, 8)


@pytest.mark.parametrize(
    "exif",
    [
        b"Exif\0\0II*\0",
        b"Exif\0\0nonsense, and more of it",
        b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x02\0\x02\0\0\0x\0\0\0\0\0\0\0",
        b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x09\0\0\0\0\0\0\0",
        b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\0\0\0\0\0\0\0\0",
    ],
    ids=["short", "nonsense", "text for a number", "nine", "zero"],
)
def test_broken_exif_is_ignored(exif: bytes) -> None:
    result = pixels(encoded(Image.fromarray(upright()), "JPEG", exif=exif, quality=95), Input(20, 30, 3, crop=1.0))
    assert_near(corners(result), CORNERS, 8)


@pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow's, that the EXIF is cut short; the command line drops it
def test_exif_that_is_cut_short_is_ignored() -> None:
    exif = b"Exif\0\0II*\0\x08\0\0\0\x05\0\x12\x01"
    result = pixels(encoded(Image.fromarray(upright()), "JPEG", exif=exif, quality=95), Input(20, 30, 3, crop=1.0))
    assert_near(corners(result), CORNERS, 8)


def deep_png(level: int, transparent: int) -> bytes:
    """20 x 20 grey pixels of 16 bits; Pillow does not write which level is transparent."""
    whole = encoded(Image.fromarray(np.full((20, 20), level, np.uint16)), "PNG")
    before = whole.index(b"IDAT") - 4
    chunk = b"tRNS" + struct.pack(">H", transparent)
    return whole[:before] + struct.pack(">I", 2) + chunk + struct.pack(">I", zlib.crc32(chunk)) + whole[before:]


def grey_tiff(level: int, bits: int, signed: bool = False) -> bytes:
    """20 x 20 grey pixels of so many bits, of which Pillow writes only some kinds."""
    pairs = (level << 12 | level).to_bytes(3, "big") if bits == 12 else level.to_bytes(bits // 8, "little") * 2
    pixels = pairs * 200
    # Tag, type (3: short, 4: long) and value: width, height, bits, compression (none), black is 0, where the pixels
    # are, channels, rows in the strip, its bytes, and whether the levels are signed.
    tags = (
        (256, 3, 20), (257, 3, 20), (258, 3, bits), (259, 3, 1), (262, 3, 1), (273, 4, 8), (277, 3, 1), (278, 3, 20),
        (279, 4, len(pixels)), (339, 3, 1 + signed),
    )  # fmt: skip
    entries = b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in tags)
    directory = struct.pack("<H", len(tags)) + entries + bytes(4)
    return b"II*\0" + struct.pack("<I", 8 + len(pixels)) + pixels + directory


def palette(transparent: bool) -> bytes:
    image = Image.new("P", (20, 20), 1)
    image.putpalette([0, 0, 0, 10, 200, 30])
    return encoded(image, "PNG", **({"transparency": 1} if transparent else {}))


def animated() -> bytes:
    frames = [Image.new("RGB", (20, 20), colour) for colour in ((10, 200, 30), (255, 0, 0))]
    return encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])


def plain(form: str, **options: Any) -> bytes:
    return encoded(Image.new("RGB", (20, 20), (10, 200, 30)), form, **options)


GREEN, WHITE = (10, 200, 30), (255, 255, 255)
SINGLE_COLOURS: dict[str, tuple[bytes, tuple[int, int, int]]] = {
    "grey": (encoded(Image.new("L", (20, 20), 77), "PNG"), (77, 77, 77)),
    "grey with a transparent level": (encoded(Image.new("L", (20, 20), 77), "PNG", transparency=77), WHITE),
    "1-bit": (encoded(Image.new("1", (20, 20), 1), "PNG"), WHITE),
    "1-bit with transparent black": (encoded(Image.new("1", (20, 20), 0), "PNG", transparency=0), WHITE),
    "palette": (palette(False), GREEN),
    "palette with transparency": (palette(True), WHITE),
    "LA": (encoded(Image.new("LA", (20, 20), (77, 0)), "PNG"), WHITE),
    "LA, half": (encoded(Image.new("LA", (20, 20), (0, 128)), "PNG"), (127, 127, 127)),
    "RGBA, clear": (encoded(Image.new("RGBA", (20, 20), (200, 0, 0, 0)), "PNG"), WHITE),
    "RGBA, opaque": (encoded(Image.new("RGBA", (20, 20), (10, 200, 30, 255)), "PNG"), GREEN),
    "RGBA, half": (encoded(Image.new("RGBA", (20, 20), (255, 0, 0, 128)), "PNG"), (255, 127, 127)),
    "RGB with a transparent colour": (plain("PNG", transparency=GREEN), WHITE),
    "CMYK": (encoded(Image.new("CMYK", (20, 20), (0, 0, 0, 178)), "JPEG", quality=100), (77, 77, 77)),
    "16-bit PNG": (encoded(Image.fromarray(np.full((20, 20), 0x8000, np.uint16)), "PNG"), (128, 128, 128)),
    "16-bit TIFF": (encoded(Image.fromarray(np.full((20, 20), 0x4DFF, np.uint16)), "TIFF"), (77, 77, 77)),
    "16-bit with a transparent level": (deep_png(0x4DFF, transparent=0x4DFF), WHITE),
    "16-bit with another transparent level": (deep_png(0x4DFF, transparent=0x4DFE), (77, 77, 77)),
    "12-bit TIFF": (grey_tiff(0x4DF, 12), (77, 77, 77)),
    "unsigned 32-bit TIFF": (grey_tiff(0xCDFFFFFF, 32), (205, 205, 205)),
    "signed 32-bit TIFF": (grey_tiff(0x4DFFFFFF, 32, signed=True), (155, 155, 155)),
    "32-bit TIFF of 16 bits": (grey_tiff(0x4DFF, 32), (77, 77, 77)),
    "32-bit TIFF of 8 bits": (grey_tiff(77, 32), (77, 77, 77)),
    "signed 32-bit TIFF of 8 bits": (encoded(Image.fromarray(np.full((20, 20), 77, np.int32)), "TIFF"), (77, 77, 77)),
    "32-bit TIFF": (encoded(Image.fromarray(np.full((20, 20), 0x8000, np.int32)), "TIFF"), (128, 128, 128)),
    "animation": (animated(), GREEN),
    "JPEG": (plain("JPEG", quality=100), GREEN),
    "PNG": (plain("PNG"), GREEN),
    "WebP": (plain("WEBP", lossless=True), GREEN),
    "BMP": (plain("BMP"), GREEN),
    "PPM": (plain("PPM"), GREEN),
    "TIFF": (plain("TIFF", compression="tiff_lzw"), GREEN),
}


@pytest.mark.parametrize("kind", SINGLE_COLOURS)
def test_modes_and_formats(kind: str, tmp_path: Path) -> None:
    data, colour = SINGLE_COLOURS[kind]
    path = tmp_path / "picture"
    path.write_bytes(data)
    for source in (data, path, str(path), Image.open(io.BytesIO(data))):
        result = pixels(source, WHOLE)
        assert result.dtype == np.uint8
        assert_near(result, np.broadcast_to(np.array(colour, np.uint8), (16, 16, 3)), 2)
    luma = round(float(np.dot(colour, (0.299, 0.587, 0.114))))
    assert_near(pixels(data, GREY), np.full((16, 16, 1), luma), 2)


def test_mpo_is_read_as_its_first_picture() -> None:
    first, second = Image.new("RGB", (20, 20), GREEN), Image.new("RGB", (20, 20), "red")
    data = encoded(first, "MPO", save_all=True, append_images=[second])
    assert Image.open(io.BytesIO(data)).format == "MPO"
    assert_near(pixels(data, WHOLE), np.broadcast_to(np.array(GREEN), (16, 16, 3)), 3)


@pytest.mark.parametrize("shape", [(100, 300), (300, 100)], ids=["wide", "tall"])
@pytest.mark.parametrize("crop", [0.875, 0.5, 1.0])
def test_the_crop_is_the_centre(shape: tuple[int, int], crop: float) -> None:
    ramp = np.arange(shape[0])[:, None] / 2 + np.arange(shape[1])[None, :] / 2
    result = pixels(ramp.astype(np.uint8), Input(25, 25, 1, crop=crop))[:, :, 0].astype(float)
    assert result.mean() == pytest.approx(ramp.mean(), abs=1)
    assert result[-1, -1] - result[0, 0] == pytest.approx(100 * crop * 24 / 25, abs=2)


def test_rounding_takes_no_crop_outside_of_the_picture() -> None:
    file = io.BytesIO()
    Image.new("RGB", (1280, 1280)).save(file, "JPEG")
    for side in range(20, 400):
        assert pixels(file.getvalue(), Input(side, side, crop=1.0)).shape == (side, side, 3)


@pytest.mark.parametrize("crop", [1.0, 0.8])
@pytest.mark.parametrize("size", [(60, 80), (50, 50), (96, 32)])
def test_resizing_agrees_with_cropping_first(crop: float, size: tuple[int, int]) -> None:
    # Noise far finer than the output: without antialiasing the two could not agree.
    photo = (smooth() // 2 + np.random.default_rng(1).integers(0, 120, (600, 800, 3))).astype(np.uint8)
    height, width = size
    scale = min(800 / width, 600 / height) * crop
    crop_w, crop_h = width * scale, height * scale
    left, top = (800 - crop_w) / 2, (600 - crop_h) / 2
    box = (round(left), round(top), round(left + crop_w), round(top + crop_h))
    assert box == pytest.approx((left, top, left + crop_w, top + crop_h), abs=1e-6), "the case needs whole pixels"
    inside = Image.fromarray(photo).crop(box)
    expected = np.asarray(inside.resize((width, height), Image.Resampling.BILINEAR))
    assert_near(pixels(photo, Input(height, width, 3, crop=crop))[2:-2, 2:-2], expected[2:-2, 2:-2], 1)


@pytest.mark.parametrize("shape", [(20, 30), (20, 30, 1), (20, 30, 3), (20, 30, 4)])
def test_arrays(shape: tuple[int, ...]) -> None:
    array = np.full(shape, 255, np.uint8)
    array[..., :10] = 255 if len(shape) == 3 else 0
    kept = array.copy()
    result = pixels(array, Input(20, 30, 3, crop=1.0))
    assert result.shape == (20, 30, 3)
    assert result[0, 0].tolist() == [255 if len(shape) == 3 else 0] * 3
    assert np.array_equal(array, kept)


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((4, 4, 3), np.float32),
        np.zeros((4, 4), np.uint16),
        np.zeros((4, 4, 5), np.uint8),
        np.zeros((4, 4, 2), np.uint8),
        np.zeros((0, 4, 3), np.uint8),
        np.zeros(16, np.uint8),
        np.zeros((1, 4, 4, 3), np.uint8),
    ],
    ids=lambda a: f"{a.dtype}{a.shape}",
)
def test_wrong_arrays(array: Array) -> None:
    with pytest.raises(ImageError, match=rf"array of {array.dtype} .*give uint8") as caught:
        pixels(array, WHOLE)
    assert caught.value.source is array


@pytest.mark.parametrize("mode", ["RGB", "P", "L", "1", "RGBA", "CMYK", "I;16"])
def test_pillow_images_are_left_as_they_were(mode: str) -> None:
    image = Image.fromarray(upright()).convert("L" if mode == "I;16" else mode)
    image = image.convert(mode)
    before = image.mode, image.size, image.tobytes()
    assert pixels(image, WHOLE).shape == (16, 16, 3)
    assert (image.mode, image.size, image.tobytes()) == before


def test_an_opened_jpeg_keeps_its_size() -> None:
    opened = Image.open(io.BytesIO(encoded(Image.fromarray(smooth()), "JPEG")))
    pixels(opened, WHOLE)
    assert opened.size == (800, 600)


def half_jpeg() -> bytes:
    data = encoded(Image.fromarray(smooth()), "JPEG")
    return data[: len(data) // 2]


EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\nshowpage\n"
ICO = encoded(Image.new("RGB", (32, 32)), "ICO")
BAD: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "is empty"),
    "text": (b"hello, this is a text and no picture\n" * 9, "is not a picture (JPEG, PNG"),
    "truncated JPEG": (half_jpeg(), "cannot be decoded: "),
    "truncated PNG": (encoded(Image.fromarray(smooth(60, 80)), "PNG")[:200], "cannot be decoded: "),
    "damaged PNG": (png(20, 20, 8, 2, b"no zlib stream"), "cannot be decoded: "),
    "HEIC": (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(100), "is HEIC, AVIF or a video; save it as JPEG or PNG"),
    "900 megapixels": (black_png(30000), "far too many pixels; at most 50 megapixels"),
    "100 megapixels": (black_png(10000), "at most 50 megapixels"),
    "81 megapixels": (black_png(9000), "9000 x 9000 pixels; at most 50 megapixels"),
    "float TIFF": (encoded(Image.new("F", (9, 9), 0.5), "TIFF"), "32-bit float pixels have no fixed range"),
    "LFS": (
        b"version https://git-lfs.github.com/spec/v1\noid sha256:1\n",
        "is a Git LFS pointer: `git lfs pull` in its",
    ),
    "page": (b"<!doctype html><html>", "is a web page: download the picture itself"),
    "EPS": (EPS, "is not a picture"),
    "ICO": (ICO, "is not a picture"),
}


@pytest.mark.parametrize("kind", BAD)
def test_bad_pictures_cost_one_line(kind: str, tmp_path: Path) -> None:
    data, message = BAD[kind]
    path = tmp_path / "picture.jpg"
    path.write_bytes(data)
    sources: tuple[images.ImageSource, ...] = (path, str(path), data)
    for source in sources:
        with pytest.raises(ImageError, match=rf"^[^\n]*{re.escape(message)}[^\n]*$") as caught:
            pixels(source, WHOLE)
        assert caught.value.source is source
        assert str(caught.value).startswith(f"{describe(source)}: ")


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_too_many_pixels_are_refused_before_decoding(monkeypatch: pytest.MonkeyPatch) -> None:
    data = black_png(10000)
    opened = Image.open(io.BytesIO(data))
    monkeypatch.setattr(type(opened), "load_prepare", lambda self: pytest.fail("it is being decoded"))
    for source in (data, opened):
        with pytest.raises(ImageError, match=r"10000 x 10000 pixels; at most 50 megapixels"):
            pixels(source, WHOLE)


@pytest.mark.parametrize("error", [TypeError("x"), KeyError("x"), IndexError("x"), struct.error("x")])
def test_whatever_a_decoder_raises_costs_the_picture_alone(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(Image, "open", broken)
    with pytest.raises(ImageError, match=r"^3 bytes: cannot be decoded: ."):
        pixels(b"abc", WHOLE)


def test_memory_that_is_short_is_not_called_a_broken_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    def short(*_: object, **__: object) -> None:
        raise MemoryError

    data = black_png(1000)
    monkeypatch.setattr(Image.Image, "resize", short)
    with pytest.raises(PictureMemoryError, match=r"^\d+ bytes: there is not enough memory to decode it now; make it"):
        pixels(data, WHOLE)


def test_a_webp_that_cannot_be_decoded_is_broken_only_where_there_would_be_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Pillow says the same in both cases."""

    def short(*_: object, **__: object) -> None:
        raise MemoryError

    file = io.BytesIO()
    Image.new("RGB", (300, 200)).save(file, "WEBP")
    broken = file.getvalue()[:-9]
    with pytest.raises(ImageError, match="cannot be decoded") as caught:
        pixels(broken, WHOLE)
    assert not isinstance(caught.value, PictureMemoryError)
    monkeypatch.setattr(np, "empty", short)
    with pytest.raises(PictureMemoryError):
        pixels(broken, WHOLE)
    with pytest.raises(ImageError, match="is not a picture") as caught:
        pixels(b"RIFF is not all of it", WHOLE)
    assert not isinstance(caught.value, PictureMemoryError)


def test_missing_paths_and_folders(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"gone\.jpg: no such file$"):
        pixels(tmp_path / "gone.jpg", WHOLE)
    with pytest.raises(ImageError, match=r"is a folder$") as caught:
        pixels(str(tmp_path), WHOLE)
    assert caught.value.source == str(tmp_path)


def test_large_files_are_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "large.png"
    with path.open("wb") as file:
        file.truncate(images.MAX_BYTES + 1)
    with pytest.raises(ImageError, match=r"large\.png: over 64 MiB; make it smaller first$"):
        pixels(path, WHOLE)
    with pytest.raises(ImageError, match="67108865 bytes: over 64 MiB"):
        pixels(bytes(images.MAX_BYTES + 1), WHOLE)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_permission_denied(tmp_path: Path) -> None:
    path = tmp_path / "private.png"
    path.write_bytes(plain("PNG"))
    path.chmod(0)
    with pytest.raises(ImageError, match="permission denied"):
        pixels(path, WHOLE)


def test_other_types_are_no_picture() -> None:
    with pytest.raises(ImageError, match=r"^int is not a picture"):
        pixels(7, WHOLE)  # type: ignore[arg-type]
