"""All connections of a server: how many there may be, what they may hold together, their clocks, and the drain."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from enum import Enum, auto
from time import perf_counter
from typing import Protocol

from ondevice.cloud.app.messages import Application
from ondevice.cloud.http.address import Certificate
from ondevice.cloud.http.limits import HttpLimits
from ondevice.resilience.budget import Budget

# So many more than the limit are told that there are too many; whoever comes then is disconnected without a word.
_TOLD = 32
# Whoever connects in order to ask does so within a round trip or two, over bad mobile links too, and is not to be
# closed meanwhile; who has said nothing for longer keeps the connection as a spare.
_SPEAKS_S = 2.0
# Two of the largest bodies. Giving less back to the system would not be worth the milliseconds that it takes.
_SHRUNK_BYTES = 32_000_000


class Activity(Enum):
    """What a connection is at: nothing, and nothing was ever asked on it; nothing, between requests; a request's head
    is arriving; a body is, or one is being answered; it was told no, and is given some time to read that.
    """

    UNUSED = auto()
    QUIET = auto()
    BEGINNING = auto()
    BUSY = auto()
    REFUSED = auto()


# With which nothing would be lost; for which a drain waits.
_IDLE = (Activity.UNUSED, Activity.QUIET, Activity.BEGINNING)
_IN_FLIGHT = (Activity.BEGINNING, Activity.BUSY)


class ServedConnection(Protocol):
    """What is asked of each connection."""

    @property
    def since(self) -> float:
        """When it began what it is at, by perf_counter, in s."""

    @property
    def activity(self) -> Activity:
        """What it is at."""

    def check(self, now: float, crowded: bool) -> None:
        """End it if its time is over."""

    def close(self) -> None:
        """Close it once what was sent has gone out."""

    def abort(self) -> None:
        """Close it at once."""


class Connections:
    """Counts them, lets the idle give way to the new, spares first, ends the slow, and drains. tls: for encryption."""

    def __init__(self, app: Application, limits: HttpLimits, tls: Certificate | None = None) -> None:
        self.app, self.limits, self.tls = app, limits, tls
        self.bodies = Budget(limits.bodies_bytes)
        self.open: set[ServedConnection] = set()
        self.draining = False
        # How many were closed so that others could be opened, and how many of them nothing was ever asked on.
        self.gave_way = self.unused_gave_way = 0
        self._most_held = 0

    def admit(self, newcomer: ServedConnection) -> bool:
        """Count one more; whether it may ask for something. Where all are busy it is to be refused, or is closed."""
        self.open.add(newcomer)
        if len(self.open) <= self.limits.connections:
            return True
        refused = [other for other in self.open if other.activity is Activity.REFUSED]
        served = len(self.open) - len(refused)
        if len(self.open) > self.limits.connections + _TOLD:
            self._close_oldest(refused)
        if served <= self.limits.connections:
            return True
        if self._make_room(newcomer):
            return True
        if len(self.open) > self.limits.connections + _TOLD:
            newcomer.abort()
        return False

    def _make_room(self, newcomer: ServedConnection) -> bool:
        """Close one with which nothing is lost, if there is any: a client's spare before one that it asks on."""
        idle = [other for other in self.open if other.activity in _IDLE and other is not newcomer]
        before = perf_counter() - _SPEAKS_S
        spares = [other for other in idle if other.activity is Activity.UNUSED and other.since < before]
        made = self._close_oldest(spares or idle)
        self.gave_way += made
        self.unused_gave_way += made and bool(spares)
        return made

    def _close_oldest(self, connections: Sequence[ServedConnection]) -> bool:
        """Close the one that has been so for longest; whether there was any."""
        if not connections:
            return False
        oldest = min(connections, key=lambda connection: connection.since)
        self.open.discard(oldest)
        oldest.abort()
        return True

    @property
    def unused(self) -> int:
        """Connections on which nothing was ever asked: spares, and those that are about to."""
        return sum(connection.activity is Activity.UNUSED for connection in self.open)

    @property
    def in_flight(self) -> int:
        """Connections with a request that has begun to arrive, or is being answered."""
        return sum(connection.activity in _IN_FLIGHT for connection in self.open)

    def sweep(self) -> None:
        """End what has taken too long; call it a few times a second."""
        now, crowded = perf_counter(), self.bodies.waiting > 0
        for connection in list(self.open):
            connection.check(now, crowded)

    def shrunk(self) -> bool:
        """Whether bodies take so much less than they did that memory should be given back to the system; once."""
        self._most_held = max(self._most_held, self.bodies.held)
        if self._most_held - self.bodies.held <= _SHRUNK_BYTES:
            return False
        self._most_held = self.bodies.held
        return True

    async def drain(self, seconds: float) -> None:
        """Close what is idle, and let what is in flight finish, but no longer than that."""
        self.draining = True
        end = perf_counter() + seconds
        while perf_counter() < end:
            for connection in list(self.open):
                if connection.activity not in _IN_FLIGHT:
                    connection.close()
            if not self.in_flight:
                break
            await asyncio.sleep(0.02)
        for connection in list(self.open):
            connection.abort()
