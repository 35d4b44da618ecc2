"""The table: a row holds what was learned of one model, and each change is counted."""

from __future__ import annotations

import pytest

from ondevice.timing.distribution import Distribution
from ondevice.timing.table import LatencyTable


def test_a_row_is_written_and_the_others_stay() -> None:
    table = LatencyTable(3)
    table.write(1, Distribution.of([1.0, 2.0, 6.0]))
    assert table.version == 1
    assert table.mean_ms.tolist() == [0, 3, 0]
    assert table.std_ms[1] ** 2 == pytest.approx(7)
    assert table.quantiles_ms[1, [0, 10, 20]].tolist() == [1, 2, 6]
    assert not table.quantiles_ms[[0, 2]].any()


def test_what_was_read_before_stays() -> None:
    """Rows are copied out by index, so that a choice sees one state of all."""
    table = LatencyTable(1)
    before = table.quantiles_ms[[0]]
    table.write(0, Distribution.of([5.0]))
    assert not before.any()
    assert table.version == 1
