"""What uploads leave of a model's accuracy, as it is told."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import pytest

from ondevice import records
from ondevice.protocol.rung import Compression, Rung
from ondevice.protocol.upload_shares import UploadShare, UploadShares

TOLD = {"rungs": ["128,40", "224,60,webp"], "bytes": [2600, 6100.5], "kept": [0.5, 1]}


def test_they_are_read_one_after_the_other_and_told_again() -> None:
    read = records.read(UploadShares, TOLD)
    first, second = read.each
    assert first == UploadShare(Rung(128, 40), 2600, 0.5)
    assert second == UploadShare(Rung(224, 60, Compression.WEBP), 6100.5, 1)
    assert {key: list(value) for key, value in asdict(read).items()} == TOLD


@pytest.mark.parametrize(
    "wrong",
    [
        {"rungs": ["128,40"]},
        {"rungs": ["128,40", "224"]},
        {"bytes": [2600, 0]},
        {"bytes": [2600, float("inf")]},
        {"kept": [0.5, 1.01]},
        {"kept": [float("nan"), 1]},
        {"kept": [0.5, "1"]},
        {name: values * 51 for name, values in TOLD.items()},
    ],
)
def test_what_cannot_be_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"^(there is one of|bytes are over|'224' is not an upload|kept\[1\] must be)"):
        records.read(UploadShares, {**TOLD, **wrong})
