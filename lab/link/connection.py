"""One connection through a link: two sockets, and a pipe each way between them."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import random
import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass

from ondevice.lab.link.channel import LinkChannel
from ondevice.lab.link.queue import READ_BYTES, Packet, TcpFlag
from ondevice.lab.link.toxic import ActiveToxics

# Closing a socket with this SO_LINGER (on, for 0 s) resets the connection.
_NO_LINGER = struct.pack("ii", 1, 0)


@dataclass(frozen=True)
class LinkContext:
    """What a connection needs to know of its link.

    to: the target's host and port. handshake: see `LinkConnection`. draws: the chance by which toxics are had. ended:
    called when both sockets are closed.
    """

    up: LinkChannel
    down: LinkChannel
    to: tuple[str, int]
    handshake: bool
    draws: random.Random
    ended: Callable[[LinkConnection], None]


class Side(asyncio.BufferedProtocol):
    """One socket: the client's, or the target's."""

    transport: asyncio.Transport | None = None
    ended = False  # nothing more comes from it

    def __init__(self, connection: LinkConnection) -> None:
        self._connection = connection
        self.source_of: Pipe  # takes what comes from this socket
        self.sink_of: Pipe  # writes to this socket

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The socket is there. It is not read until its pipe is opened."""
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        own = transport.get_extra_info("socket")
        # Else the kernel would hold megabytes behind the link's own buffer.
        own.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, READ_BYTES)
        # Else it would hold small packets back until the peer has acknowledged those before, which takes up to 40 ms.
        # asyncio sets this too, but not for sockets that come from one made without naming TCP.
        own.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # Not at once: asyncio of Python 3.11.2 forgets a pause that comes before it has begun to read.
        asyncio.get_running_loop().call_soon(self.source_of.regulate)
        self._connection.side_opened(self)

    def get_buffer(self, sizehint: int) -> memoryview:
        """Give the event loop somewhere to read into."""
        return self.source_of.channel.read_buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Send on the bytes that were read, so many."""
        channel = self.source_of.channel
        channel.send(self.source_of, bytes(channel.scratch[:nbytes]))

    def eof_received(self) -> bool:
        """The peer has ended its stream, and may still be sent to."""
        self.ended = True
        self.source_of.channel.send(self.source_of, TcpFlag.FIN)
        return True

    def pause_writing(self) -> None:
        """The peer does not take what is written."""
        self.sink_of.set_blocked(True)

    def resume_writing(self) -> None:
        """The peer takes again what is written."""
        self.sink_of.set_blocked(False)

    def connection_lost(self, exc: Exception | None) -> None:
        """The socket is closed."""
        self.ended = True
        self._connection.side_closed(self)

    def set_reading(self, wanted: bool) -> None:
        """Read on, or stop."""
        if self.transport and not self.ended:  # after its end the event loop would report it again and again
            if wanted:
                self.transport.resume_reading()
            else:
                self.transport.pause_reading()

    def write(self, data: bytes) -> None:
        """Send, if there is still someone to send to."""
        if data and self.transport and not self.transport.is_closing():
            self.transport.write(data)

    def end(self) -> None:
        """Send the end of the stream."""
        if self.transport and not self.transport.is_closing():
            with contextlib.suppress(OSError):  # the peer has reset it, which is about to be reported
                self.transport.write_eof()

    def close(self) -> None:
        """Close when all that was written is sent."""
        if self.transport:
            self.transport.close()

    def reset(self) -> None:
        """Close with a TCP reset."""
        if self.transport:
            with contextlib.suppress(OSError):  # it is closed already
                self.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
            self.transport.abort()


class Pipe:
    """What one connection sends one way."""

    def __init__(self, connection: LinkConnection, channel: LinkChannel, source: Side, sink: Side) -> None:
        self.channel = channel
        self.finished = False
        self._connection = connection
        self._source = source
        self._sink = sink
        self._open = False  # the handshake has got so far that data may come
        self._blocked = False  # the sink does not read
        self._toxics = ActiveToxics(connection, connection.link.draws)
        source.source_of = sink.sink_of = self

    def start(self) -> None:
        """The connection begins: its toxics are drawn."""
        self.channel.receivers.add(self)
        self.update_toxics()

    def open(self) -> None:
        """Data may come from now on."""
        self._open = True
        self.regulate()

    def set_blocked(self, blocked: bool) -> None:
        """The sink does not read, or does again."""
        self._blocked = blocked
        self.regulate()

    def regulate(self) -> None:
        """Read from the source or not, as things are."""
        self._source.set_reading(self._open and not self._blocked and not self.channel.full)

    def update_toxics(self) -> None:
        """Have the toxics that the direction has now."""
        self._toxics.update(self.channel.direction.toxics)

    def deliver(self, packets: list[Packet]) -> None:
        """Pass on what has come through the channel."""
        for kind, run in itertools.groupby(packets, type):
            if self._connection.closed:
                return
            if kind is bytes:
                data = self._toxics.data(b"".join(packet for packet in run if isinstance(packet, bytes)))
                self.channel.delivered_bytes += len(data)  # first, so that who has the data finds it counted
                self._sink.write(data)
            else:
                for packet in run:
                    self._connection.flag_arrived(self, packet)

    def finish(self) -> None:
        """Pass the end of the stream on, when all toxics have let it pass."""
        self._toxics.end(self._end_sink)

    def stop(self) -> None:
        """The connection is over."""
        self.channel.receivers.discard(self)
        self._toxics.stop()

    def _end_sink(self) -> None:
        self._sink.end()
        self.finished = True
        self._connection.close_if_finished()


class LinkConnection:
    """A client's connection and the one to the target, from accepting the first to closing both.

    A proxy accepts before anything was sent anywhere, so that a connection through it would cost nothing, where a real
    one costs a round trip before its first byte. With `link.handshake` that is made up for: a SYN passes through the
    link, then the target is connected to, the answer passes back, and only then the client's bytes are read.
    """

    def __init__(self, link: LinkContext) -> None:
        self.link = link
        self.closed = False
        self.client = Side(self)
        self._server = Side(self)
        self._up = Pipe(self, link.up, self.client, self._server)
        self._down = Pipe(self, link.down, self._server, self.client)
        self._live: set[Side] = set()
        self._connecting: asyncio.Task[None] | None = None

    def begin(self) -> None:
        """Let the client's SYN go."""
        self._up.start()
        self._down.start()
        if self.link.handshake:
            self.link.up.send(self._up, TcpFlag.SYN)
        else:
            self._connect()

    def update_toxics(self) -> None:
        """Have the toxics that the directions have now."""
        for pipe in (self._up, self._down):
            if not self.closed and pipe in pipe.channel.receivers:
                pipe.update_toxics()

    def side_opened(self, side: Side) -> None:
        """A socket is there."""
        self._live.add(side)
        if self.closed:
            side.reset()

    def side_closed(self, side: Side) -> None:
        """A socket is closed: by its peer, which the other one learns through the link; or because we did."""
        self._live.discard(side)
        if not self.closed:
            side.source_of.channel.send(side.source_of, TcpFlag.RST)
        elif not self._live:
            self.link.ended(self)

    def flag_arrived(self, pipe: Pipe, flag: Packet) -> None:
        """A packet without data has come through the link."""
        if flag is TcpFlag.SYN:
            self._connect()
        elif flag is TcpFlag.SYN_ACK:
            self._up.open()
            self.link.up.send(self._up, TcpFlag.ACK)
        elif flag is TcpFlag.ACK:
            self._down.open()
        elif flag is TcpFlag.FIN:
            pipe.finish()
        else:
            self.reset()

    def close_if_finished(self) -> None:
        """Close when both streams have ended."""
        if self._up.finished and self._down.finished:
            self.close()

    def close(self) -> None:
        """Close both ends when what was written is sent."""
        self._stop(Side.close)

    def reset(self) -> None:
        """Reset both ends at once, also those that still have something to send."""
        self._stop(Side.reset)

    def _stop(self, how: Callable[[Side], None]) -> None:
        if not self.closed:
            self.closed = True
            self._up.stop()
            self._down.stop()
            if self._connecting:
                self._connecting.cancel()
            if not self._live and self.client.transport:  # else it is about to come, and to be closed
                self.link.ended(self)
        for side in list(self._live):
            how(side)

    def _connect(self) -> None:
        self._connecting = asyncio.get_running_loop().create_task(self._reach_target())

    async def _reach_target(self) -> None:
        try:
            await asyncio.get_running_loop().create_connection(lambda: self._server, *self.link.to)
        except (OSError, UnicodeError):  # the latter for a name that cannot be one
            self.link.down.send(self._down, TcpFlag.RST)
            return
        if self.link.handshake:
            self.link.down.send(self._down, TcpFlag.SYN_ACK)
        else:
            self._up.open()
            self._down.open()
