"""Frames between the endpoint and its workers: a small JSON object and raw bytes, each with its length before it."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from typing import Any

import orjson

Message = dict[str, Any]
_HEAD = struct.Struct("<II")


def frame(message: Message, payload: bytes | memoryview = b"") -> tuple[bytes, bytes | memoryview]:
    """The two parts to write, the second as it is given: a picture is not copied."""
    text = orjson.dumps(message)
    return _HEAD.pack(len(text), len(payload)) + text, payload


class Reader:
    """Takes what arrives, in whatever pieces, and gives the frames that are whole."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[tuple[Message, bytes]]:
        """The frames that this piece completes."""
        if not self._buffer and len(data) >= _HEAD.size:
            text, payload = _HEAD.unpack_from(data)
            if len(data) == _HEAD.size + text + payload:  # one frame in one piece, as nearly always
                end = _HEAD.size + text
                yield orjson.loads(data[_HEAD.size : end]), data[end:]
                return
        self._buffer += data
        while len(self._buffer) >= _HEAD.size:
            text, payload = _HEAD.unpack_from(self._buffer)
            start, end = _HEAD.size + text, _HEAD.size + text + payload
            if len(self._buffer) < end:
                return
            message = orjson.loads(self._buffer[_HEAD.size : start])
            body = bytes(self._buffer[start:end])
            del self._buffer[:end]
            yield message, body


class Channel:
    """The worker's end of the connection: blocking, into a buffer that is kept."""

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection
        self._buffer = bytearray(1 << 20)

    def receive(self) -> tuple[Message, bytes]:
        """The next frame. Raises EOFError when the other end is gone."""
        text, payload = _HEAD.unpack(self._exactly(_HEAD.size))
        message: Message = orjson.loads(self._exactly(text))
        return message, bytes(self._exactly(payload))

    def send(self, message: Message, payload: bytes | memoryview = b"") -> None:
        """Write one frame."""
        for part in frame(message, payload):
            if part:
                self._socket.sendall(part)

    def _exactly(self, size: int) -> memoryview:
        if size > len(self._buffer):
            self._buffer = bytearray(size)
        view, got = memoryview(self._buffer)[:size], 0
        while got < size:
            received = self._socket.recv_into(view[got:])
            if not received:
                raise EOFError
            got += received
        return view
