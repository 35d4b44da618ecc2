"""What may be sent of simulated pictures, and how their sizes vary."""

from __future__ import annotations

import numpy as np
import pytest

from ondevice.errors import UsageError
from ondevice.lab.simulate.upload_table import PictureSettings, UploadFacts, UploadTable, sides_of
from ondevice.protocol.rung import Rung
from ondevice.selection.ladder import ladder, usual_kept

SIDES = {"small": 128, "large": 224}
LADDER = ladder(SIDES, {}, {}, 0.875)


def table(*more: Rung) -> UploadTable:
    return UploadTable.of(UploadFacts(SIDES), PictureSettings(file_bytes=80_000, making_ms=5.0), more)


def test_the_ladder_then_what_was_asked_for_then_the_whole_picture() -> None:
    made = table(Rung(100, 50), LADDER.rungs[2])
    own = [rung.text for rung in (Rung(128, 90), Rung(224, 90)) if rung not in LADDER.rungs]
    assert made.names == (*(rung.text for rung in LADDER.rungs), "100,50", *own, "scaled", "file")
    assert made.ladder.rungs == LADDER.rungs
    assert made.rungs[-2:] == (Rung(256, 90), None)
    assert made.kept.shape == (len(made), 2)
    assert made.kept[-1].tolist() == [1, 1]
    assert (made.kept[-2] < 1).all()
    assert 0.5 < made.kept[made.row("100,50"), 1] < made.kept[made.row("100,50"), 0] < 1
    assert made.size_bytes[-1] == 80_000
    assert 17_000 < made.size_bytes[-2] < 24_000
    assert made.making_ms.tolist() == [5.0] * (len(made) - 1) + [0.0]


def test_what_was_measured_counts_for_what_it_was_measured() -> None:
    rung, facts = Rung(100, 50), UploadFacts(SIDES, {"large": {Rung(100, 50): 0.8}}, {Rung(100, 50): 1234.0})
    made = UploadTable.of(facts, PictureSettings(), [rung])
    row = made.row("100,50")
    assert made.kept[row, 1] == 0.8
    assert made.kept[row, 0] == pytest.approx(usual_kept(rung, 128))
    assert made.size_bytes[row] == 1234


def test_sizes_vary_together_about_their_means() -> None:
    made, rng = table(), np.random.default_rng(3)
    drawn = made.draw(20_000, rng)
    assert drawn.shape == (20_000, len(made))
    assert (drawn == np.round(drawn)).all()
    assert drawn.min() >= 1
    assert drawn.mean(axis=0) == pytest.approx(made.size_bytes, rel=0.03)
    jpegs = [row for row, rung in enumerate(made.rungs) if rung and "webp" not in rung.text]
    logs = np.log(drawn)
    assert np.corrcoef(logs[:, jpegs].T).min() > 0.999
    assert abs(np.corrcoef(logs[:, jpegs[0]], logs[:, -1])[0, 1]) < 0.05
    assert logs[:, jpegs[0]].std() == pytest.approx(0.27, abs=0.01)


def test_what_is_not_known_is_asked_for() -> None:
    with pytest.raises(UsageError, match=r"no upload 'scald'; did you mean scaled\?"):
        table().row("scald")
    with pytest.raises(UsageError, match="the input side of medium is not known; give a column `side`"):
        sides_of(["small", "medium"], SIDES)
