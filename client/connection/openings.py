"""Connections that are being opened, and who waits for one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from time import perf_counter

from ondevice.client.connection.failures import OpeningStage
from ondevice.client.connection.http import HttpStream
from ondevice.errors import FailureKind, UpstreamError

# One that is opened ahead, or whose request has ended, may take so long; then it would not be worth waiting for.
_SPARE_S = 2.0
# After so long another one is begun in its place: of a TCP handshake three packets have been lost by then.
_LONGEST_S = 10.0

# Opens one until a time on perf_counter's clock, and says meanwhile how far that is. Raises UpstreamError.
Open = Callable[[float, OpeningStage], Coroutine[None, None, HttpStream]]


class Openings:
    """The oldest first; to be used in one event loop. Whoever waits longest gets the first that is there, whomever it
    was begun for.

    there: is given each; failed: is told why one that nobody waits for could not be opened. begun: how many have been.
    """

    def __init__(
        self, open_: Open, there: Callable[[HttpStream], object], failed: Callable[[UpstreamError], object]
    ) -> None:
        self._open, self._there, self._failed = open_, there, failed
        self.begun = 0
        self._openings: dict[OpeningStage, asyncio.Task[None]] = {}
        self._waiting: dict[asyncio.Future[HttpStream], float] = {}

    @property
    def ahead(self) -> int:
        """How many are being opened that nobody waits for."""
        return len(self._openings) - len(self._waiting)

    @property
    def waited_for(self) -> str:
        """What the one that should come first waits for."""
        return next(iter(self._openings), OpeningStage()).waited_for

    def wait(self, until: float) -> asyncio.Future[HttpStream]:
        """The next that is there. It fails with UpstreamError."""
        waiting: asyncio.Future[HttpStream] = asyncio.get_running_loop().create_future()
        self._waiting[waiting] = until
        self._open_for_all()
        return waiting

    def give_up(self, waiting: asyncio.Future[HttpStream]) -> HttpStream | None:
        """Wait no longer; gives what has come just then. What is being opened goes on, for the next request."""
        self._waiting.pop(waiting, None)
        come = waiting.done() and not waiting.cancelled() and not waiting.exception()
        return waiting.result() if come else None

    def hand_on(self, stream: HttpStream) -> bool:
        """To whoever waits longest; whether anybody does."""
        for waiting in self._waiting:
            del self._waiting[waiting]
            waiting.set_result(stream)
            return True
        return False

    def open_ahead(self) -> None:
        """One that nobody waits for."""
        self._begin(perf_counter() + _SPARE_S)

    def drop(self) -> None:
        """No more than are waited for."""
        for stage in list(self._openings)[len(self._waiting) :]:
            self._openings.pop(stage).cancel()

    def close(self) -> None:
        """None, whoever waits."""
        for opening in self._openings.values():
            opening.cancel()
        self._openings.clear()

    def abandon(self) -> None:
        """In the child of a fork: they are the parent's."""
        self._openings.clear()
        self._waiting.clear()

    def _open_for_all(self) -> None:
        """Have one on its way for each that waits. It goes on though its request is given up, for the next one."""
        now = perf_counter()
        for until in list(self._waiting.values())[len(self._openings) :]:
            self._begin(until + _SPARE_S if until - now < _LONGEST_S else now + _LONGEST_S)

    def _begin(self, until: float) -> None:
        self.begun += 1
        stage = OpeningStage()
        self._openings[stage] = asyncio.get_running_loop().create_task(self._opened(until, stage))

    async def _opened(self, until: float, stage: OpeningStage) -> None:
        try:
            stream = await self._open(until, stage)
        except Exception as error:
            self._openings.pop(stage, None)
            self._not_opened(error)
        else:
            self._openings.pop(stage, None)
            self._there(stream)

    def _not_opened(self, error: Exception) -> None:
        late = isinstance(error, UpstreamError) and error.failure is FailureKind.LATE
        if self.ahead < 0 and late:  # whoever waits has more time than that
            self._open_for_all()
        elif self.ahead < 0:
            waiting = next(iter(self._waiting))
            del self._waiting[waiting]
            waiting.set_exception(error)
        elif isinstance(error, UpstreamError):
            self._failed(error)
        else:
            raise error
