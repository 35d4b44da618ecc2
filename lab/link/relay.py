"""A link inside its event loop: the port it listens on, its two channels and its connections."""

from __future__ import annotations

import asyncio
import enum
import math
import random
import socket
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from ondevice.errors import UsageError
from ondevice.lab.link.channel import LinkChannel
from ondevice.lab.link.connection import LinkConnection, LinkContext
from ondevice.lab.link.direction import Direction
from ondevice.lab.link.listener import Listener


class LinkState(enum.StrEnum):
    """What a link does.

    outage: nothing passes; what is under way comes after it. refuse: all connections were reset, and new ones are
    refused. hang: all were reset, and new ones are accepted but get no further until the link is up.
    """

    UP = "up"
    OUTAGE = "outage"
    REFUSE = "refuse"
    HANG = "hang"


_DOWN = (LinkState.REFUSE, LinkState.HANG)


@dataclass(frozen=True)
class LinkSpec:
    """A link to a TCP server.

    to: host and port. port: where to listen on 127.0.0.1; 0: any that is free. outages: (start, length) in s since the
    link was opened. handshake: a connection costs a round trip before its first byte, see `LinkConnection`. seed: of
    the jitter and of the toxics' draws. Raises UsageError.
    """

    to: tuple[str, int]
    up: Direction = field(default_factory=Direction)
    down: Direction = field(default_factory=Direction)
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

    state: LinkState
    connections: int
    open: int
    up_bytes: int
    down_bytes: int


class PlannedOutages:
    """Outages (start, length) in s since opened_s, on the running event loop's clock; they may overlap.

    changed: called when one begins or ends.
    """

    def __init__(self, outages: Sequence[tuple[float, float]], opened_s: float, changed: Callable[[], None]) -> None:
        loop = asyncio.get_running_loop()
        self._changed = changed
        self._under_way = 0
        self._alarms = [
            loop.call_at(opened_s + at_s, self._count, change)
            for start_s, length_s in outages
            for at_s, change in ((start_s, 1), (start_s + length_s, -1))
        ]

    def __bool__(self) -> bool:
        """Whether there is an outage now."""
        return self._under_way > 0

    def cancel(self) -> None:
        """Let no more outages begin or end."""
        for alarm in self._alarms:
            alarm.cancel()

    def _count(self, change: int) -> None:
        self._under_way += change
        self._changed()


class Relay:
    """Serves one link. Made, and called, in the running event loop. Raises OnDeviceError where it cannot listen."""

    def __init__(self, spec: LinkSpec) -> None:
        self.spec = spec
        self._loop = asyncio.get_running_loop()
        self.opened_s = self._loop.time()
        self._listener = Listener(spec.port)
        self.port = self._listener.port
        self._up = LinkChannel(spec.up, f"{spec.seed} up")
        self._down = LinkChannel(spec.down, f"{spec.seed} down")
        self._draws = random.Random(f"{spec.seed} toxics")
        self._state = LinkState.UP
        self._outages = PlannedOutages(spec.outages, self.opened_s, self._pause_or_resume)
        self._accepted = 0
        self._connections: set[LinkConnection] = set()
        self._waiting: list[LinkConnection] = []
        self._opening: set[asyncio.Task[None]] = set()

    def listen(self) -> None:
        """Take connections from now on."""
        self._listener.listen(self._accept)

    def counts(self) -> Counts:
        """The link's counters."""
        up, down = self._up.delivered_bytes, self._down.delivered_bytes
        return Counts(self.state, self._accepted, len(self._connections), up, down)

    @property
    def state(self) -> LinkState:
        """What the link does now, for a planned outage or for a change."""
        return LinkState.OUTAGE if self._outages and self._state is LinkState.UP else self._state

    async def change(self, spec: LinkSpec, state: LinkState | None) -> None:
        """Go on with other settings, of which the target is for new connections; in another state, if not None."""
        self.spec = spec
        self._up.change(spec.up)
        self._down.change(spec.down)
        for connection in list(self._connections):
            connection.update_toxics()
        if state and state is not self._state:
            before, self._state = self._state, state
            await self._enter(state, before)

    async def close(self) -> None:
        """End all connections and free the port."""
        self._outages.cancel()
        self._listener.close()
        await self._reset_all()
        self._up.close()
        self._down.close()

    async def _enter(self, state: LinkState, before: LinkState) -> None:
        if state in _DOWN:
            await self._reset_all()
        if state is LinkState.REFUSE:
            self._listener.refuse()
        elif before is LinkState.REFUSE:
            self.listen()
        self._pause_or_resume()
        if state not in _DOWN:
            waiting, self._waiting = self._waiting, []
            _begin(waiting)

    def _accept(self, accepted: socket.socket) -> None:
        self._accepted += 1
        link = LinkContext(
            self._up, self._down, self.spec.to, self.spec.handshake, self._draws, self._connections.discard
        )
        connection = LinkConnection(link)
        self._connections.add(connection)
        opening = self._loop.create_task(self._open(connection, accepted))
        self._opening.add(opening)
        opening.add_done_callback(self._opening.discard)

    async def _open(self, connection: LinkConnection, accepted: socket.socket) -> None:
        await self._loop.connect_accepted_socket(lambda: connection.client, accepted)
        if self._state is LinkState.HANG:
            self._waiting.append(connection)
        else:
            _begin([connection])

    async def _reset_all(self) -> None:
        self._waiting.clear()
        # Sockets are made and closed by the event loop's next turns.
        while self._connections:
            for connection in list(self._connections):
                connection.reset()
            await asyncio.sleep(0)
        self._up.clear()
        self._down.clear()

    def _pause_or_resume(self) -> None:
        paused = self.state is LinkState.OUTAGE
        self._up.set_paused(paused)
        self._down.set_paused(paused)


def _begin(connections: Iterable[LinkConnection]) -> None:
    for connection in connections:
        if not connection.closed:
            connection.begin()
