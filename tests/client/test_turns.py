"""When a client's loop wakes."""

from __future__ import annotations

import time

import pytest

from ondevice.client.turns import TurnTaking


@pytest.mark.parametrize("timeout", [0.0002, 0.0012])
def test_a_wait_is_not_rounded_up_to_whole_milliseconds(timeout: float) -> None:
    """The least of many counts, which is as long where the machine is busy."""
    with TurnTaking() as selector:
        taken = []
        for _ in range(50):
            begun = time.perf_counter()
            assert selector.select(timeout) == []
            taken.append(time.perf_counter() - begun)
    assert timeout <= min(taken) < timeout + 0.0006
