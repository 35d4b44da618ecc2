"""JPEGs decoded at a half, a quarter or an eighth: when, and how near to the whole picture's tensor that comes."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, JpegImagePlugin

from ondevice.image import pixels
from ondevice.models.card import Input
from ondevice.runner import Runner

Array = np.ndarray[Any, Any]
SIDE = 64
SMALL = Input(SIDE, SIDE, 3, crop=1.0)
# 12 megapixels, as phones' cameras have them.
CAMERA = (4000, 3000)


def jpeg(array: Array, **options: Any) -> bytes:
    file = io.BytesIO()
    Image.fromarray(array).save(file, "JPEG", quality=95, **options)
    return file.getvalue()


def textured(side: int) -> bytes:
    """Of a pattern as fine as the picture's pixels are, on coarser ones, as leaves and gravel are."""
    noise, levels = np.random.default_rng(5), np.zeros((side, side, 3))
    for coarse in (1, 2, 4, 8, 16):
        cells = noise.normal(0, 25, (-(-side // coarse), -(-side // coarse), 1))
        levels += cells.repeat(coarse, axis=0).repeat(coarse, axis=1)[:side, :side]
    return jpeg(np.clip(levels + 128, 0, 255).astype(np.uint8))


def smallest_that_suffices(data: bytes) -> Array:
    """What 0.1.0 makes of it: as few pixels as the input has, and the size that the scaled picture has with its rim."""
    with Image.open(io.BytesIO(data)) as image:
        image.draft(None, (SIDE, SIDE))
        return np.asarray(image.resize((SIDE, SIDE), Image.Resampling.BILINEAR))


def off(array: Array, data: bytes, wanted: Input = SMALL) -> float:
    """By how many levels it is off what the whole picture gives, in the mean."""
    return float(np.abs(array.astype(int) - pixels(data, wanted, scaled_decode=False)).mean())


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """The sizes that JPEGs are decoded at."""
    seen: list[tuple[int, int]] = []
    load = JpegImagePlugin.JpegImageFile.load

    def spy(self: JpegImagePlugin.JpegImageFile) -> Any:
        if self.tile:
            seen.append(self.size)
        return load(self)

    monkeypatch.setattr(JpegImagePlugin.JpegImageFile, "load", spy)
    return seen


@pytest.mark.parametrize(
    ("side", "scaled", "size"),
    [
        (128, True, (500, 375)),
        (224, True, (1000, 750)),
        (480, True, (2000, 1500)),
        (640, True, CAMERA),
        (128, False, CAMERA),
    ],
)
def test_a_camera_s_picture_is_decoded_smaller(
    side: int, scaled: bool, size: tuple[int, int], decoded: list[tuple[int, int]]
) -> None:
    data = jpeg(np.zeros((*CAMERA[::-1], 3), np.uint8))
    assert pixels(data, Input(side, side), scaled).shape == (side, side, 3)
    assert decoded == [size]


@pytest.mark.parametrize("orientation", [1, 6])
def test_room_is_left_on_both_sides_of_a_turned_picture(orientation: int, decoded: list[tuple[int, int]]) -> None:
    """An input that is wide sees a tall picture by its width alone."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    pixels(jpeg(np.zeros((600, 800, 3), np.uint8), exif=exif), Input(80, 160, crop=1.0))
    assert decoded == [(800, 600) if orientation == 6 else (400, 300)]


@pytest.mark.parametrize("ratio", [1.1, 1.9, 2.2, 2.9, 3.9, 4.9])
def test_without_room_to_spare_the_whole_picture_is_decoded(ratio: float) -> None:
    data = textured(round(SIDE * ratio))
    assert off(pixels(data, SMALL), data) == 0


@pytest.mark.parametrize("ratio", [2.05, 2.95, 4.05, 5.05, 8.1, 10.05])
def test_with_as_many_pixels_as_the_input_has_a_picture_would_be_another(ratio: float) -> None:
    data = textured(round(SIDE * ratio))
    assert off(smallest_that_suffices(data), data) > 5


@pytest.mark.parametrize("ratio", [5.05, 7.9, 8.1, 9.95, 10.05, 15.9, 16.1, 20.05, 31.7])
def test_scaled_decoding_changes_little(ratio: float, decoded: list[tuple[int, int]]) -> None:
    data = textured(round(SIDE * ratio))
    side = Image.open(io.BytesIO(data)).width
    array = pixels(data, SMALL)
    assert 2.5 * SIDE <= decoded[-1][0] <= side / 2 + 1
    assert off(array, data) < 1


def test_a_rim_that_is_not_filled_moves_nothing() -> None:
    """An eighth of 521 pixels is 66 columns, of which the last has one pixel."""
    ramp = np.add.outer(np.arange(521), np.arange(521)) / 5
    data = jpeg(ramp.astype(np.uint8)[..., None].repeat(3, axis=2))
    wanted = Input(16, 16, crop=1.0)
    apart = pixels(data, wanted).astype(int) - pixels(data, wanted, scaled_decode=False)
    assert np.abs(apart).max() <= 1


def test_grey_and_cmyk_are_scaled_too(decoded: list[tuple[int, int]]) -> None:
    for mode in ("L", "CMYK"):
        file = io.BytesIO()
        Image.open(io.BytesIO(textured(700))).convert(mode).save(file, "JPEG", quality=95)
        assert off(pixels(file.getvalue(), SMALL), file.getvalue()) < 1
    assert decoded.count((175, 175)) == 2


# --- On photos

MODELS = {
    "mobilenet_v1_0.25_128_quant": 128,
    "mobilenet_v1_0.5_160_quant": 160,
    "mobilenet_v1_0.75_192_quant": 192,
    "mobilenet_v2_1.0_224_quant": 224,
}


def at(path: Path, side: float) -> bytes:
    """The photo with a shorter side of so many pixels."""
    with Image.open(path) as image:
        scale = side / min(image.size)
        size = round(image.width * scale), round(image.height * scale)
        file = io.BytesIO()
        image.convert("RGB").resize(size, Image.Resampling.LANCZOS).save(file, "JPEG", quality=92)
    return file.getvalue()


@pytest.mark.parametrize("model", MODELS)
def test_the_best_class_is_that_of_the_whole_picture(model: str, data: Path) -> None:
    """Of photos as they are, and where 0.1.0 left hardly a pixel for each of the input's."""
    runner, side = Runner(data / "tflite" / f"{model}.tflite"), MODELS[model] / 0.875
    photos = sorted((data / "imagenet").glob("*.JPEG"))
    sources: list[Path | bytes] = [*photos[::10]]
    sources += [at(path, ratio * side) for ratio in (1.1, 1.5, 1.9, 2.2, 2.9, 3.9) for path in photos[::100]]
    same = 0
    for source in sources:
        runner.scaled_decode = True
        scaled = runner.classify(source, top=1).index
        runner.scaled_decode = False
        same += scaled == runner.classify(source, top=1).index
    assert same >= 0.98 * len(sources)


def test_large_photos_are_answered_as_well(data: Path) -> None:
    """Where scores are equal or nearly so, a pixel's last bit decides; the most accurate model has few of these."""
    runner = Runner(data / "tflite" / "mobilenet_v2_1.0_224_quant.tflite")
    with (data / "imagenet" / "labels.csv").open(encoding="utf-8") as file:
        truths = {row["wnid"]: int(row["index"]) for row in csv.DictReader(file)}
    photos = sorted((data / "imagenet").glob("*.JPEG"))[::20]
    answers: dict[bool, list[int]] = {}
    files = [at(path, 5.1 * 256) for path in photos]
    for runner.scaled_decode in (True, False):
        answers[runner.scaled_decode] = [runner.classify(file, top=1).index for file in files]
    same = np.mean(np.equal(answers[True], answers[False]))
    right = {
        on: np.mean([a == truths[p.name[:9]] for a, p in zip(found, photos, strict=True)])
        for on, found in answers.items()
    }
    assert same >= 0.92
    assert right[True] == pytest.approx(right[False], abs=0.05)
