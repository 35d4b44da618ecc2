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
    """The worker's end of the connection: blocking."""

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection

    def receive(self) -> tuple[Message, bytes]:
        """The next frame. Raises EOFError when the other end is gone."""
        text, payload = _HEAD.unpack(self._exactly(_HEAD.size))
        message: Message = orjson.loads(self._exactly(text))
        return message, self._exactly(payload)

    def send(self, message: Message, payload: bytes | memoryview = b"") -> None:
        """Write one frame, at once: in two pieces the other end would be woken twice."""
        parts = frame(message, payload)
        sent = self._socket.sendmsg(parts)
        for part in parts:
            if sent < len(part):  # a signal came between
                self._socket.sendall(memoryview(part)[sent:])
            sent = max(sent - len(part), 0)

    def _exactly(self, size: int) -> bytes:
        """So many bytes, which the system nearly always gives at once."""
        data = self._socket.recv(size, socket.MSG_WAITALL) if size else b""
        while len(data) < size:  # a signal came between
            more = self._socket.recv(size - len(data))
            if not more:
                raise EOFError
            data += more
        return data
