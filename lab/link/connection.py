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

from ondevice.lab.link.channel import READ_BYTES, Channel, Item, Mark
from ondevice.lab.link.toxic import Effect, Toxic, effect

# Closing a socket with this set resets the connection.
_NO_LINGER = struct.pack("ii", 1, 0)


@dataclass(frozen=True)
class Terms:
    """What a connection needs to know of its link. ended: called when both sockets are closed."""

    up: Channel
    down: Channel
    to: tuple[str, int]
    handshake: bool
    random: random.Random
    ended: Callable[[Connection], None]


class Side(asyncio.BufferedProtocol):
    """One socket: the client's, or the target's."""

    transport: asyncio.Transport | None = None
    ended = False  # nothing more comes from it

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.sends: Pipe  # what comes from this socket
        self.gets: Pipe  # what is written to it

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
        asyncio.get_running_loop().call_soon(self.sends.regulate)
        self._connection.made(self)

    def get_buffer(self, sizehint: int) -> memoryview:
        """Where to read into."""
        return self.sends.channel.room

    def buffer_updated(self, nbytes: int) -> None:
        """So much was read."""
        self.sends.channel.send(self.sends, bytes(self.sends.channel.scratch[:nbytes]))

    def eof_received(self) -> bool:
        """The peer has ended its stream, and may still be sent to."""
        self.ended = True
        self.sends.channel.send(self.sends, Mark.FIN)
        return True

    def pause_writing(self) -> None:
        """The peer does not take what is written."""
        self.gets.stop(True)

    def resume_writing(self) -> None:
        """It does again."""
        self.gets.stop(False)

    def connection_lost(self, exc: Exception | None) -> None:
        """The socket is closed."""
        self.ended = True
        self._connection.lost(self)

    def read(self, wanted: bool) -> None:
        """Read on, or stop."""
        if self.transport and not self.ended:  # after its end the event loop would report it again and again
            if wanted:
                self.transport.resume_reading()
            else:
                self.transport.pause_reading()

    def write(self, data: bytes) -> None:
        """Send, if there is still someone to send to."""
        if self.transport and not self.transport.is_closing():
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

    def __init__(self, connection: Connection, channel: Channel, source: Side, sink: Side) -> None:
        self.channel = channel
        self.finished = False
        self._connection = connection
        self._source = source
        self._sink = sink
        self._open = False  # the handshake has got so far that data may come
        self._stopped = False  # the sink does not read
        self._toxics: tuple[Toxic, ...] = ()  # what the way had when they were last drawn
        self._effects: list[Effect] = []
        source.sends = sink.gets = self

    def start(self) -> None:
        """The connection begins: its toxics are drawn."""
        self.channel.receivers.add(self)
        self.infect()

    def open(self) -> None:
        """Data may come from now on."""
        self._open = True
        self.regulate()

    def stop(self, stopped: bool) -> None:
        """The sink does not read, or does again."""
        self._stopped = stopped
        self.regulate()

    def regulate(self) -> None:
        """Read from the source or not, as things are."""
        self._source.read(self._open and not self._stopped and not self.channel.full)

    def infect(self) -> None:
        """Have the toxics that the way has now; those that stay go on, and whoever was spared one stays spared."""
        before, self._toxics = self._toxics, self.channel.way.toxics
        gone = [running for running in self._effects if running.toxic not in self._toxics]
        new = [toxic for toxic in self._toxics if toxic not in before]
        drawn = [toxic for toxic in new if self._connection.terms.random.random() < toxic.toxicity]
        self._effects = [running for running in self._effects if running not in gone]
        self._effects += [effect(toxic, self._connection) for toxic in drawn]
        for running in gone:
            running.removed()  # which may close the connection

    def deliver(self, items: list[Item]) -> None:
        """Pass on what has come through the channel."""
        for kind, run in itertools.groupby(items, type):
            if self._connection.closed:
                return
            if kind is bytes:
                self._write(b"".join(item for item in run if isinstance(item, bytes)))
            else:
                for item in run:
                    self._connection.arrived(self, item)

    def finish(self) -> None:
        """Pass the end of the stream on, when all toxics have let it pass."""
        self._finish(self._effects)

    def shut(self) -> None:
        """The connection is over."""
        self.channel.receivers.discard(self)
        for running in self._effects:
            running.stop()

    def _finish(self, effects: list[Effect]) -> None:
        if effects:
            effects[0].end(lambda: self._finish(effects[1:]))
        else:
            self._sink.end()
            self.finished = True
            self._connection.check()

    def _write(self, data: bytes) -> None:
        for running in self._effects:
            data = running.data(data)
        if data:
            self.channel.delivered_bytes += len(data)  # first, so that who has the data finds it counted
            self._sink.write(data)


class Connection:
    """A client's connection and the one to the target, from accepting the first to closing both.

    A proxy accepts before anything was sent anywhere, so that a connection through it would cost nothing, where a real
    one costs a round trip before its first byte. With `terms.handshake` that is made up for: a SYN passes through the
    link, then the target is connected to, the answer passes back, and only then the client's bytes are read.
    """

    def __init__(self, terms: Terms) -> None:
        self.terms = terms
        self.closed = False
        self.client = Side(self)
        self._server = Side(self)
        self._up = Pipe(self, terms.up, self.client, self._server)
        self._down = Pipe(self, terms.down, self._server, self.client)
        self._live: set[Side] = set()
        self._connecting: asyncio.Task[None] | None = None

    def begin(self) -> None:
        """Let the client's SYN go."""
        self._up.start()
        self._down.start()
        if self.terms.handshake:
            self.terms.up.send(self._up, Mark.SYN)
        else:
            self._connect()

    def infect(self) -> None:
        """Have the toxics that the ways have now."""
        for pipe in (self._up, self._down):
            if not self.closed and pipe in pipe.channel.receivers:
                pipe.infect()

    def made(self, side: Side) -> None:
        """A socket is there."""
        self._live.add(side)
        if self.closed:
            side.reset()

    def lost(self, side: Side) -> None:
        """A socket is closed: by its peer, which the other one learns through the link; or because we did."""
        self._live.discard(side)
        if not self.closed:
            side.sends.channel.send(side.sends, Mark.RST)
        elif not self._live:
            self.terms.ended(self)

    def arrived(self, pipe: Pipe, item: Item) -> None:
        """A mark has come through the link."""
        if item is Mark.SYN:
            self._connect()
        elif item is Mark.SYN_ACK:
            self._up.open()
            self.terms.up.send(self._up, Mark.ACK)
        elif item is Mark.ACK:
            self._down.open()
        elif item is Mark.FIN:
            pipe.finish()
        else:
            self.reset()

    def check(self) -> None:
        """Close when both streams have ended."""
        if self._up.finished and self._down.finished:
            self.close()

    def close(self) -> None:
        """Close both ends when what was written is sent."""
        self._shut(Side.close)

    def reset(self) -> None:
        """Reset both ends at once, also those that still have something to send."""
        self._shut(Side.reset)

    def _shut(self, how: Callable[[Side], None]) -> None:
        if not self.closed:
            self.closed = True
            self._up.shut()
            self._down.shut()
            if self._connecting:
                self._connecting.cancel()
            if not self._live and self.client.transport:  # else it is about to come, and to be closed
                self.terms.ended(self)
        for side in list(self._live):
            how(side)

    def _connect(self) -> None:
        self._connecting = asyncio.get_running_loop().create_task(self._reach())

    async def _reach(self) -> None:
        try:
            await asyncio.get_running_loop().create_connection(lambda: self._server, *self.terms.to)
        except (OSError, UnicodeError):  # the latter for a name that is none
            self.terms.down.send(self._down, Mark.RST)
            return
        if self.terms.handshake:
            self.terms.down.send(self._down, Mark.SYN_ACK)
        else:
            self._up.open()
            self._down.open()
