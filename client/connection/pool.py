"""Connections to one endpoint, kept between requests or opened ahead."""

from __future__ import annotations

import asyncio
import ssl
import weakref
from collections.abc import Callable
from time import perf_counter

from ondevice.client.connection import failures
from ondevice.client.connection.address import ServerAddress
from ondevice.client.connection.failures import OpeningStage
from ondevice.client.connection.http import HttpStream
from ondevice.client.connection.idle import IDLE_S, WANTED_S, IdleConnections
from ondevice.client.connection.openings import Open, Openings
from ondevice.errors import FailureKind, UpstreamError
from ondevice.resilience.backoff import Backoff


class ConnectionPool:
    """Open connections that wait for a request, and those that are being opened. To be used in one event loop.

    opened: is told of each new connection. failed: is told why one that nobody waited for could not be opened. in_use:
    how many are with a request; all that are taken come back by `keep`. settling_s: for so long what is new may still
    be opening, though it is open here, as behind a proxy.
    """

    settling_s = 0.0

    def __init__(
        self,
        address: ServerAddress,
        token: str | None,
        tls: ssl.SSLContext | None,
        opened: Callable[[HttpStream], object],
        failed: Callable[[UpstreamError], object] = lambda error: None,
    ) -> None:
        self._where = address.where
        self._open: Open = lambda until, stage: HttpStream.open(address, token, tls, until, stage)
        self._opened, self._failed = opened, failed
        self.in_use = 0
        self._every: weakref.WeakSet[HttpStream] = weakref.WeakSet()
        self._unwanted = Backoff(WANTED_S, IDLE_S)
        self._idle = IdleConnections(self._unwanted)
        self._openings = Openings(self._open, self._there, self._not_opened)
        self._closed = False

    @property
    def ready(self) -> int:
        """How many wait for a request."""
        return len(self._idle)

    @property
    def begun(self) -> int:
        """How many have been opened, or tried."""
        return self._openings.begun

    def take(self) -> HttpStream | None:
        """The one that was used last and is still open, else the newest that has settled; None if there is none."""
        if stream := self._idle.take(self.settling_s):
            self.in_use += 1
        return stream

    async def wait(self, until: float) -> HttpStream:
        """The next that is ready by `until`, on perf_counter's clock: one that is being opened, a new one at the
        latest, or one that another request has done with. Raises UpstreamError.
        """
        if (within_s := until - perf_counter()) <= 0:
            raise failures.late(self._where, "no connection", within_s)
        waiting = self._openings.wait(until)
        try:
            async with asyncio.timeout(within_s):
                return await waiting
        except BaseException as error:
            if come := self._openings.give_up(waiting):
                self.keep(come)
            if isinstance(error, TimeoutError):
                raise failures.late(self._where, self._openings.waited_for, within_s) from error
            raise

    async def open(self, until: float) -> HttpStream:
        """A new one, by `until` on perf_counter's clock, whatever there is. Raises UpstreamError."""
        self._openings.begun += 1
        stream = await self._open(until, OpeningStage())
        self._note(stream)
        self.in_use += 1
        return stream

    def keep(self, stream: HttpStream) -> None:
        """Have it back: for whoever waits for one, else for the next request; closed if it cannot take one."""
        self.in_use -= 1
        if self._closed or not stream.usable:
            stream.close()
        elif not self._hand_on(stream):
            self._idle.put(stream)
        self._idle.close_old()

    def fill(self, count: int) -> None:
        """Have so many that wait for a request, or will when they are open; unless the server wants none of it."""
        if not self._closed and self._unwanted.allows(perf_counter()):
            for _ in range(count - self._idle.fresh - self._openings.ahead):
                self._openings.open_ahead()

    def drop(self) -> None:
        """Close all that wait, and open no more than are waited for: the endpoint failed."""
        self._idle.close()
        self._openings.drop()

    def leave(self, family: int, local: str) -> None:
        """Close those that wait and do not go by this address of the device: they were opened in another network."""
        self._idle.leave(family, local)

    def close(self) -> None:
        """Close all that wait, and whatever is handed back from now on."""
        self._closed = True
        self._idle.close()
        self._openings.close()

    def abandon(self) -> None:
        """In the child of a fork: leave all connections, those with a request too, to the parent, and begin anew."""
        for stream in list(self._every):
            stream.abandon()
        self._idle.abandon()
        self._openings.abandon()
        self.in_use = 0

    def _there(self, stream: HttpStream) -> None:
        self._note(stream)
        if not self._hand_on(stream):
            if self._closed:
                stream.close()
            else:
                self._idle.put_new(stream)

    def _not_opened(self, error: UpstreamError) -> None:
        if error.failure is FailureKind.CUT:
            self._unwanted.failed(perf_counter())
        self._failed(error)

    def _note(self, stream: HttpStream) -> None:
        self._every.add(stream)
        stream.when_lost(self._idle.lost)
        self._opened(stream)

    def _hand_on(self, stream: HttpStream) -> bool:
        given = self._openings.hand_on(stream)
        self.in_use += given
        return given
