"""Daemon threads beside the client's own, for what blocks or computes.

A program at its end does not wait for them, nor for what they have still to do: with `concurrent.futures` one file that
nobody writes to would keep it for ever.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import weakref
from collections.abc import Callable
from functools import partial
from queue import SimpleQueue
from typing import Any, TypeVar

from ondevice.errors import FailureKind, OffloadError

Result = TypeVar("Result")
Calls = SimpleQueue[Callable[[], object] | None]
# Returned by a call whose thread has been replaced by another.
_REPLACED = object()


class DaemonThreads:
    """Calls what it is handed, in that order, on so many threads, each begun when it is first needed.

    All of it belongs to one thread, the client's own; but for `close`.
    """

    def __init__(self, most: int, name: str) -> None:
        self._most, self._name = most, name
        self._calls: Calls = SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._closed = False
        weakref.finalize(self, self._calls.put, None).atexit = False  # who forgets to close it has no threads left

    def begin(self, act: Callable[..., object], *arguments: object) -> None:
        """Have this called, which raises nothing. Raises OffloadError where it is closed, or has no thread at all."""
        if self._closed:
            raise OffloadError("the client is closed", FailureKind.REFUSED)
        if len(self._threads) < self._most:
            thread = threading.Thread(target=_work, args=(self._calls,), name=self._name, daemon=True)
            try:
                thread.start()
            except RuntimeError as error:
                if not self._threads:
                    raise OffloadError("no thread can be had: end some others", FailureKind.REFUSED) from error
            else:
                self._threads.append(thread)
        self._calls.put(partial(act, *arguments))

    async def run(self, work: Callable[[], Result]) -> Result:
        """What comes of calling it. Where that is given up under way, another thread takes the place of its own."""
        call = _ThreadCall(work, asyncio.get_running_loop())
        self.begin(call.run)
        try:
            result: Result = await call.over
        except asyncio.CancelledError:
            if call.thread in self._threads:
                self._threads.remove(call.thread)
                call.given_up = True
            raise
        return result

    def close(self, wait: bool = False) -> None:
        """Take no more; what was begun is finished. wait: for that."""
        self._closed = True
        self._calls.put(None)
        for thread in list(self._threads) if wait else ():
            thread.join()


class _ThreadCall:
    """over: with its result. thread: on which it runs, once it does. given_up: whether that is to end with it."""

    thread: threading.Thread | None = None
    given_up = False

    def __init__(self, work: Callable[[], Any], loop: asyncio.AbstractEventLoop) -> None:
        self._work, self._loop = work, loop
        self.over: asyncio.Future[Any] = loop.create_future()

    def run(self) -> object:
        """Call it; `_REPLACED` if its thread is to end then."""
        if self.over.cancelled():
            return None
        self.thread = threading.current_thread()
        try:
            end = partial(self.over.set_result, self._work())
        except BaseException as error:  # whatever it is, the one who waits must hear of it
            end = partial(self.over.set_exception, error)
        with contextlib.suppress(RuntimeError):  # the client is closed
            self._loop.call_soon_threadsafe(self._end, end)
        return _REPLACED if self.given_up else None

    def _end(self, end: Callable[[], None]) -> None:
        self.thread = None
        if not self.over.done():
            end()


def _work(calls: Calls) -> None:
    while (act := calls.get()) is not None:
        if act() is _REPLACED:
            return
        del act  # its picture is of no more use
    calls.put(None)  # for the others
