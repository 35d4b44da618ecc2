"""Connections to one endpoint, kept between requests or opened ahead, so that the next one pays no round trip."""

from __future__ import annotations

import asyncio
import ssl
import weakref
from collections import deque
from collections.abc import Callable
from time import perf_counter
from typing import NamedTuple

from ondevice.client.connection import failures
from ondevice.client.connection.address import ServerAddress
from ondevice.client.connection.failures import OpeningStage
from ondevice.client.connection.http import HttpStream
from ondevice.errors import FailureKind, UpstreamError
from ondevice.resilience.backoff import Backoff

# A connection that was idle for so long may have been forgotten on its way: mobile networks' and routers' tables drop
# idle TCP connections silently, the hasty ones after a minute or two.
_IDLE_S = 60.0
# From then on it does not count as ready, so that with requests every some seconds another one is there before it is
# closed.
_FRESH_S = 45.0
# A phone has one or two requests under way, a web back end some dozens; what a burst of more has opened is not held at
# the endpoint, whose connections are counted, for a minute.
_MOST_IDLE = 32
# One that is opened ahead, or whose request has ended, may take so long; then it would not be worth waiting for.
_SPARE_S = 2.0
# After so long another one is begun in its place: of a TCP handshake three packets have been lost by then.
_LONGEST_S = 10.0
# Servers that close what is idle do so after 5 s at the soonest (uvicorn, Node.js, Apache). One that closes what was
# never used sooner wants none of it, as an endpoint that is short of connections.
_WANTED_S = 5.0


class _Idle(NamedTuple):
    """A connection that waits for a request, and since when."""

    stream: HttpStream
    since: float


class ConnectionPool:
    """Open connections that wait for a request, and those that are being opened. To be used in one event loop.

    opened: is told of each new connection. failed: is told why one that nobody waited for could not be opened. in_use:
    how many are with a request; all that are taken come back by `keep`. begun: how many have been opened, or tried.
    settling_s: for so long what is new may still be opening, though it is open here, as behind a proxy.
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
        self._address, self._token, self._tls = address, token, tls
        self._opened, self._failed = opened, failed
        self.in_use = self.begun = 0
        self._idle: deque[_Idle] = deque()
        self._every: weakref.WeakSet[HttpStream] = weakref.WeakSet()
        # The oldest first. Whoever waits longest gets the first that is ready, whomever it was begun for.
        self._openings: dict[OpeningStage, asyncio.Task[None]] = {}
        self._waiting: dict[asyncio.Future[HttpStream], float] = {}
        self._unwanted = Backoff(_WANTED_S, _IDLE_S)
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False

    @property
    def ready(self) -> int:
        """How many wait for a request."""
        return len(self._idle)

    def take(self) -> HttpStream | None:
        """The one that was used last and is still open, else the newest that has settled; None if there is none."""
        self._close_old()
        while self._idle:
            idle = self._best()
            self._idle.remove(idle)
            if idle.stream.usable:
                if not idle.stream.asked:
                    self._unwanted.succeeded()
                self.in_use += 1
                return idle.stream
            self._gone(idle)
        return None

    async def wait(self, until: float) -> HttpStream:
        """The next that is ready by `until`, on perf_counter's clock: one that is being opened, a new one at the
        latest, or one that another request has done with. Raises UpstreamError.
        """
        if (within_s := until - perf_counter()) <= 0:
            raise failures.late(self._address.where, "no connection", within_s)
        waiting: asyncio.Future[HttpStream] = asyncio.get_running_loop().create_future()
        self._waiting[waiting] = until
        self._open_for_all()
        try:
            async with asyncio.timeout(within_s):
                return await waiting
        except BaseException as error:
            self._give_up(waiting)
            if isinstance(error, TimeoutError):
                raise failures.late(self._address.where, self._waited_for, within_s) from error
            raise

    async def open(self, until: float) -> HttpStream:
        """A new one, by `until` on perf_counter's clock, whatever there is. Raises UpstreamError."""
        self.begun += 1
        stream = await HttpStream.open(self._address, self._token, self._tls, until)
        self._note(stream)
        self.in_use += 1
        return stream

    def keep(self, stream: HttpStream) -> None:
        """Have it back: for whoever waits for one, else for the next request; closed if it cannot take one."""
        self.in_use -= 1
        if self._closed or not stream.usable:
            stream.close()
        else:
            self._hand_on(stream)
        self._close_old()

    def fill(self, count: int) -> None:
        """Have so many that wait for a request, or will when they are open; unless the server wants none of it."""
        now = perf_counter()
        if self._closed or not self._unwanted.allows(now):
            return
        fresh = sum(now - idle.since < _FRESH_S for idle in self._idle)
        for _ in range(count - fresh - self._ahead):
            self._begin(now + _SPARE_S)

    def drop(self) -> None:
        """Close all that wait, and open no more than are waited for: the endpoint failed."""
        while self._idle:
            self._idle.pop().stream.close()
        for stage in list(self._openings)[len(self._waiting) :]:
            self._openings.pop(stage).cancel()

    def leave(self, family: int, local: str) -> None:
        """Close those that wait and do not go by this address of the device: they were opened in another network."""
        other = [idle for idle in self._idle if (idle.stream.family, idle.stream.local) != (family, local)]
        for idle in other:
            self._idle.remove(idle)
            idle.stream.close()

    def close(self) -> None:
        """Close all that wait, and whatever is handed back from now on."""
        self._closed = True
        self.drop()
        for opening in self._openings.values():
            opening.cancel()
        self._openings.clear()
        if self._timer:
            self._timer.cancel()

    def abandon(self) -> None:
        """In the child of a fork: leave all connections, those with a request too, to the parent, and begin anew."""
        for stream in list(self._every):
            stream.abandon()
        self._idle.clear()
        self._openings.clear()
        self._waiting.clear()
        self._timer, self.in_use = None, 0

    # What is being opened

    @property
    def _ahead(self) -> int:
        """How many are being opened that nobody waits for."""
        return len(self._openings) - len(self._waiting)

    @property
    def _waited_for(self) -> str:
        """What the one that should come first waits for."""
        return next(iter(self._openings), OpeningStage()).waited_for

    def _give_up(self, waiting: asyncio.Future[HttpStream]) -> None:
        self._waiting.pop(waiting, None)
        if waiting.done() and not waiting.cancelled() and not waiting.exception():  # it has come just then
            self.keep(waiting.result())

    def _open_for_all(self) -> None:
        """Have one on its way for each that waits. It goes on though its request is given up, for the next one."""
        now = perf_counter()
        for until in list(self._waiting.values())[len(self._openings) :]:
            self._begin(until + _SPARE_S if until - now < _LONGEST_S else now + _LONGEST_S)

    def _begin(self, until: float) -> None:
        self.begun += 1
        stage = OpeningStage()
        self._openings[stage] = asyncio.get_running_loop().create_task(self._open(until, stage))

    async def _open(self, until: float, stage: OpeningStage) -> None:
        try:
            stream = await HttpStream.open(self._address, self._token, self._tls, until, stage)
        except Exception as error:
            self._openings.pop(stage, None)
            self._not_opened(error)
        else:
            self._openings.pop(stage, None)
            self._there(stream)

    def _not_opened(self, error: Exception) -> None:
        late = isinstance(error, UpstreamError) and error.failure is FailureKind.LATE
        if self._ahead < 0 and late:  # whoever waits has more time than that
            self._open_for_all()
        elif self._ahead < 0:
            waiting = next(iter(self._waiting))
            del self._waiting[waiting]
            waiting.set_exception(error)
        elif isinstance(error, UpstreamError):
            if error.failure is FailureKind.CUT:
                self._unwanted.failed(perf_counter())
            self._failed(error)
        else:
            raise error

    def _there(self, stream: HttpStream) -> None:
        self._note(stream)
        if self._closed and not self._waiting:
            stream.close()
            return
        if not self._hand_on(stream) and perf_counter() - self._idle[0].since >= _FRESH_S:
            self._idle.popleft().stream.close()  # it has come in the place of that one

    def _note(self, stream: HttpStream) -> None:
        self._every.add(stream)
        stream.when_lost(self._lost)
        self._opened(stream)

    # What waits

    def _best(self) -> _Idle:
        settled = perf_counter() - self.settling_s
        used = (idle for idle in reversed(self._idle) if idle.stream.asked)
        return next(used, None) or next((idle for idle in reversed(self._idle) if idle.since <= settled), self._idle[0])

    def _hand_on(self, stream: HttpStream) -> bool:
        """To whoever waits longest, else to those that wait for a request; whether anybody has waited."""
        for waiting in self._waiting:
            del self._waiting[waiting]
            waiting.set_result(stream)
            self.in_use += 1
            return True
        self._idle.append(_Idle(stream, perf_counter()))
        if len(self._idle) > _MOST_IDLE:
            self._idle.popleft().stream.close()
        self._watch_age()
        return False

    def _lost(self, stream: HttpStream) -> None:
        """Its server has closed it meanwhile, or has spoken unasked."""
        for idle in self._idle:
            if idle.stream is stream:
                self._idle.remove(idle)
                self._gone(idle)
                return

    def _gone(self, idle: _Idle) -> None:
        now = perf_counter()
        if not idle.stream.asked and now - idle.since < _WANTED_S:
            self._unwanted.failed(now)

    def _close_old(self) -> None:
        while self._idle and perf_counter() - self._idle[0].since >= _IDLE_S:
            self._idle.popleft().stream.close()

    def _watch_age(self) -> None:
        """Close them in time though nobody asks any more; none is opened in their place then."""
        if self._timer is None and self._idle:
            left_s = self._idle[0].since + _IDLE_S - perf_counter()
            self._timer = asyncio.get_running_loop().call_later(max(left_s, 0.0), self._at_age)

    def _at_age(self) -> None:
        self._timer = None
        self._close_old()
        self._watch_age()
