"""HTTP/1.1 on asyncio: one connection, told by its transport what happens to it.

No server framework tells when a request's first byte came, from which its deadline runs.
"""

from __future__ import annotations

import asyncio
from typing import Any

from ondevice.cloud.http.connections import Connections
from ondevice.cloud.http.dialogue import Dialogue

_CROWDED = "too many connections; try again later"


class Connection(asyncio.Protocol):
    """One client's transport, and the dialogue on it."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections
        self._dialogue: Dialogue

    def connection_made(self, transport: Any) -> None:
        """Take it in, or refuse it if there are too many."""
        self._dialogue = Dialogue(self._connections, transport)
        if not self._connections.admit(self._dialogue) and not transport.is_closing():
            self._dialogue.refuse(503, _CROWDED)

    def connection_lost(self, exc: Exception | None) -> None:
        """The client is gone: what it asked for is no longer wanted."""
        self._connections.open.discard(self._dialogue)
        self._dialogue.lost()

    def data_received(self, data: bytes) -> None:
        """Some bytes of one request or several."""
        self._dialogue.inbox.receive(data)

    def pause_writing(self) -> None:
        """The client does not read its replies."""
        self._dialogue.sender.pause()

    def resume_writing(self) -> None:
        """It reads again."""
        self._dialogue.sender.resume()
