"""Who keeps the processors busy, from readings of the clocks."""

from __future__ import annotations

import pytest

from ondevice import host
from ondevice.host.clocks import Clocks


def test_what_others_keep_busy_is_the_machine_s_less_our_own() -> None:
    share = Clocks(12.0, 3.0, 108.0).since(Clocks(10.0, 1.0, 105.0))
    assert share == (1.0, 0.5)


def test_others_are_never_less_than_idle() -> None:
    # The machine's clock counts in ticks, ours in nanoseconds.
    assert Clocks(11.0, 1.0, 0.99).since(Clocks(10.0, 0.0, 0.0)).others == 0.0


@pytest.mark.parametrize(("before", "after"), [(None, 5.0), (5.0, None), (None, None)])
def test_a_machine_that_does_not_show_it(before: float | None, after: float | None) -> None:
    assert Clocks(11.0, 0.5, after).since(Clocks(10.0, 0.0, before)) == (0.5, None)


def test_this_machine_s_clocks_go_forward() -> None:
    start = Clocks.now(host.current())
    sum(range(1_000_000))
    end = Clocks.now(host.current())
    assert end.wall > start.wall
    assert end.own > start.own
    assert end.since(start).own > 0
