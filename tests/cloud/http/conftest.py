"""The clock that tests of connections give."""

from __future__ import annotations

import pytest

pytest.importorskip("httptools", reason="needs the extra: pip install 'ondevice-cnn[serve]'")

from clock import Clock

from ondevice.cloud.http import connection, connections


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The server's."""
    given = Clock()
    for module in (connection, connections):
        monkeypatch.setattr(module, "perf_counter", given)
    return given
