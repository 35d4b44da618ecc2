"""A client's own thread: an asyncio loop that alone writes what the client knows, wherever it is asked from.

Callers on any thread, and on any event loop, hand it coroutines. It is begun when it is first needed; before a fork it
is brought to rest between two steps, and in the child it is begun anew.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import os
import threading
from collections import deque
from collections.abc import Callable, Coroutine
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar
from weakref import WeakSet

from ondevice.client.turns import TurnTaking
from ondevice.errors import FailureKind, OffloadError

# Files are read and pictures scaled so many at a time: more would only take the cores from the device's model.
_WORKERS = 2
# Its steps are short: so long none takes. A fork, and the end of the program, wait no longer for one that does.
_STEP_S = 0.5

Result = TypeVar("Result")
Work = Coroutine[Any, Any, Result]


def _nothing() -> None:
    """What is done where nothing is to be."""


class Engine:
    """Runs coroutines and callbacks, in the order in which they are handed in.

    closed: whether it takes no more. ended: called on its thread, last of all. forked: called in the child of a fork,
    where no thread and no connection of the parent may be used.
    """

    _loop: asyncio.AbstractEventLoop | None
    _thread: threading.Thread | None
    _workers: ThreadPoolExecutor | None
    _posted: deque[Callable[[], object]]

    def __init__(self, ended: Callable[[], object] = _nothing, forked: Callable[[], object] = _nothing) -> None:
        self._ended, self._forked = ended, forked
        self.closed = False
        self._make()
        _engines.add(self)

    def submit(self, work: Work[Result]) -> Future[Result]:
        """Begin a coroutine; its result is the future's. Cancelling that cancels it. Raises OffloadError: closed."""
        future: Future[Result] = Future()
        try:
            self.post(_Begun(work, future).begin)
        except OffloadError:
            work.close()
            raise
        return future

    def post(self, *acts: Callable[[], object]) -> None:
        """Have these called on its thread. Raises OffloadError where it is closed."""
        with self._lock:
            if self.closed:
                raise OffloadError("the client is closed", FailureKind.REFUSED)
            idle = not self._posted  # else it has been told already, and takes all that there is
            self._posted.extend(acts)
            if idle and acts:
                self._running().call_soon_threadsafe(self._take)

    async def aside(self, work: Callable[..., Result], *arguments: object) -> Result:
        """What blocks or computes, on a thread beside; for coroutines that run here."""
        if self._workers is None:
            self._workers = ThreadPoolExecutor(_WORKERS, thread_name_prefix="ondevice-aside")
        return await asyncio.get_running_loop().run_in_executor(self._workers, work, *arguments)

    def close(self) -> None:
        """End what is under way, and take no more; once or often."""
        with self._lock:
            loop, self.closed = self._loop, True
        if self._workers:
            self._workers.shutdown(wait=False, cancel_futures=True)
        if loop and self._thread:
            with contextlib.suppress(RuntimeError):  # it has ended meanwhile
                loop.call_soon_threadsafe(loop.stop)
            if self._thread is not threading.current_thread():
                self._thread.join(_STEP_S)

    # On its own thread

    def _run(self, loop: asyncio.AbstractEventLoop) -> None:
        asyncio.set_event_loop(loop)
        try:
            loop.run_forever()
            while self._posted or asyncio.all_tasks(loop):  # what ends may have begun others
                loop.run_until_complete(self._end_all())
            self._ended()
        finally:
            loop.close()

    async def _end_all(self) -> None:
        """Begin what was handed in, so that whoever waits for it hears of its end, and cancel all."""
        while self._posted:
            self._posted.popleft()()
        under_way = asyncio.all_tasks() - {asyncio.current_task()}
        for task in under_way:
            task.cancel()
        await asyncio.gather(*under_way, return_exceptions=True)

    def _take(self) -> None:
        """Do the next thing; one at a time, so that others have their turn between two."""
        with self._lock:
            act = self._posted.popleft() if self._posted else _nothing  # `close` may have taken it
            if self._posted:
                asyncio.get_running_loop().call_soon(self._take)
        act()

    # Around a fork

    def rest(self) -> None:
        """Wait until it is between two steps, and have it stay there until `go_on`."""
        if self._loop and self._thread is not threading.current_thread():
            resting, self._rested = threading.Event(), threading.Event()
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(_stay, resting, self._rested)
                resting.wait(_STEP_S)

    def go_on(self) -> None:
        """Go on in the parent."""
        self._rested.set()

    def begin_anew(self) -> None:
        """Forget, in the child, what only the parent has."""
        if self._loop:
            _left.append(self._loop)
        self._make()
        self._forked()

    def _make(self) -> None:
        self._lock = threading.Lock()
        self._posted = deque()
        self._rested = threading.Event()
        self._loop = self._thread = self._workers = None

    def _running(self) -> asyncio.AbstractEventLoop:
        if self._loop is None:
            self._loop = asyncio.SelectorEventLoop(TurnTaking())
            # A daemon: a program need not close its client to end.
            self._thread = threading.Thread(target=self._run, args=(self._loop,), name="ondevice-client", daemon=True)
            self._thread.start()
        return self._loop


class _Begun:
    """A coroutine whose result goes to a future of another thread, and whose end is that future's, too."""

    def __init__(self, work: Work[Any], future: Future[Any]) -> None:
        self._work, self._future = work, future
        self._task: asyncio.Task[Any] | None = None

    def begin(self) -> None:
        loop = asyncio.get_running_loop()
        if self._future.cancelled():
            self._work.close()
            return
        self._task = loop.create_task(self._work)
        self._task.add_done_callback(self._ended)
        self._future.add_done_callback(lambda future: self._cancelled(loop))

    def _cancelled(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._future.cancelled() and self._task:
            with contextlib.suppress(RuntimeError):  # it has ended meanwhile
                loop.call_soon_threadsafe(self._task.cancel)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        if task.cancelled():
            self._future.cancel()
        elif self._future.set_running_or_notify_cancel():
            error = task.exception()
            if error:
                self._future.set_exception(error)
            else:
                self._future.set_result(task.result())


def _stay(resting: threading.Event, rested: threading.Event) -> None:
    resting.set()
    rested.wait()


_engines: WeakSet[Engine] = WeakSet()
# In the child of a fork the parent's loops are neither run nor closed: what they watch is the parent's, too.
_left: list[asyncio.AbstractEventLoop] = []
_forking = threading.Lock()


def _before_fork() -> None:
    _forking.acquire()
    for engine in list(_engines):
        engine.rest()


def _in_parent() -> None:
    for engine in list(_engines):
        engine.go_on()
    _forking.release()


def _in_child() -> None:
    global _forking
    _forking = threading.Lock()
    for engine in list(_engines):
        engine.begin_anew()


def _at_exit() -> None:
    for engine in list(_engines):
        engine.close()


os.register_at_fork(before=_before_fork, after_in_parent=_in_parent, after_in_child=_in_child)
atexit.register(_at_exit)
