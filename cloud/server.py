"""The endpoint as a process: the port opened, ticks, signals, and a graceful end."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from ondevice import host, words
from ondevice.cloud.app.messages import Application
from ondevice.cloud.app.metrics import Metrics
from ondevice.cloud.app.service import Service
from ondevice.cloud.backends.backend import Backend
from ondevice.cloud.http import handshake
from ondevice.cloud.http.address import ListenAddress
from ondevice.cloud.http.connections import Connections
from ondevice.cloud.http.limits import HttpLimits
from ondevice.errors import ServeError

# Between two looks at the connections, the log, and what the backends do between requests.
_TICK_S = 0.25
# Connections that the kernel holds until they are accepted: a burst of clients, of which each pays a file descriptor.
_BACKLOG = 256


def event_loop(encrypted: bool) -> asyncio.AbstractEventLoop:
    """A new one: uvloop's, with which a small model serves some 1.5 % more, or asyncio's where that is missing.

    Also for encryption: uvloop reads from a new connection before it can be told that TLS is spoken there.
    """
    if encrypted:
        return asyncio.new_event_loop()
    try:
        from uvloop import new_event_loop
    except ImportError:
        return asyncio.new_event_loop()
    return new_event_loop()


@dataclass(frozen=True)
class Server:
    """Serves `service` at `address` until SIGTERM or SIGINT; then it lets what is in flight finish, for `drain_s`.

    app: the service as clients meet it.
    """

    address: ListenAddress
    app: Application
    service: Service
    backends: Sequence[Backend]
    limits: HttpLimits
    drain_s: float
    metrics: Metrics

    async def run(self, listening: Callable[[ListenAddress], None]) -> None:
        """Listen, call `listening` with the address, and serve until told to stop. Raises ServeError."""
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        connections = Connections(self.app, self.limits, self.address.tls)
        self._show(connections)
        server = await self._listen(connections)
        ticking = loop.create_task(self._tick(connections))
        listening(self.address._replace(port=server.sockets[0].getsockname()[1]))
        await stop.wait()
        self.service.stop()
        server.close()
        await connections.drain(self.drain_s)
        ticking.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await ticking
        self.service.flush()

    def _show(self, connections: Connections) -> None:
        """What all clients together take, for Prometheus."""
        show, bodies = self.metrics, connections.bodies
        show.gauge("connections", "Connections, those that were refused too", lambda: len(connections.open))
        show.gauge("unused_connections", "Those of them that were asked nothing yet", lambda: connections.unused)
        show.gauge("bodies_bytes", "What bodies of requests hold", lambda: bodies.held)
        show.gauge("bodies_waiting", "Requests that wait for room for their bodies", lambda: bodies.waiting)
        show.counter("gave_way", "Idle connections closed to make room for others", lambda: connections.gave_way)
        text = "Those of them that were asked nothing before: clients' spares"
        show.counter("unused_gave_way", text, lambda: connections.unused_gave_way)

    async def _listen(self, connections: Connections) -> asyncio.Server:
        try:
            return await asyncio.get_running_loop().create_server(
                lambda: handshake.accepted(connections), self.address.host, self.address.port, backlog=_BACKLOG
            )
        except OSError as error:
            where = f"{self.address.host} port {self.address.port}"
            raise ServeError(f"cannot listen on {where}: {words.reason(error)}") from error

    async def _tick(self, connections: Connections) -> None:
        backends = (backend.tick for backend in self.backends)
        await tick((connections.sweep, partial(_shrink, connections), self.service.flush, *backends))


async def tick(due: Sequence[Callable[[], None]]) -> None:
    """Do all that a few times a second, until cancelled."""
    while True:
        await asyncio.sleep(_TICK_S)
        for work in due:
            _attempt(work)


def _shrink(connections: Connections) -> None:
    """Give memory back to the system that bodies do not need any more."""
    if connections.shrunk():
        host.current().memory.give_back()


def _attempt(work: Callable[[], None]) -> None:
    """Do it; a fault of ours in it is told, and keeps nothing else from being done, now or at the next tick."""
    try:
        work()
    except Exception as error:
        loop = asyncio.get_running_loop()
        loop.call_exception_handler({"message": "what is done between requests failed", "exception": error})
