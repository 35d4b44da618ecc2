"""Everything that leads to an endpoint: connections, what is known of it and of the network, and how it fares."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Coroutine
from time import perf_counter
from typing import Any, NamedTuple

from ondevice.client.connection.address import ServerAddress
from ondevice.client.connection.http import HttpStream
from ondevice.client.connection.idle import ConnectionPool
from ondevice.client.endpoint.description import Aside
from ondevice.client.executors.discovery import EndpointDiscovery
from ondevice.client.executors.health import CloudHealth
from ondevice.client.executors.uploads import Uploads
from ondevice.client.network import NetworkEstimates, OwnAddress
from ondevice.client.upload_choice import UploadMode
from ondevice.errors import FailureKind, UpstreamError
from ondevice.protocol.rung import Rung

# In place of a connection that was given up, another one is opened for the next request; after so long that would not
# be worth waiting for.
_SPARE_S = 2.0
# So many at a time: a device has one or two requests under way, and hundreds that end together must not all knock.
_SPARES = 4


class Location(NamedTuple):
    """Where the endpoint is, its bearer token, and how its certificate is judged, if it has one."""

    address: ServerAddress
    token: str | None = None
    tls: ssl.SSLContext | None = None


class EndpointLink:
    """aside: runs what blocks or computes. upload: what may be sent of a picture. labels: the classes that the
    endpoint's models must have; empty: any.
    """

    def __init__(self, location: Location, aside: Aside, upload: UploadMode | Rung) -> None:
        self._location, self.aside = location, aside
        self.labels: tuple[str, ...] = ()
        self.network, self.health = NetworkEstimates(), CloudHealth()
        self._own_address = OwnAddress()
        self.connections = ConnectionPool(*location, self._opened)
        self.discovery = EndpointDiscovery(self.connections, self.health)
        self.uploads = Uploads(self.network, aside, upload)
        self._under_way: set[asyncio.Task[None]] = set()
        self._sparing = 0

    def begin_anew(self) -> None:
        """Leave the connections to the parent of a fork; what was learned stays."""
        self.connections.abandon()
        self.connections = ConnectionPool(*self._location, self._opened)
        self.discovery.begin_anew(self.connections)
        self.health.breaker.abandoned()
        self._under_way, self._sparing = set(), 0

    def close(self) -> None:
        """Keep no connection any more."""
        self.connections.close()

    def failed(self, error: UpstreamError, sla_ms: float | None = None) -> None:
        """Something has. sla_ms: the deadline of the request that it was."""
        if self.health.failed(error, sla_ms):
            self.connections.drop()

    def succeeded(self) -> None:
        """It has answered; after an outage it may be another one."""
        if self.health.succeeded():
            self.discovery.outdated()

    def spare(self) -> None:
        """Have a connection for the next request, in place of one that was given up."""
        if self.health.breaker.closed and self._sparing < _SPARES:
            self.spawn(self._open_spare())

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Begin it beside what is done now."""
        task = asyncio.get_running_loop().create_task(work)
        self._under_way.add(task)  # the loop itself would forget it
        task.add_done_callback(self._under_way.discard)
        return task

    async def _open_spare(self) -> None:
        self._sparing += 1
        try:
            self.connections.keep(await self.connections.open(perf_counter() + _SPARE_S))
        except UpstreamError as error:
            if error.failure is not FailureKind.LATE:
                self.failed(error)
        finally:
            self._sparing -= 1

    def _opened(self, stream: HttpStream) -> None:
        """A new connection tells what a round trip takes, and whether this is another network: Wi-Fi, or mobile."""
        if self._own_address.changed(stream.family, stream.local):
            self.network.forget()
        self.network.connected(stream.connect_ms)
