"""Finding out what an endpoint is, and keeping what is known of it fresh, besides the requests."""

from __future__ import annotations

import asyncio
import logging
import math
from time import perf_counter

from ondevice.client.connection.messages import HttpReply, HttpRequest
from ondevice.client.connection.pool import ConnectionPool
from ondevice.client.endpoint.cnnselect import CnnSelectEndpoint
from ondevice.client.endpoint.description import EndpointDescription
from ondevice.client.endpoint.generic import GenericEndpoint
from ondevice.client.executors.health import CloudHealth
from ondevice.client.executors.spares import SpareConnections
from ondevice.errors import FailureKind, UpstreamError

_log = logging.getLogger("ondevice.client")

# Models' times are asked for again so often: replies tell of those in use, so only the others grow old meanwhile.
_REFRESH_S = 60.0
# Asking for metadata may take so long, as a slow mobile network does; a probe, which keeps requests waiting for its
# result, no longer than a request would be worth waiting for.
_METADATA_S, _PROBE_S = 5.0, 2.0
# At its end what asks knows best what was waited for.
_LAST_WORD_S = 0.01


class EndpointDiscovery:
    """endpoint: what is known of it; None until it has told."""

    def __init__(self, connections: ConnectionPool, spares: SpareConnections, health: CloudHealth) -> None:
        self._connections, self._spares, self._health = connections, spares, health
        self.endpoint: EndpointDescription | None = None
        self._asked_at = -_REFRESH_S
        self._asking: asyncio.Task[None] | None = None

    def begin_anew(self, connections: ConnectionPool) -> None:
        """Go on with other connections: in the child of a fork nothing is under way."""
        self._connections, self._asking = connections, None

    def outdated(self) -> None:
        """It may be another one now: ask as soon as may be."""
        self._asked_at = -_REFRESH_S

    def maintain(self) -> None:
        """Begin what is due, unless the endpoint wants nobody now: a probe, or asking for the models again."""
        now = perf_counter()
        if self._health.held_ms(math.inf):
            return
        if self._health.breaker.probe(now):
            self._begin(_PROBE_S)
        elif self._health.breaker.closed and now - self._asked_at > (_REFRESH_S if self.endpoint else _METADATA_S):
            self._begin(_METADATA_S)

    def probe(self) -> None:
        """Ask for the models though it is not due: to see how it is."""
        self._begin(_PROBE_S)

    async def known(self, until: float) -> EndpointDescription:
        """What is known of it, waiting for it where nothing is, until then. Raises UpstreamError."""
        if self.endpoint is None:
            asking = self._begin(_METADATA_S)  # which goes on for the next request, where this one has less time
            await asyncio.wait([asking], timeout=max(until - perf_counter(), 0.0) + _LAST_WORD_S)
        if self.endpoint is None:
            raise self._health.problem or UpstreamError("it has not told of its models in time", FailureKind.LATE)
        return self.endpoint

    async def ready(self, timeout_s: float) -> bool:
        """Wait for it so long at most; whether it is there, and nothing is wrong."""
        try:
            await self.known(perf_counter() + timeout_s)
        except UpstreamError as error:
            self._health.problem = self._health.problem or error
        return self._health.problem is None

    def _begin(self, timeout_s: float) -> asyncio.Task[None]:
        """Ask, unless that is under way."""
        if self._asking is None or self._asking.done():
            self._asking = asyncio.get_running_loop().create_task(self._ask_for_models(timeout_s))
        return self._asking

    async def _ask_for_models(self, timeout_s: float) -> None:
        self._asked_at = perf_counter()
        try:
            self.endpoint = await self._found(perf_counter() + timeout_s)
        except UpstreamError as error:
            self._failed(error)
        except Exception as error:  # a probe that never ends would be the last
            _log.exception("asking the endpoint for its models failed")
            self._failed(UpstreamError(f"{type(error).__name__}: {error}", FailureKind.WRONG))
        else:
            if self._health.succeeded():
                self.outdated()

    def _failed(self, error: UpstreamError) -> None:
        if self._health.failed(error):
            self._connections.drop()

    async def _found(self, until: float) -> EndpointDescription:
        async def ask(request: HttpRequest) -> HttpReply:
            connection = self._connections.take() or await self._spares.wait(until)
            try:
                return await connection.ask(request, until)
            finally:
                self._connections.keep(connection)

        if chooser := await CnnSelectEndpoint.discover(ask):
            return chooser
        if isinstance(self.endpoint, GenericEndpoint):  # it goes on learning
            return self.endpoint
        return await GenericEndpoint.discover(ask)
