"""A digit in the middle of noise, as much of it as is sent, and a model that looks at the middle alone."""

from __future__ import annotations

import io
import re
from pathlib import Path

import numpy as np
from faulty import BUNDLED, copied
from PIL import Image
from serving import PICTURE

# The share of a picture that the model looks at.
SEEN = 0.5
# What its card has of uploads: the smaller leaves half of the accuracy, the larger nine tenths.
_MEASURED = """
[uploads]
rungs = ["24,40", "48,75"]
bytes = [700, 1500]
top1 = [0.4, 0.72]
whole = 0.8
n = 100
data = "drawings"
"""
KEPT = {"24,40": 0.5, "48,75": 0.9}
_DIGIT = np.asarray(Image.open(io.BytesIO(PICTURE)).convert("L"))


def looking_at_the_middle(folder: Path, name: str) -> Path:
    """A copy of a bundled model whose card says that it looks at half of a picture, and has no other uploads."""
    path = copied(folder, name)
    card, _, _ = (BUNDLED / f"{name}.toml").read_text().partition("\n[uploads]")
    path.with_suffix(".toml").write_text(re.sub(r"(?m)^crop = .*$", f"crop = {SEEN}", card) + _MEASURED)
    return path


def surrounded(cropped: float = 1.0) -> bytes:
    """As a PNG a picture twice as wide and high as the digit in its middle, or as much of its centre."""
    whole = np.random.default_rng(3).integers(0, 256, (2 * len(_DIGIT),) * 2).astype(np.uint8)
    edge = len(_DIGIT) // 2
    whole[edge:-edge, edge:-edge] = _DIGIT
    cut = round((1 - cropped) * len(_DIGIT))
    file = io.BytesIO()
    Image.fromarray(whole[cut : len(whole) - cut, cut : len(whole) - cut]).save(file, "PNG")
    return file.getvalue()
