"""What the link's tests share: open links, and a server to put behind them."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from ondevice.lab.link import HOST, Links

# Only tells a hang: what is waited for takes milliseconds.
PATIENCE_S = 30.0


@pytest.fixture
def links() -> Iterator[Links]:
    with Links() as links:
        yield links


@pytest.fixture
def target() -> Iterator[socket.socket]:
    with socket.create_server((HOST, 0)) as target:
        target.settimeout(PATIENCE_S)
        yield target
