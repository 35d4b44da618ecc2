"""A link inside its event loop: the port it listens on, its two channels and its connections."""

from __future__ import annotations

import asyncio
import enum
import itertools
import math
import os
import random
import socket
from collections.abc import Iterable
from dataclasses import dataclass, field

from ondevice.errors import OnDeviceError, UsageError
from ondevice.lab.link.channel import Channel, Way
from ondevice.lab.link.connection import Connection, Side, Terms

HOST = "127.0.0.1"
_BACKLOG = 256
# The event loop's turns within which an accepted connection has its socket.
_TURNS = 10


class State(enum.StrEnum):
    """What a link does.

    outage: nothing passes; what is under way comes after it. refuse: all connections were reset, and new ones are
    refused. hang: all were reset, and new ones are accepted but get no further until the link is up.
    """

    UP = "up"
    OUTAGE = "outage"
    REFUSE = "refuse"
    HANG = "hang"


_DOWN = (State.REFUSE, State.HANG)


@dataclass(frozen=True)
class LinkSpec:
    """A link to a TCP server.

    to: host and port. port: where to listen on 127.0.0.1; 0: any that is free. outages: (start, length) in s since the
    link was opened. handshake: a connection costs a round trip before its first byte, see `Connection`. seed: of the
    jitter and of the toxics' draws. Raises UsageError.
    """

    to: tuple[str, int]
    up: Way = field(default_factory=Way)
    down: Way = field(default_factory=Way)
    port: int = 0
    outages: tuple[tuple[float, float], ...] = ()
    handshake: bool = True
    seed: int = 0

    def __post_init__(self) -> None:
        for port, least in ((self.port, 0), (self.to[1], 1)):
            if not least <= port <= 65535:
                raise UsageError(f"a port is a number from {least} to 65535, not {port}")
        for start, length in self.outages:
            if not (0 <= start < math.inf and 0 < length < math.inf):
                raise UsageError(f"an outage starts at 0 s or later and lasts above 0 s, not {start:g} and {length:g}")


@dataclass(frozen=True)
class Counts:
    """A link's counters since it was opened: bytes that have reached the other end, connections, and those open now."""

    state: State
    connections: int
    open: int
    up_bytes: int
    down_bytes: int


class Relay:
    """Serves one link. Made, and called, in the running event loop. Raises OnDeviceError where it cannot listen."""

    def __init__(self, spec: LinkSpec) -> None:
        self.spec = spec
        self._loop = asyncio.get_running_loop()
        self.opened_s = self._loop.time()
        self._socket = _bound(spec.port)
        self.port: int = self._socket.getsockname()[1]
        self._up = Channel(spec.up, f"{spec.seed} up")
        self._down = Channel(spec.down, f"{spec.seed} down")
        self._random = random.Random(f"{spec.seed} toxics")
        self._state = State.UP
        self._outages = 0  # of the planned ones, those that are now
        self._accepted = 0
        self._connections: set[Connection] = set()
        self._waiting: list[Connection] = []
        self._server: asyncio.Server | None = None
        self._alarms = [alarm for outage in spec.outages for alarm in self._plan(*outage)]

    async def listen(self) -> None:
        """Take connections from now on."""
        try:
            self._server = await self._loop.create_server(self._accept, sock=self._socket, backlog=_BACKLOG)
        except OSError as error:
            self._socket.close()
            raise _unavailable(self.port, error) from error

    def counts(self) -> Counts:
        """The counters."""
        up, down = self._up.delivered_bytes, self._down.delivered_bytes
        return Counts(self.state, self._accepted, len(self._connections), up, down)

    @property
    def state(self) -> State:
        """What the link does now, for a planned outage or for a change."""
        return State.OUTAGE if self._outages and self._state is State.UP else self._state

    async def change(self, spec: LinkSpec, state: State | None) -> None:
        """Go on with other settings, of which the target is for new connections; in another state, if not None."""
        self.spec = spec
        for channel, way in ((self._up, spec.up), (self._down, spec.down)):
            channel.change(way)
        for connection in list(self._connections):
            connection.infect()
        if state and state is not self._state:
            before, self._state = self._state, state
            await self._enter(state, before)

    async def close(self) -> None:
        """End all connections and free the port."""
        for alarm in self._alarms:
            alarm.cancel()
        self._unlisten()
        await self._reset_all()
        self._up.close()
        self._down.close()

    async def _enter(self, state: State, before: State) -> None:
        if state in _DOWN:
            await self._reset_all()
        if state is State.REFUSE:
            self._unlisten()
            # Bound but not listening: the port stays ours, and the kernel refuses who calls.
            self._socket = _bound(self.port)
        elif before is State.REFUSE:
            await self.listen()
        self._hold()
        if state not in _DOWN:
            waiting, self._waiting = self._waiting, []
            _begin(waiting)

    def _accept(self) -> Side:
        self._accepted += 1
        terms = Terms(self._up, self._down, self.spec.to, self.spec.handshake, self._random, self._ended)
        connection = Connection(terms)
        self._connections.add(connection)
        if self._state is State.HANG:
            self._waiting.append(connection)
        else:
            self._loop.call_soon(_begin, [connection])  # when its socket is there
        return connection.client

    def _ended(self, connection: Connection) -> None:
        self._connections.discard(connection)

    async def _reset_all(self) -> None:
        self._waiting.clear()
        # Sockets are closed by the event loop's next turns; one may be accepted meanwhile.
        for turn in itertools.count():
            for connection in list(self._connections):
                connection.reset()
                # asyncio makes no socket's transport when its server is closed just then, and tells nobody.
                if turn > _TURNS and connection.client.transport is None:
                    self._connections.discard(connection)
            if not self._connections:
                break
            await asyncio.sleep(0)
        self._up.clear()
        self._down.clear()

    def _unlisten(self) -> None:
        if self._server:
            self._server.close()
            self._server = None
        self._socket.close()

    def _plan(self, start_s: float, length_s: float) -> list[asyncio.TimerHandle]:
        start = self.opened_s + start_s
        return [self._loop.call_at(start, self._out, 1), self._loop.call_at(start + length_s, self._out, -1)]

    def _out(self, change: int) -> None:
        self._outages += change
        self._hold()

    def _hold(self) -> None:
        held = self.state is State.OUTAGE
        self._up.hold(held)
        self._down.hold(held)


def _begin(connections: Iterable[Connection]) -> None:
    for connection in connections:
        if not connection.closed:
            connection.begin()


def _bound(port: int) -> socket.socket:
    bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.setblocking(False)
        bound.bind((HOST, port))
    except OSError as error:
        bound.close()
        raise _unavailable(port, error) from error
    return bound


def _unavailable(port: int, error: OSError) -> OnDeviceError:
    reason = os.strerror(error.errno).lower() if error.errno else str(error)
    return OnDeviceError(f"cannot listen on {HOST} port {port}: {reason}; choose another port, or 0 for any")
