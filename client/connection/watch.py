"""The event loop's eye on one socket."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable


class Watch:
    """Has the running loop call when a socket can be read, or written to.

    In the child of a fork it does nothing: the loop is the parent's, and the kernel's list of what it watches, which
    the child has inherited, is one with the parent's.
    """

    def __init__(self, watched: socket.socket) -> None:
        self._loop, self._number, self._process = asyncio.get_running_loop(), watched.fileno(), os.getpid()

    @property
    def ours(self) -> bool:
        """Whether this process has made it."""
        return self._process == os.getpid()

    def reading(self, call: Callable[[], object]) -> None:
        """Have it called whenever something has come, or the end has."""
        self._loop.add_reader(self._number, call)

    def writing(self, call: Callable[[], object]) -> None:
        """Have it called whenever there is room to send."""
        self._loop.add_writer(self._number, call)

    def stop_reading(self) -> None:
        """Call no more for what comes."""
        if self.ours:
            self._loop.remove_reader(self._number)

    def stop_writing(self) -> None:
        """Call no more for room."""
        if self.ours:
            self._loop.remove_writer(self._number)

    def stop(self) -> None:
        """Call no more; to be done before the socket is closed."""
        self.stop_reading()
        self.stop_writing()

    async def ready(self, to_write: bool) -> None:
        """Wait until it can be read, or written to."""
        came = self._loop.create_future()
        (self.writing if to_write else self.reading)(lambda: _settle(came))
        try:
            await came
        finally:
            self.stop()


def _settle(came: asyncio.Future[None]) -> None:
    if not came.done():
        came.set_result(None)
