"""A connection of the HTTP layer without a socket, on a given clock."""

from __future__ import annotations

import asyncio

import pytest

pytest.importorskip("httptools", reason="needs the extra: pip install 'ondevice-cnn[serve]'")

from http_server import SMALL, Asked

from ondevice.cloud.app.messages import Request, Response
from ondevice.cloud.http.connection import Connection
from ondevice.cloud.http.connections import Connections
from ondevice.cloud.http.limits import HttpLimits


class Line(asyncio.Transport):
    """A connection's other end, which keeps what it is sent. unsent: what its client has not taken yet, in bytes."""

    def __init__(self) -> None:
        super().__init__()
        self.written, self.closed, self.reading = b"", False, True
        self.unsent, self.aborted, self.ended = 0, False, False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += bytes(data)

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        self.ended = True

    def get_write_buffer_size(self) -> int:
        return self.unsent

    def is_closing(self) -> bool:
        return self.closed

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self.protocol = protocol

    def close(self) -> None:
        self.closed = True

    def abort(self) -> None:
        self.closed = self.aborted = True


class Timed:
    """A server with one connection, whose time passes as the test says."""

    def __init__(self, limits: HttpLimits = SMALL) -> None:
        self.seen: list[Request] = []
        self.answering = asyncio.Event()
        self.answering.set()
        self.line = Line()
        self.connections = Connections(Asked(self._answer), limits)
        self.connection = Connection(self.connections)
        self.connection.connection_made(self.line)

    async def _answer(self, request: Request) -> Response:
        self.seen.append(request)
        await self.answering.wait()
        return Response(200, (), request.body)

    async def take(self, data: str) -> None:
        """Receive this, and answer what is whole by it."""
        self.connection.data_received(data.encode())
        await rest()


async def rest() -> None:
    for _ in range(5):
        await asyncio.sleep(0)
