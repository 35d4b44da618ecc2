"""Everything that leads to an endpoint: connections, what is known of it and of the network, and how it fares."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Coroutine
from typing import Any, NamedTuple

from ondevice.client.connection.address import ServerAddress
from ondevice.client.connection.http import HttpStream
from ondevice.client.connection.pool import ConnectionPool
from ondevice.client.endpoint.description import Aside
from ondevice.client.executors.discovery import EndpointDiscovery
from ondevice.client.executors.health import CloudHealth
from ondevice.client.executors.spares import SpareConnections
from ondevice.client.executors.uploads import Uploads
from ondevice.client.network import NetworkEstimates, OwnAddress
from ondevice.client.upload_choice import UploadMode
from ondevice.errors import FailureKind, UpstreamError
from ondevice.protocol.rung import Rung

# Of what was opened ahead these failures say nothing of the endpoint: a slow link, and one that wants no more of it.
_SPARE_FAILURES = (FailureKind.LATE, FailureKind.CUT)


class Location(NamedTuple):
    """Where the endpoint is, its bearer token, and how its certificate is judged, if it has one."""

    address: ServerAddress
    token: str | None = None
    tls: ssl.SSLContext | None = None


class EndpointLink:
    """aside: runs what blocks or computes. upload: what may be sent of a picture. labels: the classes that the
    endpoint's models must have; empty: any. waited: how many requests have found no connection ready.
    """

    def __init__(self, location: Location, aside: Aside, upload: UploadMode | Rung) -> None:
        self._location, self.aside = location, aside
        self.labels: tuple[str, ...] = ()
        self.waited = 0
        self.network, self.health = NetworkEstimates(), CloudHealth()
        self._own_address = OwnAddress()
        self.connections = self._pool()
        self.spares = SpareConnections(self.connections, self.health)
        self.discovery = EndpointDiscovery(self.connections, self.spares, self.health)
        self.uploads = Uploads(self.network, aside, upload)
        self._under_way: set[asyncio.Task[None]] = set()

    def begin_anew(self) -> None:
        """Leave the connections to the parent of a fork; what was learned stays."""
        self.connections.abandon()
        self.connections = self._pool()
        self.spares.begin_anew(self.connections)
        self.discovery.begin_anew(self.connections)
        self.health.breaker.abandoned()
        self._under_way = set()

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

    def network_changed(self) -> None:
        """What was learned of the last network does not hold in this one, and its connections lead nowhere."""
        self.connections.drop()
        self._forget()

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Begin it beside what is done now."""
        task = asyncio.get_running_loop().create_task(work)
        self._under_way.add(task)  # the loop itself would forget it
        task.add_done_callback(self._under_way.discard)
        return task

    def _pool(self) -> ConnectionPool:
        return ConnectionPool(*self._location, self._opened, self._not_opened)

    def _not_opened(self, error: UpstreamError) -> None:
        if self.health.breaker.closed and error.failure not in _SPARE_FAILURES:
            self.failed(error)

    def _opened(self, stream: HttpStream) -> None:
        """A new connection tells what a round trip takes, and whether this is another network: Wi-Fi, or mobile."""
        if self._own_address.changed(stream.family, stream.local):
            self.connections.leave(stream.family, stream.local)
            self._forget()
        self.network.connected(stream.connect_ms)
        self.spares.opened(stream.opening_ms)

    def _forget(self) -> None:
        self.network.forget()
        self.spares.forget()
