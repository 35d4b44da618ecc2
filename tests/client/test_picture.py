"""What is sent of a picture: its file as it is, or a square JPEG, and one line for what is not a picture."""

from __future__ import annotations

import io
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from ondevice import image as images
from ondevice.client.picture import Picture
from ondevice.errors import ImageError
from ondevice.image import ImageSource
from ondevice.protocol.rung import Rung
from ondevice.upload import compressed

KINDS = {
    "JPEG": "image/jpeg", "PNG": "image/png", "WEBP": "image/webp", "GIF": "image/gif", "BMP": "image/bmp",
    "TIFF": "image/tiff",
}  # fmt: skip
RED, GREEN, BLUE, WHITE = (250, 0, 0), (0, 250, 0), (0, 0, 250), (250, 250, 250)
QUARTERS = np.array([[RED, GREEN], [BLUE, WHITE]], np.uint8)
_ORIENTATION = 0x0112


def quarters(height: int = 40, width: int = 40) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """A colour in each corner."""
    return QUARTERS.repeat(height // 2, axis=0).repeat(width // 2, axis=1)


def encoded(array: np.ndarray[Any, Any], form: str = "JPEG", **options: Any) -> bytes:
    made = io.BytesIO()
    Image.fromarray(array).save(made, form, **options)
    return made.getvalue()


def corners(jpeg: bytes) -> np.ndarray[Any, Any]:
    """The colours a quarter of the way in from each corner."""
    with Image.open(io.BytesIO(jpeg), formats=["JPEG"]) as image:
        assert "exif" not in image.info
        array = np.asarray(image).astype(int)
    return array[[[array.shape[0] // 4], [-array.shape[0] // 4]], [array.shape[1] // 4, -array.shape[1] // 4]]


def size(jpeg: bytes) -> tuple[int, int]:
    with Image.open(io.BytesIO(jpeg), formats=["JPEG"]) as image:
        return image.size


def line(act: Callable[[], object]) -> str:
    """The one line of its error."""
    with pytest.raises(ImageError) as caught:
        act()
    assert "\n" not in str(caught.value)
    return str(caught.value)


# As it is


@pytest.mark.parametrize("form", KINDS)
def test_a_file_that_endpoints_read_is_sent_as_it_is(form: str, tmp_path: Path) -> None:
    data = encoded(quarters(), form)
    path = tmp_path / "name.that.says.nothing"
    path.write_bytes(data)
    for source in (data, path, str(path)):
        picture = Picture(source)
        assert (picture.file, picture.kind) == (data, KINDS[form])
        assert picture.readable == data


def test_the_other_byte_order_of_tiff() -> None:
    assert Picture(b"MM\0*" + bytes(100)).kind == "image/tiff"


@pytest.mark.parametrize(
    "source",
    [quarters(), Image.fromarray(quarters()), encoded(quarters(), "PPM"), b"", b"text", b"\xff\xd8"],
    ids=["array", "Pillow image", "PPM", "nothing", "text", "two bytes"],
)
def test_what_has_no_file_that_endpoints_read(source: ImageSource) -> None:
    picture = Picture(source)
    assert (picture.file, picture.kind) == (None, "")
    assert picture.readable is source


def test_a_file_is_read_once(tmp_path: Path) -> None:
    path = tmp_path / "picture.png"
    path.write_bytes(encoded(quarters(), "PNG"))
    picture = Picture(path)
    assert picture.readable is path, "what is not sent is not read"
    assert not picture.loaded
    picture.load()
    data = picture.file
    assert picture.loaded
    path.unlink()
    assert picture.file is data
    assert picture.readable is data
    assert size(scaled_to(picture.readable, 8)) == (8, 8)


def test_a_file_that_takes_long_holds_up_no_other(tmp_path: Path) -> None:
    slow, path = tmp_path / "pipe", tmp_path / "picture.png"
    os.mkfifo(slow)
    path.write_bytes(encoded(quarters(), "PNG"))
    reading = threading.Thread(target=Picture(slow).load)
    reading.start()
    done = threading.Event()
    threading.Thread(target=lambda: (Picture(path).load(), done.set()), daemon=True).start()
    found = done.wait(10)
    slow.write_bytes(b"")  # which ends the other
    reading.join()
    assert found


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="no such device")
def test_a_device_without_end() -> None:
    with pytest.raises(ImageError, match="over 64 MiB"):
        Picture("/dev/zero").load()


def test_what_comes_to_no_end_is_told_from_files(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "file").touch()
    found = [Picture(tmp_path / name).regular for name in ("pipe", "file", ".", "missing")]
    assert found == [False, True, True, True]
    assert Picture(b"").regular


# Scaled


def scaled_to(source: ImageSource, side: int) -> bytes:
    return compressed(source, Rung(side, 90), 1.0)


@pytest.mark.parametrize(
    "source",
    [quarters(), Image.fromarray(quarters()), encoded(quarters(), "PNG"), encoded(quarters(), "PPM")],
    ids=["array", "Pillow image", "PNG", "PPM"],
)
def test_scaled_it_is_a_square_jpeg(source: ImageSource) -> None:
    scaled = scaled_to(source, 32)
    assert Picture(scaled).kind == "image/jpeg"
    assert size(scaled) == (32, 32)
    assert abs(corners(scaled) - QUARTERS).max() < 25


def test_nothing_of_a_square_picture_is_cut_off() -> None:
    framed = np.zeros((40, 40, 3), np.uint8)
    framed[:3], framed[-3:] = 255, 255
    with Image.open(io.BytesIO(scaled_to(framed, 40))) as image:
        brightness = np.asarray(image).astype(int).mean(axis=(1, 2))
    assert min(*brightness[:2], *brightness[-2:]) > 200
    assert brightness[6:-6].max() < 50


def test_of_a_long_picture_it_is_the_centre() -> None:
    array = np.full((40, 120, 3), 128, np.uint8)
    array[:, 40:80] = quarters()
    for long in (array, array.swapaxes(0, 1)):
        found = corners(scaled_to(encoded(long, "PNG"), 32))
        assert abs(found - (QUARTERS if long is array else QUARTERS.swapaxes(0, 1))).max() < 25


@pytest.mark.parametrize(
    ("orientation", "stored"),
    [(1, quarters()), (3, quarters()[::-1, ::-1]), (6, np.rot90(quarters())), (8, np.rot90(quarters(), -1))],
)
def test_it_is_upright(orientation: int, stored: np.ndarray[Any, Any]) -> None:
    exif = Image.Exif()
    exif[_ORIENTATION] = orientation
    jpeg = encoded(np.ascontiguousarray(stored), quality=95, exif=exif)
    assert abs(corners(scaled_to(jpeg, 32)) - QUARTERS).max() < 25


def test_a_small_picture_is_enlarged() -> None:
    assert size(scaled_to(quarters(4, 6), 100)) == (100, 100)


def test_greyscale_and_transparent() -> None:
    assert size(scaled_to(np.full((20, 30), 77, np.uint8), 16)) == (16, 16)
    clear = np.zeros((20, 20, 4), np.uint8)
    assert corners(scaled_to(encoded(clear, "PNG"), 16)).min() > 240, "on white"


# What is not a picture


def test_no_such_file(tmp_path: Path) -> None:
    assert line(lambda: Picture(tmp_path / "none.jpg").file).endswith("none.jpg: no such file")


def test_a_folder(tmp_path: Path) -> None:
    assert line(lambda: Picture(str(tmp_path)).file) == f"{tmp_path}: is a directory"


def test_a_name_that_no_file_can_have() -> None:
    assert line(lambda: Picture("a\0b").file).startswith("a\0b: embedded null ")
    assert line(lambda: Picture("a" * 5000).file) == f"{'a' * 5000}: file name too long"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read(tmp_path: Path) -> None:
    path = tmp_path / "secret.jpg"
    path.touch(mode=0)
    assert "permission denied" in line(lambda: Picture(path).file)


def test_a_file_that_is_too_large(tmp_path: Path) -> None:
    path = tmp_path / "large.jpg"
    with path.open("wb") as file:
        file.truncate(images.MAX_BYTES + 1)  # takes no room
    assert line(lambda: Picture(path).file) == f"{path}: over 64 MiB; make it smaller first"
    data = b"\xff\xd8\xff" + bytes(images.MAX_BYTES)
    assert "over 64 MiB" in line(lambda: Picture(data).file)


@pytest.mark.parametrize(
    "source",
    [b"", b"text", encoded(quarters(), "PNG")[:60], b"\xff\xd8\xff", np.zeros((4, 4), np.float32),
     np.zeros((0, 4), np.uint8)],
    ids=["nothing", "text", "half a PNG", "JPEG's first bytes", "floats", "no pixels"],
)  # fmt: skip
def test_what_cannot_be_scaled(source: ImageSource) -> None:
    assert line(lambda: scaled_to(source, 8))
