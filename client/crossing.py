"""From an event loop to a client's own thread and back, with as little of either's time as may be."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from typing import Any, Generic, TypeVar

from ondevice.client.engine import Engine
from ondevice.errors import OffloadError

Result = TypeVar("Result")


class Crossing(Generic[Result]):
    """A coroutine that is to run there, made by `begin`, and what waits for it on the running loop."""

    def __init__(self, begin: Callable[[], Coroutine[Any, Any, Result]]) -> None:
        self._begin = begin
        self._loop = asyncio.get_running_loop()
        self.arrival: asyncio.Future[Result] = self._loop.create_future()
        self._task: asyncio.Task[Result] | None = None
        self._given_up = False

    def begin(self) -> None:
        """Over there."""
        if not self._given_up:
            self._task = asyncio.get_running_loop().create_task(self._begin())
            self._task.add_done_callback(self._ended)

    def give_up(self) -> None:
        """Over there: nobody waits any more."""
        self._given_up = True
        if self._task:
            self._task.cancel()

    def _ended(self, task: asyncio.Task[Result]) -> None:
        with contextlib.suppress(RuntimeError):  # the loop of whoever waited is closed
            self._loop.call_soon_threadsafe(self._arrived, task)

    def _arrived(self, task: asyncio.Task[Result]) -> None:
        if self.arrival.done():
            return
        if task.cancelled():
            self.arrival.cancel()
        elif error := task.exception():
            self.arrival.set_exception(error)
        else:
            self.arrival.set_result(task.result())


class Ferry:
    """Takes coroutines over to an engine: all that one turn of a loop hands in at once.

    Each on its own would wake the engine's thread in the midst of that turn, and the two would go on in lockstep.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._waiting: dict[asyncio.AbstractEventLoop, list[Crossing[Any]]] = {}

    async def across(
        self,
        begin: Callable[[], Coroutine[Any, Any, Result]],
        within_s: float | None = None,
        instead: Callable[[], Result | None] = lambda: None,
    ) -> Result:
        """What comes of it there; after so long what there is instead, if there is anything.

        Cancelling this cancels it. Raises OffloadError where the client is closed.
        """
        crossing, loop = Crossing(begin), asyncio.get_running_loop()
        if loop in self._waiting:
            self._waiting[loop].append(crossing)
        else:
            self._waiting[loop] = [crossing]
            loop.call_soon(self._leave, loop)
        try:
            await asyncio.wait([crossing.arrival], timeout=within_s)
            found = None if crossing.arrival.done() else instead()
            return await crossing.arrival if found is None else found
        except asyncio.CancelledError:
            with contextlib.suppress(OffloadError):  # then it has ended there
                self._engine.post(crossing.give_up)
            raise

    def _leave(self, loop: asyncio.AbstractEventLoop) -> None:
        crossings = self._waiting.pop(loop)
        try:
            self._engine.post(*(crossing.begin for crossing in crossings))
        except OffloadError as error:
            for crossing in crossings:
                if not crossing.arrival.done():
                    crossing.arrival.set_exception(error)
