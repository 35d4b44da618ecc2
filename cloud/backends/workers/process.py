"""The endpoint's end of a worker process: started, asked one thing at a time, and its death noticed at once."""

from __future__ import annotations

import asyncio
import socket
from collections import deque
from collections.abc import Callable
from typing import Any

from ondevice.cloud.backends.workers import failures
from ondevice.cloud.backends.workers.frames import Message, Reader, frame
from ondevice.errors import ModelLoadError, OnDeviceError, WorkerDiedError
from ondevice.process import child

Reply = tuple[Message, bytes]
# Called with the reply to a frame, or with what the worker could not do, or its death.
Done = Callable[[Reply | OnDeviceError], None]
# A picture fits whole: the loop need not come back to write its rest.
_SOCKET_BUFFER = 1 << 20
# What loads the model that it names, if that is not loaded.
_LOADING = ("load", "describe", "image", "tensor")
# A worker whose socket is closed has nothing left to do.
_ENDING_S = 1.0


class WorkerProcess(asyncio.Protocol):
    """A running worker. `dead` is a future that is done when it has ended; lost: it is ending, or has ended, so that
    nothing it is told is done any more.

    loaded: the models that it holds once it has done all that it was told, which it does in that order.
    """

    def __init__(self, process: child.Child) -> None:
        self._process = process
        self._reader = Reader()
        self._waiting: deque[tuple[Message, Done]] = deque()
        self.dead: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.loaded: set[str] = set()
        self.lost, self._reason = False, ""

    @classmethod
    async def start(cls) -> WorkerProcess:
        """Start one, which has to be told its settings first. Raises OnDeviceError."""
        ours, theirs = socket.socketpair()
        for end in (ours, theirs):
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SOCKET_BUFFER)
        try:
            with theirs:
                number = theirs.fileno()
                process = child.start("ondevice.cloud.backends.workers.worker", str(number), handles=[number])
        except OnDeviceError:
            ours.close()
            raise
        loop = asyncio.get_running_loop()
        _, worker = await loop.create_connection(lambda: cls(process), sock=ours)
        return worker

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def tell(self, message: Message, payload: bytes | memoryview, done: Done) -> None:
        """Send a frame; `done` is called as soon as the reply is here: a future would take turns of the loop."""
        if self.dead.done():
            asyncio.get_running_loop().call_soon(done, WorkerDiedError(self.dead.result()))
            return
        self._waiting.append((message, done))
        self._note(message)
        if not (self.lost or self._transport.is_closing()):  # else `done` hears of its death as soon as that is known
            self._transport.writelines(frame(message, payload))

    def connection_made(self, transport: Any) -> None:
        """The socket is ours."""
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """A piece of a reply."""
        for message, payload in self._reader.feed(data):
            asked, done = self._waiting.popleft()
            reply = failures.read(message) or (message, payload)
            if isinstance(reply, ModelLoadError):
                self.loaded.discard(asked["model"])
            done(reply)

    def connection_lost(self, exc: Exception | None) -> None:
        """The process has ended, or is no longer wanted; a thread waits for its end, which may take its time."""
        self.lost = True
        asyncio.get_running_loop().run_in_executor(None, self._ended).add_done_callback(self._died)

    def _died(self, reason: asyncio.Future[str]) -> None:
        if reason.cancelled():  # with the loop
            return
        self.dead.set_result(reason.result())
        for _, done in self._waiting:  # after those who wait for `dead` alone
            asyncio.get_running_loop().call_soon(done, WorkerDiedError(self.dead.result()))
        self._waiting.clear()

    def kill(self, reason: str = "") -> None:
        """End it, whatever it does."""
        if not self.lost:
            self.lost, self._reason = True, reason
            self._process.kill()
            self._transport.abort()

    def _note(self, message: Message) -> None:
        operation = message.get("op")
        if operation in _LOADING:
            self.loaded.add(message["model"])
        elif operation == "unload":
            self.loaded.discard(message["model"])

    def _ended(self) -> str:
        """How it ended. It may run on without its socket, but nobody can reach it any more."""
        try:
            if not self._process.ends(_ENDING_S):
                self._process.kill()
            death = self._process.death()
        except OnDeviceError as error:
            return str(error)
        finally:
            self._process.end()
        if self._reason:
            return f"a worker process was killed: {self._reason}"
        return f"a worker process ended ({death.cause}){death.said and ': ' + death.said}"
