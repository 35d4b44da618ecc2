"""How the body of a reply is framed (RFC 9112, section 6): by its length, in chunks, or by the connection's end."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import ClassVar

from ondevice.client.connection.unread import Unread

# Of the line before a chunk, which has 16 digits and perhaps extensions that nobody reads; and of one of a trailer.
_MOST_LINE_BYTES = 4 << 10
# Of all lines of a trailer together.
_MOST_TRAILER_BYTES = 64 << 10
_CHUNK = re.compile(rb"([0-9A-Fa-f]{1,16})[ \t]*(?:;.*)?", re.DOTALL)


class CountedBody:
    """Of so many bytes. over: whether all are read. until_eof: whether the connection's end is the body's."""

    until_eof: ClassVar[bool] = False

    def __init__(self, length: int) -> None:
        self._left = length

    @property
    def over(self) -> bool:
        """Whether all are read."""
        return not self._left

    def read(self, unread: Unread) -> Iterator[bytes]:
        """What is there of it."""
        piece = unread.take(self._left)
        self._left -= len(piece)
        yield piece


class RestBody:
    """All that comes. over: never. until_eof: the connection's end is its."""

    until_eof: ClassVar[bool] = True
    over: ClassVar[bool] = False

    def read(self, unread: Unread) -> Iterator[bytes]:
        """All that is there."""
        yield unread.take(len(unread))


class ChunkedBody:
    """In chunks, and a trailer, which nobody looks at. over: whether that is read."""

    until_eof: ClassVar[bool] = False

    def __init__(self) -> None:
        self.over = False
        self._left = self._trailer_bytes = 0
        # The next line is the end of a chunk; or of the trailer.
        self._in_chunk = self._in_trailer = False

    def read(self, unread: Unread) -> Iterator[bytes]:
        """What is there of it. Raises ValueError for what are not chunks."""
        while not self.over:
            if self._left:
                if not (piece := unread.take(self._left)):
                    break
                self._left -= len(piece)
                yield piece
            elif (line := unread.line(_MOST_LINE_BYTES)) is None:
                break
            else:
                self._understand(line)

    def _understand(self, line: bytes) -> None:
        if self._in_chunk:
            if line:
                raise ValueError("a chunk is longer than it says")
            self._in_chunk = False
        elif self._in_trailer:
            self._trailer_bytes += len(line) + 1
            if self._trailer_bytes > _MOST_TRAILER_BYTES:
                raise ValueError(f"its trailer is over {_MOST_TRAILER_BYTES >> 10} KiB")
            self.over = not line
        elif found := _CHUNK.fullmatch(line):
            self._left = int(found[1], 16)
            self._in_chunk, self._in_trailer = self._left > 0, self._left == 0
        else:
            raise ValueError("a chunk has no size")
