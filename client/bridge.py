"""From an event loop to the client's own thread and back, with as little of either's time as may be."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, TypeVar

from ondevice.client.engine import Engine
from ondevice.client.submission import Submission, settle
from ondevice.errors import OffloadError

Result = TypeVar("Result")
# A submission, and what waits for it.
_Waiting = tuple[Submission[Any], asyncio.Future[Any]]


class LoopBridge:
    """Hands coroutines to an engine: all that one turn of a loop asks for at once.

    Each on its own would wake the engine's thread in the midst of that turn, and the two would go on in lockstep.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._waiting: dict[asyncio.AbstractEventLoop, list[_Waiting]] = {}

    async def run(
        self,
        make: Callable[[], Coroutine[Any, Any, Result]],
        within_s: float | None = None,
        instead: Callable[[], Result | None] = lambda: None,
    ) -> Result:
        """What comes of the coroutine there; after so long what there is instead, if there is anything.

        Cancelling this cancels it. Raises OffloadError where the client is closed.
        """
        loop = asyncio.get_running_loop()
        result: asyncio.Future[Result] = loop.create_future()
        submission = Submission(make, partial(_tell, loop, result))
        self._add(loop, (submission, result))
        try:
            await asyncio.wait([result], timeout=within_s)
            found = None if result.done() else instead()
            return await result if found is None else found
        except asyncio.CancelledError:
            with contextlib.suppress(OffloadError):  # then it has ended there
                self._engine.post(submission.give_up)
            raise

    def _add(self, loop: asyncio.AbstractEventLoop, waiting: _Waiting) -> None:
        if loop not in self._waiting:
            self._waiting[loop] = []
            loop.call_soon(self._hand_over, loop)
        self._waiting[loop].append(waiting)

    def _hand_over(self, loop: asyncio.AbstractEventLoop) -> None:
        waiting = self._waiting.pop(loop)
        try:
            self._engine.post(*(submission.begin for submission, _ in waiting))
        except OffloadError as error:
            for _, result in waiting:
                if not result.done():
                    result.set_exception(error)


def _tell(loop: asyncio.AbstractEventLoop, result: asyncio.Future[Any], task: asyncio.Task[Any]) -> None:
    with contextlib.suppress(RuntimeError):  # the loop of whoever waited is closed
        loop.call_soon_threadsafe(settle, result, task)
