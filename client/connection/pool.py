"""Connections to one endpoint that are kept between requests, so that the next one pays no round trip."""

from __future__ import annotations

import contextlib
import ssl
from collections import deque
from time import perf_counter

from ondevice.client.connection.address import ServerAddress
from ondevice.client.connection.connection import HttpConnection
from ondevice.client.network import NetworkEstimates

# A connection that was idle for so long may have been forgotten on its way: mobile networks' and routers' tables drop
# idle TCP connections silently, the hasty ones after a minute or two.
_IDLE_S = 60.0


class IdleConnections:
    """Open connections that wait for a request. May be used by several threads.

    network: is told of each new connection's round trip, and to forget when this device's own address is another one.
    """

    def __init__(
        self, address: ServerAddress, token: str | None, tls: ssl.SSLContext | None, network: NetworkEstimates
    ) -> None:
        self._address, self._token, self._tls, self._network = address, token, tls, network
        self._idle: deque[tuple[HttpConnection, float]] = deque()
        self._own_address = ""
        self._closed = False

    def take(self) -> HttpConnection | None:
        """The one that was used last and is still open; None if there is none."""
        with contextlib.suppress(IndexError):  # there is none, or no longer: other threads take too
            while True:
                connection, since = self._idle.pop()
                if perf_counter() - since < _IDLE_S and connection.usable:
                    return connection
                connection.close()
        return None

    def open(self, until: float) -> HttpConnection:
        """A new one, by `until` on perf_counter's clock. Raises UpstreamError."""
        connection = HttpConnection(self._address, self._token, self._tls, until)
        if self._own_address and connection.local != self._own_address:
            self._network.forget()  # Wi-Fi instead of mobile, or the other way
        self._own_address = connection.local
        self._network.connected(connection.connect_ms)
        return connection

    def keep(self, connection: HttpConnection) -> None:
        """Keep it for the next request, or close it if it cannot take one."""
        if connection.usable:
            self._idle.append((connection, perf_counter()))
        else:
            connection.close()
        if self._closed:
            self.drop()

    def drop(self) -> None:
        """Close all that wait: the endpoint failed."""
        with contextlib.suppress(IndexError):
            while True:
                self._idle.pop()[0].close()

    def close(self) -> None:
        """Close all that wait, and whatever is handed back from now on."""
        self._closed = True
        self.drop()
