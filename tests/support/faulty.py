"""Copies of the bundled models that lie where a test may break them, and models that compute nonsense."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import numpy as np

from ondevice.models import zoo
from ondevice.runtime import Model

BUNDLED = zoo.samples_dir().parent


def copied(folder: Path, name: str) -> Path:
    """The file of a bundled model in this folder; it is known by its checksum, whatever it is called."""
    path = folder / f"{name}.tflite"
    path.write_bytes((BUNDLED / path.name).read_bytes())
    return path


def nonsense(folder: Path) -> Path:
    """A model, the most accurate by its card beside it, whose scores are not numbers."""
    model = Model(BUNDLED / "digits_m_fp32.tflite")
    content, interpreter = model.path.read_bytes(), model.executable._interpreter
    details = interpreter.get_tensor_details()
    constant = next(detail["index"] for detail in details if detail["name"].endswith("BiasAdd"))
    bias = interpreter.get_tensor(constant).tobytes()
    assert content.count(bias) == 1
    path = folder / "nonsense.tflite"
    path.write_bytes(content.replace(bias, np.full(10, np.nan, np.float32).tobytes()))
    card = model.path.with_suffix(".toml").read_text()
    for key, told in (
        ("name", '"nonsense"'), ("sha256", f'"{hashlib.sha256(path.read_bytes()).hexdigest()}"'), ("top1", "0.99"),
    ):  # fmt: skip
        card = re.sub(rf"(?m)^{key} = .*$", f"{key} = {told}", card, count=1)
    path.with_suffix(".toml").write_text(card)
    return path
