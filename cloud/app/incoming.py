"""A request whose body is coming: it is put together, and a picture that is too large is refused while it comes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from ondevice.cloud.app.messages import Head, Request, Response
from ondevice.protocol import headers
from ondevice.protocol.picture import MAX_PIXELS, PictureHead

# With so many bytes all formats but TIFF have told their size.
_HEADER_BYTES = 32
# So these begin, which are decoded at a fraction of their size: whether they are too large is the decoder's to say.
_JPEG = b"\xff\xd8"

# As requests have it here.
_LENGTH = headers.LENGTH.lower()

Handler = Callable[[Request], Awaitable[Response]]
# A reply that says no: to which request, with what status, and why.
Refuser = Callable[[Head, int, str], Response]


class Incoming:
    """A request that is put together for `handle`; what its body's first bytes rule out, `refuse` answers."""

    __slots__ = ("_handle", "_head", "_pieces", "_refuse", "_unseen")

    def __init__(self, head: Head, handle: Handler, refuse: Refuser) -> None:
        self._head, self._handle, self._refuse = head, handle, refuse
        # Where the length is announced, few; else there may be millions, of a byte each: these become one at once.
        self._pieces: list[bytes | bytearray | memoryview] = [] if head.length is not None else [bytearray()]
        # Whether it may be a picture whose header has not been looked at; with JSON before it, it is none.
        self._unseen = _LENGTH not in head.headers

    def receive(self, data: bytes | memoryview) -> Response | None:
        """Take a piece of the body; the reply to a picture of too many pixels, of which there is more to come."""
        begun = self._pieces[0] if self._pieces else None
        if isinstance(begun, bytearray):
            begun += data
        else:
            self._pieces.append(data)
        return self._look() if self._unseen and len(data) != self._head.length else None

    def answer(self, last_byte: float, held_s: float) -> Awaitable[Response]:
        """The reply to what was received, which is all."""
        pieces, self._pieces = self._pieces, []
        whole = pieces[0] if len(pieces) == 1 else b""
        content = whole if isinstance(whole, memoryview) else b"".join(pieces)
        return self._handle(Request(self._head, content, last_byte, held_s))

    def _look(self) -> Response | None:
        start = b"".join(self._pieces)
        if len(start) < _HEADER_BYTES:
            return None
        self._unseen = False
        if start.startswith(_JPEG):
            return None
        picture = PictureHead.read(start)
        if picture.pixels <= MAX_PIXELS:
            return None
        size = f"{picture.width} x {picture.height} pixels"
        return self._refuse(
            self._head, 400, f"{size}; at most {MAX_PIXELS // 10**6} megapixels are decoded here, make it smaller first"
        )
