"""A server on the running loop that leaves no connection behind, whatever its clients do while it ends.

asyncio's own may: what it has accepted when it is closed becomes a connection after that, which nobody ends; and a
transport that is closed waits for its client to read the rest.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

_BACKLOG = 128
# So long a connection over TLS that is closed waits for its client to say so too; asyncio's own wait 30 s.
_GOODBYE_S = 0.1


class Accepting:
    """What listens on 127.0.0.1 from the start, for a protocol for each connection. port: 0 for any, then the one."""

    def __init__(
        self, factory: Callable[[], asyncio.BaseProtocol], port: int = 0, tls: ssl.SSLContext | None = None
    ) -> None:
        self._factory, self._tls = factory, tls
        self._loop = asyncio.get_running_loop()
        self._listening = socket.create_server(("127.0.0.1", port), backlog=_BACKLOG)
        self._listening.setblocking(False)
        self.port: int = self._listening.getsockname()[1]
        self._made: set[asyncio.Task[Any]] = set()
        # With what each was accepted as; uvloop's transports are none of asyncio's classes.
        self._transports: list[tuple[Any, socket.socket]] = []
        self._loop.add_reader(self._listening, self._accept)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):  # it may have gone again
            stream, _ = self._listening.accept()
            stream.setblocking(False)
            task = self._loop.create_task(self._make(stream))
            self._made.add(task)
            task.add_done_callback(self._made.discard)

    async def _make(self, stream: socket.socket) -> None:
        with contextlib.suppress(OSError, asyncio.CancelledError):
            timeout_s = _GOODBYE_S if self._tls else None
            made, _ = await self._loop.connect_accepted_socket(
                self._factory, stream, ssl=self._tls, ssl_shutdown_timeout=timeout_s
            )
            self._transports.append((made, stream))

    def close(self) -> None:
        """Listen no longer; the connections that there are go on."""
        if self._listening.fileno() >= 0:
            self._loop.remove_reader(self._listening)
            self._listening.close()

    async def end(self) -> None:
        """Listen no longer, and abort every connection."""
        self.close()
        await asyncio.sleep(0)  # so that each has begun, and closes what it was accepted as
        for task in self._made:
            task.cancel()
        await asyncio.gather(*self._made)
        for transport, stream in self._transports:
            try:
                transport.abort()
            except (
                AttributeError
            ):  # Python 3.11.2's over TLS, once it was closed twice: it waits for its client's goodbye
                while stream.fileno() >= 0:
                    await asyncio.sleep(_GOODBYE_S / 10)
        await asyncio.sleep(0)  # they close their sockets


@contextlib.asynccontextmanager
async def accepting(
    factory: Callable[[], asyncio.BaseProtocol], port: int = 0, tls: ssl.SSLContext | None = None
) -> AsyncIterator[Accepting]:
    server = Accepting(factory, port, tls)
    try:
        yield server
    finally:
        await server.end()


@contextlib.contextmanager
def spinning(loop: asyncio.AbstractEventLoop) -> Iterator[None]:
    """The loop runs on a thread of its own; then it is closed."""
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
