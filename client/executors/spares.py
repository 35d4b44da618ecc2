"""How many connections wait for the next requests, so that giving one up costs the one after it no handshake."""

from __future__ import annotations

import math
from collections import deque
from time import perf_counter

from ondevice.client.connection.idle import ConnectionPool
from ondevice.client.executors.health import CloudHealth

# Of the last times that opening one took, the longest counts: what one slow one teaches is forgotten after so many.
_KEPT = 8
# An opening may take longer than any of late; so does this share of the time after which requests are given up.
_LONGER = 0.5
# So many for requests that come one after the other: each is held at the endpoint, whose connections are counted. For
# several at once as many as there are, which may all be given up at one moment, but no more than this: a server of
# others' requests, with dozens of them, is one of an endpoint's clients.
_MOST, _MOST_AT_ONCE = 4, 16
# Requests that were given up lately, for what a spare's life is, each ask for one more: links that stall hold up
# handshakes, too. One by one, so that an endpoint that is late is not asked for four by each of its clients at once.
_LATELY_S = 60.0


def wanted(opening_ms: float, lasts_ms: float, in_flight: int, lately: int) -> int:
    """How many must be ready when a request has taken its own.

    opening_ms: what opening one takes. lasts_ms: how soon after a request the next one may want another connection.
    in_flight: how many requests there are at once. lately: how many were given up of late.
    """
    taken = in_flight * opening_ms / lasts_ms  # while one is opened in the place of the first
    most = max(_MOST, min(in_flight, _MOST_AT_ONCE))
    return min(max(math.ceil(taken + _LONGER), in_flight) + lately, most)


class SpareConnections:
    """Keeps so many of the connections open. Where requests are never given up there are none, until one is."""

    def __init__(self, connections: ConnectionPool, health: CloudHealth) -> None:
        self._connections, self._health = connections, health
        self._opening_ms: deque[float] = deque(maxlen=_KEPT)
        self._given_up: deque[float] = deque(maxlen=_MOST)
        self._sla_ms = self._lasts_ms = math.inf

    def begin_anew(self, connections: ConnectionPool) -> None:
        """Go on with other connections, in the child of a fork."""
        self._connections = connections

    def forget(self) -> None:
        """This is another network."""
        self._opening_ms.clear()

    def opened(self, opening_ms: float) -> None:
        """Learn from a new connection."""
        self._opening_ms.append(opening_ms)

    def expect(self, sla_ms: float, lasts_ms: float) -> None:
        """Requests are like this: their deadline, and after how long they are given up at the soonest; inf: never."""
        self._sla_ms, self._lasts_ms = sla_ms, lasts_ms

    def given_up(self) -> None:
        """A request was, and its connection with it. What comes next may find the others lost, too, as after a change
        of the network, so that a new one is opened in its place at once.
        """
        self._given_up.append(perf_counter())
        self._fill(1)

    def fill(self) -> None:
        """Open what is missing; to be called when a request has gone out, for it would be in its way before."""
        self._fill(0)

    def _fill(self, more: int) -> None:
        health = self._health
        if health.breaker.closed and not health.held_ms(self._sla_ms) and (count := self._wanted):
            self._connections.fill(count + more)

    @property
    def _wanted(self) -> int:
        if math.isinf(self._lasts_ms) and not self._given_up:
            return 0
        since = perf_counter() - _LATELY_S
        lately = sum(at > since for at in self._given_up)
        return wanted(max(self._opening_ms, default=0.0), self._lasts_ms, max(self._connections.in_use, 1), lately)
