"""What the bundled cards say of pictures that are sent, and how that is measured."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ondevice.models import zoo
from ondevice.models.card import Card
from ondevice.protocol.rung import Rung
from training import family

CARDS = {path.stem: Card.read(path) for path in sorted(zoo.samples_dir().parent.glob("*.toml"))}


def test_networks_that_are_served_together_are_measured_at_the_same_rungs() -> None:
    for network in family.FAMILY:
        assert Rung(network.side, 90) in family.sent()


@pytest.mark.parametrize("name", CARDS)
def test_every_bundled_card_has_its_ladder(name: str) -> None:
    known = CARDS[name].uploads
    assert known is not None
    assert {*known.kept} == {*family.sent()}
    assert known.n == family.SENT_PICTURES
    # The drawings are the first of those that the accuracy rests on.
    assert CARDS[name].accuracy is not None
    assert known.whole == pytest.approx(CARDS[name].accuracy.top1, abs=0.02)
    assert list(known.bytes) == sorted(known.bytes)


def test_a_ladder_is_measured_and_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = sorted(zoo.samples_dir().glob("*/0[0-2].png"))
    pictures = np.stack([np.asarray(Image.open(path)) for path in paths])
    labels = np.array([int(path.parent.name) for path in paths])
    monkeypatch.setattr(family, "drawings", lambda seed, stream, count: (pictures, labels))
    for suffix in (".toml", ".tflite"):
        shutil.copy(zoo.find("digits_xs_int8").path.with_suffix(suffix), tmp_path)
    card = family.write_uploads(tmp_path / "digits_xs_int8.tflite", 0)
    assert card == Card.read(tmp_path / "digits_xs_int8.toml")
    assert card.uploads is not None
    assert (card.uploads.n, card.uploads.data[:31]) == (30, "the first 30 of the 30 drawings")
    assert {*card.uploads.kept} == {*family.sent()}
    assert card.uploads.kept[Rung(24, 40)] < card.uploads.kept[Rung(128, 90)]
