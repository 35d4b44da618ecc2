"""A request, what is known of it before its body, and a reply: what the connection and the service tell each other."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import NamedTuple


class Request(NamedTuple):
    """A request; header names are in lower case. first_byte, last_byte: by perf_counter, in s.

    held_s: how long its client was kept from sending, because others were sending so much.
    """

    method: str
    path: str
    query: str
    headers: dict[str, str]
    body: bytes
    first_byte: float
    last_byte: float
    peer: str
    held_s: float = 0.0

    @property
    def upload_ms(self) -> float:
        """What sending it took, without the time for which it was held up here."""
        return (self.last_byte - self.first_byte - self.held_s) * 1e3


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


class Head(NamedTuple):
    """What is known of a request before its body. length: as announced, or None."""

    method: str
    path: str
    headers: dict[str, str]
    length: int | None
    peer: str
