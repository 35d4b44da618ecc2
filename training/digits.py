"""Pictures of handwritten digits, drawn small, turned and cluttered on a grey canvas.

The digits come from `sklearn.datasets.load_digits`: 1797 images of 8x8 pixels (UCI, CC BY 4.0).
Each picture holds exactly one whole digit. Everything random comes from a numpy `Generator`,
so the same generator state gives the same pictures, byte for byte.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

# As many pixels as the largest network sees, so that the others lose detail and it does not.
CANVAS = 128
CLASSES = 10  # the digits
# At the small networks' 40 pixels a side a digit is then five to seven pixels high, which makes them err.
DIGIT_PIXELS = (15.0, 23.0)
# More is harder for every network alike; less lets them learn one direction of every stroke.
MAX_TURN_DEGREES = 28.0
# Most of the ink in a picture is then not the digit's: a network has to look for it.
CLUTTER_PER_CANVAS = 18

Pictures = NDArray[np.uint8]
Labels = NDArray[np.int64]


@dataclass(frozen=True)
class Sources:
    """Source digits to draw from: `images` uint8 [n, 8, 8] with ink at 255, `labels` int64 [n]."""

    images: NDArray[np.uint8]
    labels: Labels

    def pick(self, rng: np.random.Generator, label: int) -> NDArray[np.uint8]:
        """One random source digit of class `label`, uint8 [8, 8]."""
        row = int(rng.choice(np.flatnonzero(self.labels == label)))
        picked: NDArray[np.uint8] = self.images[row]
        return picked


def split(seed: int = 0, held_out: float = 0.2) -> tuple[Sources, Sources]:
    """Training and held-out source digits, disjoint, with the same share of every class in each."""
    from sklearn.datasets import load_digits

    data = load_digits()
    images = np.round(data.images * (255 / 16)).astype(np.uint8)
    labels = data.target.astype(np.int64)
    rng = np.random.default_rng(seed)
    train: list[int] = []
    test: list[int] = []
    for label in range(CLASSES):
        members = rng.permutation(np.flatnonzero(labels == label))
        cut = round(len(members) * held_out)
        test.extend(members[:cut].tolist())
        train.extend(members[cut:].tolist())
    return _subset(images, labels, train), _subset(images, labels, test)


def _subset(images: NDArray[np.uint8], labels: Labels, rows: list[int]) -> Sources:
    return Sources(images[sorted(rows)], labels[sorted(rows)])


def batch(rng: np.random.Generator, sources: Sources, count: int, canvas: int = CANVAS) -> tuple[Pictures, Labels]:
    """Draw `count` pictures, classes in equal shares and shuffled.

    Returns uint8 [count, canvas, canvas] (0 black, 255 white) and int64 [count].
    """
    labels = rng.permutation(np.arange(count, dtype=np.int64) % CLASSES)
    pictures = np.empty((count, canvas, canvas), np.uint8)
    for row, label in enumerate(labels):
        pictures[row] = np.asarray(draw(rng, sources, int(label), canvas))
    return pictures, labels


def draw(rng: np.random.Generator, sources: Sources, label: int, canvas: int = CANVAS) -> Image.Image:
    """Draw one picture, mode "L", canvas x canvas pixels, with one digit of class `label`.

    A digit keeps its size in pixels on any canvas; the amount of clutter follows the canvas's area.
    """
    picture = _background(rng, canvas)
    sign = 1 if rng.random() < 0.5 else -1
    digit = _turned(rng, sources.pick(rng, label), rng.uniform(*DIGIT_PIXELS))
    x, y = (int(rng.integers(0, canvas - side + 1)) for side in digit.size)
    for _ in range(round(CLUTTER_PER_CANVAS * rng.uniform(0.6, 1.4) * (canvas / CANVAS) ** 2)):
        piece = _piece(rng, sources)
        corner = _free_corner(rng, piece, canvas, (x, y, x + digit.width, y + digit.height))
        if corner is not None:
            _ink(rng, picture, piece, corner, sign)
    _ink(rng, picture, digit, (x, y), sign)
    return Image.fromarray(picture.clip(0, 255).astype(np.uint8))


def _background(rng: np.random.Generator, canvas: int) -> NDArray[np.float32]:
    """A smooth random gradient around mid grey, [canvas, canvas]: a 3x3 grid of greys, stretched."""
    grid = rng.uniform(95, 160) + rng.uniform(-22, 22, (3, 3))
    stretched = Image.fromarray(grid.astype(np.uint8)).resize((canvas, canvas), Image.Resampling.BICUBIC)
    return np.asarray(stretched).astype(np.float32)


def _turned(rng: np.random.Generator, source: NDArray[np.uint8], pixels: float) -> Image.Image:
    """An ink mask of the 8x8 source, `pixels` high, turned and squeezed a little, with room for its corners."""
    side = math.ceil(pixels * 1.3)
    angle = math.radians(rng.uniform(-MAX_TURN_DEGREES, MAX_TURN_DEGREES))
    across, down = 8 / (pixels * rng.uniform(0.8, 1.05)), 8 / pixels
    cos, sin, middle = math.cos(angle), math.sin(angle), side / 2
    matrix = (
        *(cos * across, sin * across, 6 - across * middle * (cos + sin)),
        *(-sin * down, cos * down, 6 - down * middle * (cos - sin)),
    )
    padded = Image.fromarray(np.pad(source, 2))
    mask = padded.transform((side, side), Image.Transform.AFFINE, matrix, Image.Resampling.BICUBIC)
    return mask.point(_stroke_curve(int(rng.integers(10, 23))))


@functools.cache
def _stroke_curve(tenths: int) -> list[int]:
    """A lookup table of 256 entries that hardens the blurred edge of an upscaled stroke, `tenths` / 10 steep."""
    return [min(255, max(0, round(127.5 + tenths / 10 * (v - 110)))) if v > 24 else 0 for v in range(256)]


def _ink(
    rng: np.random.Generator, picture: NDArray[np.float32], mask: Image.Image, corner: tuple[int, int], sign: int
) -> None:
    """Lay ink through `mask` at `corner`, in place: `sign` 1 brightens, -1 darkens, by 35 to 90 grey levels."""
    x, y = corner
    strength = np.float32(sign * rng.uniform(35, 90) / 255)
    picture[y : y + mask.height, x : x + mask.width] += strength * np.asarray(mask)


def _free_corner(
    rng: np.random.Generator, piece: Image.Image, canvas: int, digit: tuple[int, int, int, int]
) -> tuple[int, int] | None:
    """A random place for a piece of clutter outside the digit's box, or None if eight tries find none."""
    for _ in range(8):
        x, y = (int(rng.integers(0, canvas - side + 1)) for side in piece.size)
        apart = x + piece.width <= digit[0] or x >= digit[2] or y + piece.height <= digit[1] or y >= digit[3]
        if apart:
            return x, y
    return None


def _piece(rng: np.random.Generator, sources: Sources) -> Image.Image:
    """The ink mask of one piece of clutter: a stroke, an arc, a blob or a fragment of some digit."""
    kind = rng.integers(0, 4)
    if kind == 0:
        return _fragment(rng, sources)
    return _shape(rng, ("stroke", "arc", "blob")[kind - 1])


def _fragment(rng: np.random.Generator, sources: Sources) -> Image.Image:
    """A quarter to a third of a random digit, turned and sized like a whole one, cropped to its ink."""
    source = sources.images[rng.integers(len(sources.images))].copy()
    keep = np.zeros_like(source, dtype=bool)
    rows, columns = (slice(0, 4) if rng.random() < 0.5 else slice(4, 8) for _ in range(2))
    keep[rows, columns] = True
    source[~keep] = 0
    mask = _turned(rng, source, rng.uniform(*DIGIT_PIXELS))
    return mask.crop(mask.getbbox() or (0, 0, 1, 1))


def _shape(rng: np.random.Generator, kind: str) -> Image.Image:
    """The ink mask of a stroke, arc or blob, 6 to 17 pixels long, drawn three times as large for smooth edges."""
    side = int(rng.integers(6, 18)) * 3
    mask = Image.new("L", (side, side))
    pen = ImageDraw.Draw(mask)
    width = int(rng.integers(4, 8))
    if kind == "stroke":
        start, end = rng.uniform(width, side - width, (2, 2))
        pen.line([*start.tolist(), *end.tolist()], fill=255, width=width)
    elif kind == "arc":
        turn = rng.uniform(0, 360)
        pen.arc((2, 2, side - 3, side - 3), turn, turn + rng.uniform(60, 200), fill=255, width=width)
    else:
        inset = side * rng.uniform(0.2, 0.4)
        pen.ellipse((inset, side * 0.25, side - inset, side * 0.75), fill=255)
    mask = mask.filter(ImageFilter.BoxBlur(1)).reduce(3)
    return mask.crop(mask.getbbox() or (0, 0, 1, 1))
