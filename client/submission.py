"""A coroutine that one thread hands to the client's own, and what waits for it meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from typing import Any, Generic, TypeVar

Result = TypeVar("Result")


class Submission(Generic[Result]):
    """make: makes the coroutine, once it is to begin. ended: called with its task. All of it on the client's thread."""

    def __init__(
        self, make: Callable[[], Coroutine[Any, Any, Result]], ended: Callable[[asyncio.Task[Result]], object]
    ) -> None:
        self._make, self._ended = make, ended
        self._task: asyncio.Task[Result] | None = None
        self._given_up = False

    def begin(self) -> None:
        """Begin it, unless it was given up before."""
        if not self._given_up:
            self._task = asyncio.get_running_loop().create_task(self._make())
            self._task.add_done_callback(self._ended)

    def give_up(self) -> None:
        """Nobody waits any more."""
        self._given_up = True
        if self._task:
            self._task.cancel()


def settle(waiting: Future[Result] | asyncio.Future[Result], task: asyncio.Task[Result]) -> None:
    """Hand what came of a task to what waits for it, unless that waits no more."""
    if task.cancelled():
        waiting.cancel()
    elif (isinstance(waiting, Future) and not waiting.set_running_or_notify_cancel()) or waiting.cancelled():
        return
    elif error := task.exception():
        waiting.set_exception(error)
    else:
        waiting.set_result(task.result())
