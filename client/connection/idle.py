"""Connections to one endpoint that are kept between requests, so that the next one pays no round trip."""

from __future__ import annotations

import ssl
import weakref
from collections import deque
from collections.abc import Callable
from time import perf_counter

from ondevice.client.connection.address import ServerAddress
from ondevice.client.connection.http import HttpStream

# A connection that was idle for so long may have been forgotten on its way: mobile networks' and routers' tables drop
# idle TCP connections silently, the hasty ones after a minute or two.
_IDLE_S = 60.0
# A phone has one or two requests under way, a web back end some dozens; what a burst of more has opened is not held at
# the endpoint, whose connections are counted, for a minute.
_MOST_IDLE = 32


class ConnectionPool:
    """Open connections that wait for a request. To be used in one event loop.

    opened: is told of each new connection.
    """

    def __init__(
        self,
        address: ServerAddress,
        token: str | None,
        tls: ssl.SSLContext | None,
        opened: Callable[[HttpStream], None],
    ) -> None:
        self._address, self._token, self._tls, self._opened = address, token, tls, opened
        self._idle: deque[tuple[HttpStream, float]] = deque()
        self._every: weakref.WeakSet[HttpStream] = weakref.WeakSet()
        self._closed = False

    def take(self) -> HttpStream | None:
        """The one that was used last and is still open; None if there is none."""
        self._close_old()
        while self._idle:
            stream, _ = self._idle.pop()
            if stream.usable:
                return stream
        return None

    async def open(self, until: float) -> HttpStream:
        """A new one, by `until` on perf_counter's clock. Raises UpstreamError."""
        stream = await HttpStream.open(self._address, self._token, self._tls, until)
        self._every.add(stream)
        self._opened(stream)
        return stream

    def keep(self, stream: HttpStream) -> None:
        """Keep it for the next request, or close it if it cannot take one."""
        if self._closed or not stream.usable:
            stream.close()
            return
        self._idle.append((stream, perf_counter()))
        if len(self._idle) > _MOST_IDLE:
            self._idle.popleft()[0].close()
        self._close_old()

    def drop(self) -> None:
        """Close all that wait: the endpoint failed."""
        while self._idle:
            self._idle.pop()[0].close()

    def close(self) -> None:
        """Close all that wait, and whatever is handed back from now on."""
        self._closed = True
        self.drop()

    def abandon(self) -> None:
        """In the child of a fork: leave all connections, those with a request too, to the parent, and begin anew."""
        for stream in list(self._every):
            stream.abandon()
        self._idle.clear()

    def _close_old(self) -> None:
        while self._idle and perf_counter() - self._idle[0][1] >= _IDLE_S:
            self._idle.popleft()[0].close()
