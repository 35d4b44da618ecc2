"""A client's own thread: an asyncio loop that alone writes what the client knows, wherever it is asked from.

Callers on any thread, and on any event loop, hand it coroutines. It is begun when it is first needed; before a fork it
is brought to rest between two steps, and in the child it is begun anew.
"""

from __future__ import annotations

import asyncio
import atexit
import concurrent.futures.thread  # noqa: F401  # to lock for a fork after this does: no signal comes in between
import contextlib
import os
import threading
from collections import deque
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from functools import partial
from typing import Any, TypeVar
from weakref import WeakSet

from ondevice.client.daemon_threads import DaemonThreads
from ondevice.client.selector import LoopSelector
from ondevice.client.submission import Submission, settle
from ondevice.errors import FailureKind, OffloadError

# Files are read and pictures scaled so many at a time: more would only take the cores from the device's model.
_WORKERS = 2
# Its steps are short: so long none takes. A fork, and the end of the program, wait no longer for one that does.
_STEP_S = 0.5
# No fork takes so long, which copies the tables of some gigabytes in milliseconds. Ctrl-C may come between a fork and
# what follows it, and nobody would say to go on.
_FORK_S = 10.0

Result = TypeVar("Result")
Work = Coroutine[Any, Any, Result]


def _nothing() -> None:
    """What is done where nothing is to be."""


class Engine:
    """Runs coroutines and callbacks, in the order in which they are handed in.

    closed: whether it takes no more. ended: called on its thread, last of all. forked: called in the child of a fork,
    where no thread and no connection of the parent may be used. gives_way: whether an event loop is beside it, which
    it is not to hold up.
    """

    _loop: asyncio.AbstractEventLoop | None
    _thread: threading.Thread | None
    _workers: DaemonThreads | None
    _posted: deque[Callable[[], object]]

    def __init__(
        self,
        ended: Callable[[], object] = _nothing,
        forked: Callable[[], object] = _nothing,
        gives_way: bool = False,
    ) -> None:
        self.ended, self._forked, self._gives_way = ended, forked, gives_way
        self.closed = False
        self._make()
        _engines.add(self)

    @property
    def here(self) -> bool:
        """Whether this is its own thread, on which nobody may wait for it."""
        return self._thread is threading.current_thread()

    def submit(self, work: Work[Result]) -> Future[Result]:
        """Begin a coroutine; its result is the future's. Cancelling that cancels it. Raises OffloadError: closed."""
        future: Future[Result] = Future()
        submission = Submission(lambda: work, partial(settle, future))

        def given_up(future: Future[Result]) -> None:
            if future.cancelled():
                with contextlib.suppress(OffloadError):  # then it has ended
                    self.post(submission.give_up)

        try:
            self.post(submission.begin)
        except OffloadError:
            work.close()
            raise
        future.add_done_callback(given_up)
        return future

    def post(self, *acts: Callable[[], object]) -> None:
        """Have these called on its thread. Raises OffloadError where it is closed."""
        with self._lock:
            if self.closed or (_exiting and threading.current_thread() is threading.main_thread()):
                raise OffloadError("the client is closed", FailureKind.REFUSED)
            loop, idle = self._running(), not self._posted  # else it has been told already, and takes all that there is
            self._posted.extend(acts)
            if idle and acts:
                loop.call_soon_threadsafe(self._take)

    async def aside(self, work: Callable[..., Result], *arguments: object) -> Result:
        """What blocks or computes, on a thread beside; for coroutines that run here."""
        if self._workers is None:
            self._workers = DaemonThreads(_WORKERS, "ondevice-aside")
        return await self._workers.run(partial(work, *arguments))

    def close(self) -> None:
        """End what is under way, and take no more; once or often."""
        with self._lock:
            self.closed = True
        self.stop()
        if self._thread and not self.here:
            self._thread.join(_STEP_S)

    def stop(self) -> None:
        """Close it without waiting for anything or anybody; nobody hands anything in any more."""
        self.closed = True
        if self._workers:
            self._workers.close()
        if self._loop:
            with contextlib.suppress(RuntimeError):  # it has ended meanwhile
                self._loop.call_soon_threadsafe(self._loop.stop)

    # On its own thread

    def _run(self, loop: asyncio.AbstractEventLoop) -> None:
        asyncio.set_event_loop(loop)
        try:
            loop.run_forever()
            while self._posted or asyncio.all_tasks(loop):  # what ends may have begun others
                loop.run_until_complete(self._end_all())
            self.ended()
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
        if self._loop and not self.here:
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
            _left.append((self._loop, self._posted))
        self._make()
        self._forked()

    def _make(self) -> None:
        self._lock = threading.Lock()
        self._posted = deque()
        self._rested = threading.Event()
        self._loop = self._thread = self._workers = None

    def _running(self) -> asyncio.AbstractEventLoop:
        if self._loop is None:
            loop = asyncio.SelectorEventLoop(LoopSelector(self._gives_way))
            # A daemon: a program need not close its client to end.
            thread = threading.Thread(target=self._run, args=(loop,), name="ondevice-client", daemon=True)
            try:
                thread.start()
            except RuntimeError as error:
                loop.close()
                raise OffloadError("no thread can be had: end some others", FailureKind.REFUSED) from error
            self._loop, self._thread = loop, thread
        return self._loop


def _stay(resting: threading.Event, rested: threading.Event) -> None:
    resting.set()
    rested.wait(_FORK_S)


_engines: WeakSet[Engine] = WeakSet()
# In the child of a fork the parent's loops are neither run nor closed: what they watch is the parent's, too. What had
# been handed in, and had not begun, is the parent's to do.
_left: list[object] = []
# One fork after the other; but a signal's handler may fork while its thread does.
_forking = threading.RLock()
_depth = 0


def _before_fork() -> None:
    global _depth
    _forking.acquire()
    _depth += 1
    if _depth == 1:
        for engine in list(_engines):
            engine.rest()


def _in_parent() -> None:
    global _depth
    if _depth == 1:
        for engine in list(_engines):
            engine.go_on()
    _depth -= 1  # only now: who forks meanwhile finds some at rest still
    _forking.release()


def _in_child() -> None:
    global _forking, _depth
    _forking, _depth = threading.RLock(), 0
    for engine in list(_engines):
        engine.begin_anew()


# Whether the program is at its end.
_exiting = False


def _at_exit() -> None:
    """Have nothing go on while Python takes its modules down.

    Daemon threads that wait for an answer, or ask for one, wait on and end with the program: an error would be a
    traceback on its last lines. The main thread hears that the client is closed.
    """
    global _exiting
    _exiting = True
    for engine in list(_engines):
        engine.rest()


if hasattr(os, "register_at_fork"):  # Windows has no fork
    os.register_at_fork(before=_before_fork, after_in_parent=_in_parent, after_in_child=_in_child)
atexit.register(_at_exit)
