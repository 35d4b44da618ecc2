"""One worker on this side: its process, and what that has in its hands."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from time import perf_counter

from ondevice.cloud.backends.workers.frames import Message
from ondevice.cloud.backends.workers.hands import Hands, Held
from ondevice.cloud.backends.workers.process import Reply, WorkerProcess
from ondevice.errors import OnDeviceError, WorkerDiedError

# Called with a reply, or with what the worker could not do, or its death; and with when it had begun, by perf_counter.
Answered = Callable[[Reply | OnDeviceError, float], None]


class WorkerHandle:
    """changed: called when what it has in its hands has changed. freed: called then where it may take more."""

    def __init__(self, process: WorkerProcess, changed: Callable[[], None], freed: Callable[[], None]) -> None:
        self.process, self.hands = process, Hands()
        self._changed, self._freed = changed, freed

    @property
    def pid(self) -> int:
        """Its process id."""
        return self.process.pid

    @property
    def loaded(self) -> set[str]:
        """The models that it holds once it has done all that it was told."""
        return self.process.loaded

    def give(self, held: Held, message: Message, payload: bytes | memoryview, answered: Answered) -> None:
        """Tell it one thing more; `answered` is called as soon as the reply is here."""
        self.hands.take(held)
        self._changed()
        self.process.tell(message, payload, partial(self._replied, answered))

    def ask(self, message: Message, expected_ms: float = 0.0, loads: bool = False) -> asyncio.Future[Reply]:
        """What is not a request's, past the queue. expected_ms, loads: as `Held` has them.

        Its future gives the reply, or raises what the worker could not do, or its death.
        """
        future: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        held = Held(perf_counter(), expected_ms, loads=loads)
        self.give(held, message, b"", lambda reply, began: _settle(future, reply))
        return future

    def unload(self, model: str) -> None:
        """Have it let a model go, after what it is doing."""
        if model in self.loaded:
            self.process.tell({"op": "unload", "model": model}, b"", lambda reply: None)

    def _replied(self, answered: Answered, reply: Reply | OnDeviceError) -> None:
        if isinstance(reply, WorkerDiedError):  # what it had in its hands was let go with it
            answered(reply, 0.0)
            return
        began = self.hands.done(perf_counter())
        self._changed()
        self._freed()
        answered(reply, began)


def _settle(future: asyncio.Future[Reply], reply: Reply | OnDeviceError) -> None:
    if future.done():  # nobody waits for it any more
        return
    future.set_exception(reply) if isinstance(reply, OnDeviceError) else future.set_result(reply)
