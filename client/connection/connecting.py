"""A connection to the first of a server's addresses that takes one, and TLS on it."""

from __future__ import annotations

import asyncio
import errno
import itertools
import os
import socket
import ssl
from collections.abc import Iterator
from time import perf_counter
from typing import NamedTuple
from weakref import WeakSet

from ondevice.client.connection.resolver import Rows
from ondevice.client.connection.watch import Watch

# After so long the next address is tried beside the one that has not answered (RFC 8305, section 5, recommends it).
_NEXT_S = 0.25
_UNDER_WAY = (errno.EINPROGRESS, errno.EWOULDBLOCK, errno.EAGAIN)


# Those that are not an `HttpStream` yet, or not only just: what the child of a fork has of them keeps them open.
_begun: WeakSet[socket.socket] = WeakSet()


def _leave() -> None:
    """In the child: leave them to the parent, whose closing them would not end them else."""
    for begun in list(_begun):
        begun.close()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_leave)


class Connected(NamedTuple):
    """A socket that is connected. took_ms: its round trip."""

    socket: socket.socket
    took_ms: float


async def connect(rows: Rows, until: float) -> Connected:
    """To the first that takes one by `until`, on perf_counter's clock. Raises OSError, TimeoutError among them."""
    left_s = until - perf_counter()
    race = _Race(rows, min(_NEXT_S, left_s / max(len(rows), 1)))
    try:
        async with asyncio.timeout(left_s):
            if (connected := await race.over) is None:
                raise race.failure
        race.release(connected.socket)
    finally:
        race.close()
    return connected


async def secure(plain: socket.socket, context: ssl.SSLContext, name: str) -> ssl.SSLSocket:
    """TLS on it with whoever proves to be `name`; the plain one is used up. Raises OSError."""
    made = _wrapped(plain, context, name)
    _begun.add(made)
    watch = Watch(made)
    try:
        while (to_write := _handshake(made)) is not None:
            await watch.ready(to_write)
    except BaseException:  # given up, too
        made.close()
        raise
    return made


def _wrapped(plain: socket.socket, context: ssl.SSLContext, name: str) -> ssl.SSLSocket:
    try:
        plain.getpeername()
        return context.wrap_socket(
            plain, server_hostname=name, do_handshake_on_connect=False, suppress_ragged_eofs=False
        )
    except OSError as error:
        raise ConnectionResetError(errno.ECONNRESET, os.strerror(errno.ECONNRESET)) from error
    finally:
        plain.close()  # wrapped, it is another one


def _handshake(made: ssl.SSLSocket) -> bool | None:
    """Go on; whether that has to wait for room to send, or for an answer; None: all is done."""
    try:
        made.do_handshake()
    except ssl.SSLWantReadError:
        return False
    except ssl.SSLWantWriteError:
        return True
    return None


class _Race:
    """Attempts at several addresses, each begun when the one before has failed or had its time (RFC 8305).

    over: with the winner, or with None and the last failure.
    """

    def __init__(self, rows: Rows, next_s: float) -> None:
        self._loop = asyncio.get_running_loop()
        self.over: asyncio.Future[Connected | None] = self._loop.create_future()
        self._rows, self._next_s = _interleaved(rows), next_s
        self._attempts: dict[socket.socket, Watch] = {}
        self.failure = OSError("it has no address")
        self._timer: asyncio.TimerHandle | None = None
        self._begin_next()

    def release(self, kept: socket.socket) -> None:
        """Leave it open."""
        self._attempts.pop(kept)

    def close(self) -> None:
        """End all attempts."""
        if self._timer:
            self._timer.cancel()
        self._rows = iter(())
        for attempt, watch in self._attempts.items():
            watch.stop()
            attempt.close()
        self._attempts.clear()

    def _begin_next(self) -> None:
        if self._timer:
            self._timer.cancel()
        for row in self._rows:
            try:
                self._begin(*row)
            except OSError as error:
                self.failure = error
            else:
                self._timer = self._loop.call_later(self._next_s, self._begin_next)
                return
        if not self._attempts and not self.over.done():
            self.over.set_result(None)

    def _begin(self, family: int, kind: int, protocol: int, _: str, where: tuple[object, ...]) -> None:
        attempt = socket.socket(family, kind, protocol)
        _begun.add(attempt)
        try:
            attempt.setblocking(False)
            attempt.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            begun = perf_counter()
            if (number := attempt.connect_ex(where)) and number not in _UNDER_WAY:
                raise OSError(number, os.strerror(number))
        except BaseException:
            attempt.close()
            raise
        self._attempts[attempt] = watch = Watch(attempt)
        watch.writing(lambda: self._ended(attempt, begun))

    def _ended(self, attempt: socket.socket, begun: float) -> None:
        self._attempts[attempt].stop()
        if number := attempt.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            self.failure = OSError(number, os.strerror(number))
            del self._attempts[attempt]
            attempt.close()
            self._begin_next()
        elif not self.over.done():
            self.over.set_result(Connected(attempt, (perf_counter() - begun) * 1e3))


def _interleaved(rows: Rows) -> Iterator[tuple[int, int, int, str, tuple[object, ...]]]:
    """Families in turn, so that one which leads nowhere costs one attempt and not one for each of its addresses."""
    families = {row[0]: [other for other in rows if other[0] == row[0]] for row in rows}
    for several in itertools.zip_longest(*families.values()):
        yield from (row for row in several if row)
