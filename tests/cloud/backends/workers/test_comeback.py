"""When a worker is expected back; all times are given."""

from __future__ import annotations

import pytest

from ondevice.cloud.backends.workers.comeback import Comeback


def test_a_worker_is_expected_after_as_long_as_starting_one_took() -> None:
    comeback = Comeback()
    comeback.came(0.5)
    comeback.awaited(100.0)
    assert (comeback.at(100.0), comeback.at(100.4), comeback.at(103.0)) == (100.5, 100.5, 103.0)
    comeback.came(1.5)
    comeback.awaited(200.0)
    assert comeback.at(200.0) == pytest.approx(201.0)  # half of the newest


def test_after_a_start_that_failed_it_is_later_by_the_pause() -> None:
    comeback = Comeback()
    comeback.came(0.5)
    comeback.awaited(100.0)
    comeback.awaited(100.5, pause_s=2.0)
    assert comeback.at(100.5) == 103.0
