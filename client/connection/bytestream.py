"""Bytes both ways on one socket at the same time, plain or TLS, without ever waiting for either."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import struct
from collections import deque
from collections.abc import Callable

from ondevice.client.connection import failures
from ondevice.client.connection.watch import Watch

# Read at a time: all of an ordinary reply, and so little that what is said in it, even in chunks of one byte, does not
# hold up the loop. All of a record of TLS, so that nothing stays in there that the loop does not see.
_PIECE_BYTES = 16 << 10
# Sent at a time: copying it to the kernel takes some tenths of a millisecond. Of TLS one record, for what found no room
# must be sent again as it was.
_TURN_BYTES, _RECORD_BYTES = 1 << 20, 16 << 10
# A record is read when it is whole. What begins with one that fits into the first packet, as far as any network's do,
# is seen to begin when that comes, from which its server tells how long the rest took.
_FIRST_RECORD_BYTES = 1_200
# SO_LINGER for no time: closing drops what the kernel has not sent yet, and tells the other end at once.
_AT_ONCE = struct.pack("ii", 1, 0)
_NOT_NOW = (BlockingIOError, InterruptedError, ssl.SSLWantReadError, ssl.SSLWantWriteError)


def _nothing() -> None:
    """What is done where nothing is to be."""


class ByteStream:
    """A connected socket in the running event loop. open: whether it can be used.

    busy: whether an answer is awaited: what comes otherwise, the end among it, closes the stream. lost: is called when
    it has been closed so.
    """

    def __init__(self, connected: socket.socket) -> None:
        self.open, self.busy = True, False
        self.lost: Callable[[], object] = _nothing
        self._socket = connected
        self._most_bytes = _RECORD_BYTES if isinstance(connected, ssl.SSLSocket) else _TURN_BYTES
        self._unsent, self._sending = deque[memoryview](), False
        self._sent: Callable[[], object] = _nothing
        # What has come and is not read yet, empty bytes at its end, and why nothing more comes.
        self._unread = deque[bytes]()
        self._end: OSError | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._watch = Watch(connected)
        self._watch.reading(self.look)

    @property
    def whole(self) -> bool:
        """Whether all that was to be sent has gone."""
        return not self._unsent

    @property
    def quiet(self) -> bool:
        """Whether nothing is there that was not read, and more may come."""
        return not self._unread and self._end is None

    def send(self, *pieces: bytes | memoryview, sent: Callable[[], object] = _nothing) -> None:
        """Send them, as there is room; they must stay as they are. sent: is called when the kernel has all of them."""
        self._sent = sent
        views = [memoryview(piece) for piece in pieces if piece]
        if views and self._most_bytes == _RECORD_BYTES:
            views[:1] = views[0][:_FIRST_RECORD_BYTES], views[0][_FIRST_RECORD_BYTES:]
        self._unsent.extend(view for view in views if view)
        self._send()

    def stop_sending(self) -> None:
        """Send no more, whatever is left."""
        if self._sending:
            self._watch.stop_writing()
            self._sending = False

    async def next(self) -> bytes:
        """The next bytes; none: the other end sends no more. Raises OSError, and what `give_up` was told."""
        while not self._unread:
            if self._end:
                raise self._end
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
        return self._unread.popleft()

    def give_up(self, why: OSError) -> None:
        """Have `next` raise this, once what has come is read; nothing more is."""
        if self._end is None:
            self._end = why
            self._watch.stop_reading()
            self._wake()

    def look(self) -> None:
        """Take in what has come."""
        try:
            piece = self._socket.recv(_PIECE_BYTES)
        except _NOT_NOW:
            return
        except OSError as error:
            self.give_up(error)
        else:
            self._unread.append(piece)
            if not piece:
                self.give_up(ConnectionResetError())
            self._wake()
        if not self.busy and self.open:
            self.close()
            self.lost()

    def close(self) -> None:
        """Close it, without a word, whoever waits on it; what the kernel has still is sent."""
        if self.open and self._watch.ours:
            self.give_up(ConnectionResetError())
            self._watch.stop()
        self.abandon()

    def abort(self) -> None:
        """Close it so that nothing more is sent, and the other end learns of it at once."""
        if self.open and self._watch.ours:
            with contextlib.suppress(OSError):
                self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
        self.close()

    def abandon(self) -> None:
        """In the child of a fork: close what the child has of it, and leave it to the parent."""
        self.open = False
        self._socket.close()

    def _send(self) -> None:
        room = _TURN_BYTES
        try:
            while self._unsent and room > 0:
                room -= self._send_some()
        except _NOT_NOW:
            pass
        except OSError as error:
            self.stop_sending()
            if not failures.is_lost(error):  # else what it may have said before is still to be read
                self.give_up(error)
            return
        if not self._unsent:
            self.stop_sending()
            sent, self._sent = self._sent, _nothing
            sent()
        elif not self._sending:
            self._sending = True
            self._watch.writing(self._send)

    def _send_some(self) -> int:
        first = self._unsent[0]
        count = self._socket.send(first[: self._most_bytes])
        if count < len(first):
            self._unsent[0] = first[count:]
        else:
            self._unsent.popleft()
        return count

    def _wake(self) -> None:
        if self._waiter and not self._waiter.done():
            self._waiter.set_result(None)
