"""The TLS handshake of a connection that has been accepted already, so that it is counted while it lasts."""

from __future__ import annotations

import asyncio
import ssl
from time import perf_counter
from typing import Any

from ondevice.cloud.http.connection import Connection
from ondevice.cloud.http.connections import Activity, Connections

# To agree on encryption, which takes two round trips.
_HANDSHAKE_S = 10.0


def accepted(connections: Connections) -> asyncio.Protocol:
    """What a new connection has to do with first."""
    return Handshake(connections, connections.tls.context) if connections.tls else Connection(connections)


class Handshake(asyncio.Protocol):
    """A connection until it is encrypted; then a `Connection` takes its place."""

    activity = Activity.UNUSED

    def __init__(self, connections: Connections, tls: ssl.SSLContext) -> None:
        self._connections, self._tls = connections, tls
        self._transport: Any = None
        self._task: asyncio.Task[None] | None = None
        self._received = b""
        self.since = perf_counter()

    def connection_made(self, transport: Any) -> None:
        """Count it, and shake hands even if there are too many: one is told so in the end, and encrypted."""
        self._transport = transport
        self._connections.admit(self)
        if not transport.is_closing():
            transport.pause_reading()
            self._task = asyncio.get_running_loop().create_task(self._secure())

    def connection_lost(self, exc: Exception | None) -> None:
        """The client is gone."""
        self._connections.open.discard(self)
        if self._task:
            self._task.cancel()

    def data_received(self, data: bytes) -> None:
        """Keep what comes with the end of the handshake."""
        self._received += data

    async def _secure(self) -> None:
        secured = await self._secured()
        self._connections.open.discard(self)
        if secured is None:
            self._transport.abort()
            return
        connection = Connection(self._connections)
        secured.set_protocol(connection)
        connection.connection_made(secured)
        if self._received:
            connection.data_received(self._received)

    async def _secured(self) -> Any:
        """The encrypted transport; None where the client speaks no TLS, takes too long, or has gone."""
        loop, wait_s = asyncio.get_running_loop(), _HANDSHAKE_S
        try:
            # None by itself, where the client has gone: so does asyncio of Python 3.11.2.
            return await loop.start_tls(
                self._transport, self, self._tls, server_side=True, ssl_handshake_timeout=wait_s
            )
        except (OSError, EOFError):
            return None

    def check(self, now: float, crowded: bool) -> None:
        """Nothing to do: the handshake has a clock of its own."""

    def close(self) -> None:
        """Close it at once: nothing was said yet."""
        self.abort()

    def abort(self) -> None:
        """Close it at once."""
        if self._task:
            self._task.cancel()
        self._transport.abort()
