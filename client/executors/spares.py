"""How many connections wait for the next requests, so that giving one up costs the one after it no handshake."""

from __future__ import annotations

import asyncio
import math
from collections import deque
from time import perf_counter

from ondevice.client.connection.http import HttpStream
from ondevice.client.connection.pool import ConnectionPool
from ondevice.client.executors.health import CloudHealth

# Of the last times that opening one took, the longest counts: what one slow one teaches is forgotten after so many.
_KEPT = 8
# What a round trip takes before one is known: that of a mobile link.
_FIRST_MS = 60.0
# Where opening one takes a smaller share of a request's time, as in a local network or with a patient request, the next
# one has lost nothing by waiting for it: there are none, until one is given up.
_NO_LOSS = 0.01
# So many for requests that come one after the other: each is held at the endpoint, whose connections are counted. For
# several at once as many as there are, which may all be given up at one moment, but no more than this: a server of
# others' requests, with dozens of them, is one of an endpoint's clients.
_MOST, _MOST_AT_ONCE = 4, 16
# Each request that was given up lately, for what a spare's life is, asks for one more, up to this: links that stall
# hold up handshakes, too, and where a third of requests are given up by chance eight in a row are one in ten thousand.
# One by one, so that an endpoint that is late is not asked for all of them by each of its clients at once.
_LATELY_S, _MOST_LATELY = 60.0, 8


def wanted(opening_ms: float, lasts_ms: float, in_flight: int, lately: int) -> int:
    """How many must be ready when a request has taken its own.

    opening_ms: what opening one takes. lasts_ms: how soon after a request the next one may want another connection.
    in_flight: how many requests there are at once. lately: how many were given up of late.
    """
    if not lately and opening_ms < _NO_LOSS * lasts_ms:
        return 0
    at_once = min(in_flight, _MOST_AT_ONCE)
    taken = math.ceil(in_flight * opening_ms / lasts_ms)  # while one is opened in the place of the first
    usual = min(max(taken + 1, in_flight), max(_MOST, at_once))  # one more: opening may take longer than of late
    return min(usual + lately, max(_MOST_LATELY, at_once))


class SpareConnections:
    """Keeps so many of the connections open."""

    def __init__(self, connections: ConnectionPool, health: CloudHealth) -> None:
        self._connections, self._health = connections, health
        self._opening_ms: deque[float] = deque(maxlen=_KEPT)
        self._reply_ms: deque[float] = deque(maxlen=_KEPT)
        self._given_up: deque[float] = deque(maxlen=_MOST_LATELY)
        self._sla_ms = self._lasts_ms = math.inf

    def begin_anew(self, connections: ConnectionPool) -> None:
        """Go on with other connections, in the child of a fork."""
        self._connections = connections

    def forget(self) -> None:
        """This is another network."""
        self._opening_ms.clear()
        self._reply_ms.clear()

    def opened(self, opening_ms: float) -> None:
        """Learn from a new connection."""
        self._opening_ms.append(opening_ms)

    def replied(self, network_ms: float) -> None:
        """Learn from a reply: what it took on the way, there and back."""
        self._reply_ms.append(network_ms)

    def expect(self, sla_ms: float, lasts_ms: float) -> None:
        """Requests are like this: their deadline, and after how long they are given up at the soonest; inf: never."""
        self._sla_ms, self._lasts_ms = sla_ms, lasts_ms

    def given_up(self) -> None:
        """A request was, and its connection with it. What comes next may find the others lost, too, as after a change
        of the network, so that a new one is opened in its place at once.
        """
        self._given_up.append(perf_counter())
        self._fill(1)

    async def wait(self, until: float) -> HttpStream:
        """A connection, where none is ready, by `until` on perf_counter's clock; the others are opened beside it.

        Raises UpstreamError.
        """
        asyncio.get_running_loop().call_soon(self.fill)  # when this one has been begun
        return await self._connections.wait(until)

    def fill(self) -> None:
        """Open what is missing; to be called when a request has gone out, for it would be in its way before."""
        self._fill(0)

    def _fill(self, more: int) -> None:
        health = self._health
        self._connections.settling_s = self._longest_ms / 1e3
        if health.breaker.closed and not health.held_ms(self._sla_ms) and (count := self._wanted):
            self._connections.fill(count + more)

    @property
    def _wanted(self) -> int:
        since = perf_counter() - _LATELY_S
        lately = sum(at > since for at in self._given_up)
        return wanted(self._longest_ms, self._lasts_ms, max(self._connections.in_use, 1), lately)

    @property
    def _longest_ms(self) -> float:
        """What opening one may take. Behind a proxy it takes a round trip though it seems to take no time, and the
        quickest reply of late was hardly longer.
        """
        return max([min(self._reply_ms, default=_FIRST_MS), *self._opening_ms])
