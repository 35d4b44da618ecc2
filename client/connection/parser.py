"""What the bytes of one reply say, by RFC 9112, as they come. It has no socket and no clock, and trusts nothing."""

from __future__ import annotations

from ondevice.client.connection.body import ChunkedBody, CountedBody, RestBody
from ondevice.client.connection.head import ReplyHead
from ondevice.client.connection.messages import ReplyHeaders
from ondevice.client.connection.unread import Unread
from ondevice.errors import FailureKind, UpstreamError
from ondevice.protocol import headers

# A thousand classes take some 60 kB of JSON, the names of twenty thousand half a megabyte. Reading much more as JSON
# would keep everything else in the process from running for tenths of a second.
MAX_REPLY_BYTES = 1 << 20
# Of status and headers together: what http.client allows for each line of them.
_MOST_HEAD_BYTES = 64 << 10
# Before a reply: nobody was asked to say 100, and who says 102 does so every some seconds. More are a way to keep
# somebody waiting.
_MOST_INTERIM = 8


class ReplyParser:
    """Of one reply; where: the server, for messages. Whatever is wrong raises UpstreamError, and ends it.

    status: 0 until the reply's own head is there. done: whether all of it is. keep_alive: whether its connection may
    then take another request.
    """

    def __init__(self, where: str) -> None:
        self.status, self.headers = 0, ReplyHeaders()
        self.done = self.keep_alive = False
        self._where, self._unread = where, Unread()
        self._received = self._interim = 0
        self._body: CountedBody | ChunkedBody | RestBody | None = None
        # What of the body is not handed out yet: whole ones, or lines, and the beginning of one.
        self._bodies, self._begun, self._by_line = list[bytes](), list[bytes](), False

    def feed(self, data: bytes) -> None:
        """Take the next bytes."""
        self._received += len(data)
        if self._received > MAX_REPLY_BYTES:
            raise self._too_large()
        self._unread.add(data)
        try:
            if not self.done:
                self._read()
        except ValueError as error:
            raise UpstreamError(f"{self._where}: its answer is not HTTP: {error}", FailureKind.WRONG) from error
        if self.done and len(self._unread):  # nobody asked for that
            self.keep_alive = False

    def eof(self) -> None:
        """Nothing more comes."""
        if self._body and self._body.until_eof:
            self._end()
        if not self.done:
            said = f"{self._where}: the connection was lost before the answer was whole"
            raise UpstreamError(said, FailureKind.CUT)

    def bodies(self) -> list[bytes]:
        """What is there now and was not before: the whole body; or, where that is of lines, each that is not empty."""
        came, self._bodies = self._bodies, []
        return came

    def _read(self) -> None:
        while self._body is None:
            if not self._unread.begins(b"HTTP/1."):
                raise ValueError("it does not begin with a status")
            if (head := self._unread.head(_MOST_HEAD_BYTES)) is None:
                return
            self._begin(ReplyHead.parse(head))
        for piece in self._body.read(self._unread):
            self._take(piece)
        if self._body.over:
            self._end()

    def _begin(self, head: ReplyHead) -> None:
        if head.status < 200:
            self._interim += 1
            if head.status == 101:
                raise ValueError("it goes over to another protocol, which was not asked for")
            if self._interim > _MOST_INTERIM:
                raise ValueError(f"it says over {_MOST_INTERIM} times that it is to come")
            return
        self.status, self.headers, self.keep_alive = head.status, head.headers, head.persistent
        kind = head.headers.get("content-type", "").partition(";")[0].strip().lower()
        self._by_line = head.status == 200 and kind == headers.LINES
        length = head.length
        if head.chunked and not head.bodiless:
            self._body = ChunkedBody()
        elif length is None:
            self._body, self.keep_alive = RestBody(), False
        elif length > MAX_REPLY_BYTES:
            raise self._too_large()
        else:
            self._body = CountedBody(length)

    def _take(self, piece: bytes) -> None:
        if self._by_line and b"\n" in piece:
            *lines, piece = b"".join([*self._begun, piece]).split(b"\n")
            self._bodies += [line for line in lines if line.strip()]
            self._begun.clear()
        self._begun.append(piece)

    def _end(self) -> None:
        self.done = True
        body = b"".join(self._begun)
        if not self._by_line or body.strip():
            self._bodies.append(body)

    def _too_large(self) -> UpstreamError:
        return UpstreamError(f"{self._where}: its answer is over {MAX_REPLY_BYTES >> 20} MiB", FailureKind.WRONG)
