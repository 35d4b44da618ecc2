"""The clock by which the selector chooses."""

from __future__ import annotations

import pytest
from clock import Clock
from given_backend import CLOCK

from ondevice.cloud.select import expectations as module


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The selector's, the same at the start of each test: choosing takes no time."""
    monkeypatch.setattr(CLOCK, "now_s", Clock().now_s)
    monkeypatch.setattr(module, "perf_counter", CLOCK)
    return CLOCK
