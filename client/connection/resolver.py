"""Looking up where a server is, so that a name server which never answers holds up nothing but itself."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import os
import socket
import threading
from concurrent.futures import Future
from time import perf_counter
from typing import Any

from ondevice.client.connection import failures
from ondevice.client.connection.address import ServerAddress

# As socket.getaddrinfo gives them: family, kind, protocol, canonical name, address.
Rows = list[tuple[Any, ...]]


class _Lookups:
    """Those under way, of all threads. The system's own calls cannot be ended: each has a thread that nobody waits for,
    neither a request that is late nor the program at its end, and whoever asks for a name meanwhile shares it.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pending: dict[tuple[str, int], Future[Rows]] = {}

    def find(self, host: str, port: int) -> Future[Rows]:
        """The lookup of this name, begun now unless it is under way. Raises OSError where no thread can be had."""
        with self._lock:
            if pending := self._pending.get((host, port)):
                return pending
            found: Future[Rows] = Future()
            thread = threading.Thread(target=self._run, args=(host, port, found), name="ondevice-lookup", daemon=True)
            try:
                thread.start()
            except RuntimeError as error:
                raise OSError("no thread can be had to look it up") from error
            self._pending[host, port] = found
            return found

    def _run(self, host: str, port: int, found: Future[Rows]) -> None:
        try:
            rows = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except BaseException as error:  # whoever waits must hear of it
            self._over(host, port)
            found.set_exception(error)
        else:
            self._over(host, port)
            found.set_result(rows)

    def _over(self, host: str, port: int) -> None:
        with self._lock:
            self._pending.pop((host, port), None)


_lookups = _Lookups()


def _forget() -> None:
    """The threads have stayed in the parent, perhaps with the lock."""
    global _lookups
    _lookups = _Lookups()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)


async def resolve(address: ServerAddress, until: float) -> Rows:
    """Where the server may be, as socket.getaddrinfo has it, by `until` on perf_counter's clock.

    Raises UpstreamError where that does not come in time, and what socket.getaddrinfo raises.
    """
    if _is_literal(address.host):
        return socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    loop = asyncio.get_running_loop()
    over: asyncio.Future[Future[Rows]] = loop.create_future()

    def hand_over(done: Future[Rows]) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has ended
            loop.call_soon_threadsafe(_settle, over, done)

    within_s = until - perf_counter()
    _lookups.find(address.host, address.port).add_done_callback(hand_over)
    try:
        async with asyncio.timeout(within_s):
            found = await over
    except TimeoutError as error:
        raise failures.late(address.where, "no answer from the name server", within_s) from error
    return found.result()


def _settle(over: asyncio.Future[Future[Rows]], done: Future[Rows]) -> None:
    if not over.done():  # else given up
        over.set_result(done)


def _is_literal(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
