"""Connections that wait for a request, so that the next one pays no round trip."""

from __future__ import annotations

import asyncio
from collections import deque
from time import perf_counter
from typing import NamedTuple

from ondevice.client.connection.http import HttpStream
from ondevice.resilience.backoff import Backoff

# A connection that was idle for so long may have been forgotten on its way: mobile networks' and routers' tables drop
# idle TCP connections silently, the hasty ones after a minute or two.
IDLE_S = 60.0
# From then on it does not count as ready, so that with requests every some seconds another one is there before it is
# closed.
_FRESH_S = 45.0
# A phone has one or two requests under way, a web back end some dozens; what a burst of more has opened is not held at
# the endpoint, whose connections are counted, for a minute.
_MOST_IDLE = 32
# Servers that close what is idle do so after 5 s at the soonest (uvicorn, Node.js, Apache). One that closes what was
# never used sooner wants none of it, as an endpoint that is short of connections.
WANTED_S = 5.0


class _Idle(NamedTuple):
    """A connection that waits for a request, and since when."""

    stream: HttpStream
    since: float


class IdleConnections:
    """The oldest first; to be used in one event loop. unwanted: fails when a server closes what was never used."""

    def __init__(self, unwanted: Backoff) -> None:
        self._unwanted = unwanted
        self._idle: deque[_Idle] = deque()
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._idle)

    @property
    def fresh(self) -> int:
        """How many will not be closed for their age soon."""
        now = perf_counter()
        return sum(now - idle.since < _FRESH_S for idle in self._idle)

    def take(self, settling_s: float) -> HttpStream | None:
        """The one that was used last and is still open, else the newest that has settled; None if there is none."""
        self.close_old()
        while self._idle:
            idle = _best(self._idle, perf_counter() - settling_s)
            self._idle.remove(idle)
            if idle.stream.usable:
                if not idle.stream.asked:
                    self._unwanted.succeeded()
                return idle.stream
            self._gone(idle)
        return None

    def put(self, stream: HttpStream) -> None:
        """One more; where there are too many, the oldest is closed."""
        self._idle.append(_Idle(stream, perf_counter()))
        if len(self._idle) > _MOST_IDLE:
            self._idle.popleft().stream.close()
        self._watch_age()

    def put_new(self, stream: HttpStream) -> None:
        """One that was opened in the place of the oldest, if that is not fresh any more."""
        self.put(stream)
        if perf_counter() - self._idle[0].since >= _FRESH_S:
            self._idle.popleft().stream.close()

    def leave(self, family: int, local: str) -> None:
        """Close those that do not go by this address of the device: they were opened in another network."""
        other = [idle for idle in self._idle if (idle.stream.family, idle.stream.local) != (family, local)]
        for idle in other:
            self._idle.remove(idle)
            idle.stream.close()

    def lost(self, stream: HttpStream) -> None:
        """Its server has closed it meanwhile, or has spoken unasked."""
        for idle in self._idle:
            if idle.stream is stream:
                self._idle.remove(idle)
                self._gone(idle)
                return

    def close(self) -> None:
        """Close all."""
        while self._idle:
            self._idle.pop().stream.close()
        if self._timer:
            self._timer.cancel()
            self._timer = None

    def abandon(self) -> None:
        """In the child of a fork: they are the parent's."""
        self._idle.clear()
        self._timer = None

    def close_old(self) -> None:
        """Close those that may have been forgotten on their way."""
        while self._idle and perf_counter() - self._idle[0].since >= IDLE_S:
            self._idle.popleft().stream.close()

    def _gone(self, idle: _Idle) -> None:
        now = perf_counter()
        if not idle.stream.asked and now - idle.since < WANTED_S:
            self._unwanted.failed(now)

    def _watch_age(self) -> None:
        """Close them in time though nobody asks any more; none is opened in their place then."""
        if self._timer is None and self._idle:
            left_s = self._idle[0].since + IDLE_S - perf_counter()
            self._timer = asyncio.get_running_loop().call_later(max(left_s, 0.0), self._at_age)

    def _at_age(self) -> None:
        self._timer = None
        self.close_old()
        self._watch_age()


def _best(idle: deque[_Idle], settled: float) -> _Idle:
    """settled: since when it was there at the latest, if it was never used."""
    used = (each for each in reversed(idle) if each.stream.asked)
    return next(used, None) or next((each for each in reversed(idle) if each.since <= settled), idle[0])
