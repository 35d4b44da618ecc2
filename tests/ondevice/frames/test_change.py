"""What counts as a change, and what does not."""

from __future__ import annotations

import io

import numpy as np
import pytest
from mjpeg import picture
from PIL import Image

from ondevice.errors import UsageError
from ondevice.frames.change import ChangeFilter


def scene(seed: int = 0, noise: float = 10, hand: int = 0, light: int = 0) -> bytes:
    """A room as a small camera sees it. hand: the side of something in it, pixels. light: how much lighter it is."""
    rows, columns = np.mgrid[0:240, 0:320]
    room = 110 + 60 * np.sin(columns / 40) + 30 * np.cos(rows / 25) + light
    room[60 : 60 + hand, 100 : 100 + hand] = 230
    room = room + np.random.default_rng(seed).normal(0, noise, room.shape)
    out = io.BytesIO()
    Image.fromarray(room.clip(0, 255).astype(np.uint8)).save(out, "JPEG", quality=80)
    return out.getvalue()


def test_a_cameras_noise_is_no_change() -> None:
    passes = ChangeFilter(0.0005).passes  # two of its pixels
    assert passes(scene(0))
    assert [passes(scene(seed)) for seed in range(1, 20)] == 19 * [False]


def test_a_hand_is_and_so_is_its_going() -> None:
    passes = ChangeFilter(0.02).passes
    found = [passes(scene(seed, hand=hand)) for seed, hand in enumerate((0, 0, 60, 60, 0, 0))]
    assert found == [True, False, True, False, True, False]


def test_small_things_are_not_for_a_larger_share() -> None:
    passes = ChangeFilter(0.2).passes
    assert [passes(scene(seed, hand=hand)) for seed, hand in enumerate((0, 60, 200))] == [True, False, True]


def test_slow_changes_add_up() -> None:
    """Each frame is as the one before it, and not as the last that passed."""
    passes = ChangeFilter(0.5).passes
    found = [passes(scene(seed, light=4 * seed)) for seed in range(13)]
    assert 2 <= sum(found) <= 4


def test_what_cannot_be_read_passes_and_is_not_compared_with() -> None:
    passes = ChangeFilter(0.02).passes
    assert [passes(given) for given in (picture(1), b"no picture", picture(1))] == [True, True, False]


@pytest.mark.parametrize("share", [0.0, -0.1, 1.01, float("nan")])
def test_shares_that_are_none(share: float) -> None:
    with pytest.raises(UsageError, match="changed must be a share"):
        ChangeFilter(share)
