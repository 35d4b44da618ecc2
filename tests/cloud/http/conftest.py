"""The clock that tests of connections give."""

from __future__ import annotations

import pytest

pytest.importorskip("httptools", reason="needs the extra: pip install 'ondevice-cnn[serve]'")

from clock import Clock

from ondevice.cloud.http import connections, inbox, reception, replies, sender


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The server's."""
    given = Clock()
    for module in (connections, inbox, reception, replies, sender):
        monkeypatch.setattr(module, "perf_counter", given)
    return given
