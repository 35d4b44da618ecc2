"""Throttling in words."""

from __future__ import annotations

from ondevice.host.sensors import Throttling


def test_throttling_in_words() -> None:
    assert str(Throttling((), ())) == "none"
    assert str(Throttling(("throttled",), ("under-voltage",))) == "throttled now, under-voltage since boot"
