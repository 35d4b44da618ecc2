"""What the bytes of one reply say, by RFC 9112, as they come. It has no socket and no clock, and trusts nothing."""

from __future__ import annotations

import re
from collections.abc import Callable

from ondevice.client.connection.head import ReplyHead
from ondevice.client.connection.messages import ReplyHeaders
from ondevice.errors import FailureKind, UpstreamError
from ondevice.protocol import headers

# A thousand classes take some 60 kB of JSON; what is larger by far is not an answer to a picture.
MAX_REPLY_BYTES = 4 << 20
# Of status and headers together, and of a trailer: what http.client allows for each line of them.
_MOST_HEAD_BYTES = 64 << 10
# Of the line before a chunk, which has 16 digits and perhaps extensions that nobody reads.
_MOST_LINE_BYTES = 4 << 10
# Before a reply: nobody was asked to say 100, and who says 102 does so every some seconds. More are a way to keep
# somebody waiting.
_MOST_INTERIM = 8
_PROTOCOL = b"HTTP/1."
# A bare line feed ends a line too (RFC 9112, section 2.2).
_HEAD_END = re.compile(rb"\n\r?\n")
_CHUNK = re.compile(rb"([0-9A-Fa-f]{1,16})[ \t]*(?:;.*)?", re.DOTALL)


class ReplyParser:
    """Of one reply; where: the server, for messages. Whatever is wrong raises UpstreamError, and ends it.

    status: 0 until the reply's own head is there. done: whether all of it is. keep_alive: whether its connection may
    then take another request.
    """

    def __init__(self, where: str) -> None:
        self.status, self.headers = 0, ReplyHeaders()
        self.done = self.keep_alive = False
        self._where = where
        self._unread, self._at = bytearray(), 0
        self._body, self._bodies, self._by_line = bytearray(), list[bytes](), False
        self._received = self._searched = self._interim = self._left = self._trailer_bytes = 0
        # Reads a part of it; whether another one may follow in what is there.
        self._step: Callable[[], bool] = self._read_head

    def feed(self, data: bytes) -> None:
        """Take the next bytes."""
        self._received += len(data)
        if self._received > MAX_REPLY_BYTES:
            raise self._too_large()
        self._unread += data
        try:
            while not self.done and self._step():
                pass
        except ValueError as error:
            raise UpstreamError(f"{self._where}: its answer is not HTTP: {error}", FailureKind.WRONG) from error
        del self._unread[: self._at]
        self._at = 0
        if self.done and self._unread:  # nobody asked for that
            self.keep_alive = False

    def eof(self) -> None:
        """Nothing more comes."""
        if self._step == self._read_rest:
            self._end()
        if not self.done:
            said = f"{self._where}: the connection was lost before the answer was whole"
            raise UpstreamError(said, FailureKind.CUT)

    def bodies(self) -> list[bytes]:
        """What is there now and was not before: the whole body; or, where it is one of lines, each of them."""
        came, self._bodies = self._bodies, []
        return came

    def _read_head(self) -> bool:
        unread, start = self._unread, self._at
        if not unread.startswith(_PROTOCOL[: len(unread) - start], start):
            raise ValueError("it does not begin with a status")
        found = _HEAD_END.search(unread, start + max(self._searched - 2, 0))
        if (found.start() if found else len(unread)) - start > _MOST_HEAD_BYTES:
            raise ValueError(f"its head is over {_MOST_HEAD_BYTES >> 10} KiB")
        if not found:
            self._searched = len(unread) - start
            return False
        self._searched, self._at = 0, found.end()
        self._begin(ReplyHead.parse(bytes(unread[start : found.start()]).removesuffix(b"\r")))
        return True

    def _begin(self, head: ReplyHead) -> None:
        if head.status < 200:
            self._interim += 1
            if head.status == 101 or self._interim > _MOST_INTERIM:
                raise ValueError(f"{head.status} was not asked for")
            return
        self.status, self.headers, self.keep_alive = head.status, head.headers, head.persistent
        kind = head.headers.get("content-type", "").partition(";")[0].strip().lower()
        self._by_line = head.status == 200 and kind == headers.LINES
        length = head.length
        if head.chunked and not head.bodiless:
            self._step = self._read_size
        elif length is None:
            self._step, self.keep_alive = self._read_rest, False
        else:
            self._expect(length)
            self._step = self._read_counted

    def _expect(self, size: int) -> None:
        self._left = size
        if len(self._body) + size > MAX_REPLY_BYTES:
            raise self._too_large()

    def _read_counted(self) -> bool:
        self._take()
        if not self._left:
            self._end()
        return False

    def _read_rest(self) -> bool:
        self._left = len(self._unread) - self._at
        self._take()
        return False

    def _read_size(self) -> bool:
        if (line := self._line()) is None:
            return False
        if not (found := _CHUNK.fullmatch(line)):
            raise ValueError("a chunk has no size")
        self._expect(int(found[1], 16))
        self._step = self._read_chunk if self._left else self._read_trailer
        return True

    def _read_chunk(self) -> bool:
        self._take()
        if self._left:
            return False
        self._step = self._read_chunk_end
        return True

    def _read_chunk_end(self) -> bool:
        if (line := self._line()) is None:
            return False
        if line:
            raise ValueError("a chunk is longer than it says")
        self._step = self._read_size
        return True

    def _read_trailer(self) -> bool:
        if (line := self._line()) is None:
            return False
        self._trailer_bytes += len(line) + 1
        if self._trailer_bytes > _MOST_HEAD_BYTES:
            raise ValueError(f"its trailer is over {_MOST_HEAD_BYTES >> 10} KiB")
        if not line:
            self._end()
        return True

    def _line(self) -> bytes | None:
        """The next one, if it is whole."""
        end = self._unread.find(b"\n", self._at)
        if (end if end >= 0 else len(self._unread)) - self._at > _MOST_LINE_BYTES:
            raise ValueError(f"a line between its chunks is over {_MOST_LINE_BYTES >> 10} KiB")
        if end < 0:
            return None
        line = bytes(self._unread[self._at : end])
        self._at = end + 1
        return line.removesuffix(b"\r")

    def _take(self) -> None:
        """As much of the body as is there and belongs to it."""
        piece = self._unread[self._at : self._at + self._left]
        self._at += len(piece)
        self._left -= len(piece)
        self._body += piece
        if self._by_line and b"\n" in piece:
            *lines, self._body = self._body.split(b"\n")
            self._bodies += [bytes(line) for line in lines if line.strip()]

    def _end(self) -> None:
        self.done = True
        if not self._by_line or self._body.strip():
            self._bodies.append(bytes(self._body))

    def _too_large(self) -> UpstreamError:
        return UpstreamError(f"{self._where}: its answer is over {MAX_REPLY_BYTES >> 20} MiB", FailureKind.WRONG)
