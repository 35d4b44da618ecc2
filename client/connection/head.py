"""The head of a reply: its status, its headers, and what they say of the body's length and of the connection."""

from __future__ import annotations

import re
from typing import NamedTuple

from ondevice.client.connection.messages import ReplyHeaders

# HTTP/1.0 and 1.1, or a later 1.x, which must be understood as 1.1 (RFC 9110, section 2.5); the reason may be missing.
_STATUS_LINE = re.compile(r"HTTP/1\.(\d)[ \t]+([1-9]\d\d)(?:[ \t].*)?", re.ASCII)
# http.client takes as many, and no server sends a fifth of them.
_MOST_HEADERS = 100
# A length of more digits is past every integer of 64 bits.
_LENGTH = re.compile(r"\d{1,18}", re.ASCII)
# Statuses whose replies have no body.
_BODILESS = (204, 304)


class ReplyHead(NamedTuple):
    """The head of a reply in HTTP/1.minor. Whatever is asked of it raises ValueError where it contradicts itself."""

    minor: int
    status: int
    headers: ReplyHeaders

    @classmethod
    def parse(cls, data: bytes) -> ReplyHead:
        """From its bytes, without the blank line. Raises ValueError, with the reason."""
        first, *lines = data.decode("latin-1").replace("\r\n", "\n").split("\n")
        if not (found := _STATUS_LINE.fullmatch(first)):
            raise ValueError("it does not begin with a status")
        if len(lines) > _MOST_HEADERS:
            raise ValueError(f"it has over {_MOST_HEADERS} headers")
        return cls(int(found[1]), int(found[2]), ReplyHeaders(_fields(lines)))

    @property
    def chunked(self) -> bool:
        """Whether the body comes in chunks."""
        coding = self.headers.get("transfer-encoding", "identity").lower()
        if coding not in ("identity", "chunked"):  # compressed, though it was asked not to
            raise ValueError("its transfer coding is not known")
        return coding == "chunked"

    @property
    def bodiless(self) -> bool:
        """Whether it is all of the reply, whatever it says."""
        return self.status in _BODILESS

    @property
    def length(self) -> int | None:
        """The body's, in bytes; None: as it comes. Of no use where that is in chunks."""
        if self.bodiless:
            return 0
        if (said := self.headers.get("content-length")) is None:
            return None
        lengths = {one.strip() for one in said.split(",")}  # the same several times is harmless (RFC 9110, 8.6)
        if len(lengths) > 1 or not all(map(_LENGTH.fullmatch, lengths)):
            raise ValueError("its length is not one number")
        return int(lengths.pop())

    @property
    def persistent(self) -> bool:
        """Whether the connection may take another request, as far as this tells."""
        if self.chunked and (self.minor == 0 or "content-length" in self.headers):
            return False  # somebody on the way may see its end elsewhere (RFC 9112, 6.1)
        options = {option.strip().lower() for option in self.headers.get("connection", "").split(",")}
        return "close" not in options and (self.minor > 0 or "keep-alive" in options)


def _fields(lines: list[str]) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    for line in lines:
        if line[:1] in (" ", "\t") and found:  # an old way to go on in another line
            name, value = found.pop()
            found.append((name, f"{value} {line.strip()}"))
            continue
        name, colon, value = line.partition(":")
        if not colon or not name.strip() or name[0].isspace() or "\r" in line or "\0" in line:
            raise ValueError("a line of its head is not a header")
        found.append((name.rstrip(), value.strip(" \t")))
    return found
