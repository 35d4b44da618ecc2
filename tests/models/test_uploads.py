"""A card's section of uploads: what holds for it, and what it gives."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from ondevice.models.uploads import MeasuredUploads
from ondevice.protocol.rung import Compression, Rung

KNOWN = MeasuredUploads(("128,40", "224,60,webp"), (2300, 6700), (0.6, 0.78), 0.75, 500, "photos")


def test_what_is_kept_is_of_the_whole_files() -> None:
    small, large = Rung(128, 40), Rung(224, 60, Compression.WEBP)
    assert KNOWN.kept == pytest.approx({small: 0.8, large: 1.04})
    assert KNOWN.sizes == {small: 2300.0, large: 6700.0}


def test_endpoints_tell_shares_up_to_all() -> None:
    shares = KNOWN.shares
    assert (shares.rungs, shares.bytes) == (KNOWN.rungs, (2300.0, 6700.0))
    assert shares.kept == pytest.approx((0.8, 1.0))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"rungs": ("128,40", "large")}, "'large' is not an upload: give SIDE,QUALITY"),
        ({"rungs": ("128,40", "128,40")}, "rungs are 1 to 100 different ones"),
        ({"rungs": (), "bytes": (), "top1": ()}, "rungs are 1 to 100 different ones"),
        ({"bytes": (2300,)}, "there is one of bytes and of top1 for each of rungs"),
        ({"top1": (0.6, 0.78, 0.9)}, "there is one of bytes and of top1 for each of rungs"),
        ({"bytes": (0, 6700)}, "bytes are over 0, and top1 are fractions from 0 to 1"),
        ({"top1": (0.6, 78.0)}, "bytes are over 0, and top1 are fractions from 0 to 1"),
        ({"top1": (0.6, float("nan"))}, "bytes are over 0, and top1 are fractions from 0 to 1"),
        ({"whole": 0.0}, "whole is over 0 and at most 1"),
        ({"whole": 1.5}, "whole is over 0 and at most 1"),
        ({"n": 0}, "n is at least 1"),
    ],
)
def test_what_cannot_be_meant_is_told(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        dataclasses.replace(KNOWN, **changes)


def test_hundreds_of_rungs_are_refused() -> None:
    count = 101
    rungs = tuple(f"{side},40" for side in range(100, 100 + count))
    with pytest.raises(ValueError, match="rungs are 1 to 100"):
        MeasuredUploads(rungs, (1000,) * count, (0.5,) * count, 0.5, 500, "photos")
