"""What the service is asked and what it answers, as any server can put it: a head, a body as it comes, a reply.

    app.begin(head)                      a reply at once, or a request whose body is wanted
      .receive(data), as often as it comes    a reply already, or None: go on
      .answer(last_byte, held_s)         the reply, once all is here

A reply before the end needs no more of the body.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable
from typing import NamedTuple, Protocol


class Head(NamedTuple):
    """What is known of a request before its body; header names are in lower case. length: the body's, or None where it
    was not announced, or comes compressed.

    peer: the client's address. first_byte: when it came, by perf_counter, in s.
    """

    method: str
    path: str
    query: str
    headers: dict[str, str]
    length: int | None
    peer: str
    first_byte: float


class Request(NamedTuple):
    """A request that is whole. content: its body, perhaps a part of what was received, for a picture is not copied
    without need. last_byte: by perf_counter, in s.

    held_s: how long its client was kept from sending, because others were sending so much.
    """

    head: Head
    content: bytes | memoryview
    last_byte: float
    held_s: float = 0.0

    @property
    def body(self) -> bytes:
        """Its body by itself."""
        return bytes(self.content)

    @property
    def upload_ms(self) -> float:
        """What sending it took, without the time for which it was held up here."""
        return (self.last_byte - self.head.first_byte - self.held_s) * 1e3


class Piece(NamedTuple):
    """Of a body that is sent as it comes. last: whether it is known to be the last."""

    data: bytes
    last: bool


class Response(NamedTuple):
    """A reply. headers: names and values, without Content-Length and Connection. body: or its pieces, each sent as soon
    as it comes; making them raises nothing.
    """

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes | AsyncGenerator[Piece, None]


class ArrivingRequest(Protocol):
    """A request whose body is coming."""

    def receive(self, data: bytes | memoryview) -> Response | None:
        """Take a piece of the body, a view where that is all of it; the reply, with a body of bytes, where the rest is
        not wanted.
        """

    def answer(self, last_byte: float, held_s: float) -> Awaitable[Response]:
        """The reply to what was received, which is all; the times are those of `Request`."""


class Application(Protocol):
    """What answers requests."""

    def begin(self, head: Head) -> ArrivingRequest | Response:
        """The request that begins so, or the reply, with a body of bytes, where its body is not wanted."""

    def refusal(self, status: int, message: str) -> Response:
        """An error of the transport as a reply, in the words of the protocol in use."""
