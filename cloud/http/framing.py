"""What a request's head must keep to, so that everybody on its way agrees for whom it is and where it ends."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple

# Which one counts, of two of these, is not for us to guess; what others have several of is a list (RFC 9110, 5.3).
_ONCE = frozenset({"host", "authorization", "content-encoding", "content-type"})
# A name, an address of version 4 or of 6, and a port (RFC 9110, 7.2).
_HOST = re.compile(r"(\[[0-9a-fA-F:.]+\]|[\w.~!$&'()*+;=%-]*)(:\d*)?", re.ASCII)


class Fault(NamedTuple):
    """Why a head is not to be trusted, and no more of its connection is read."""

    status: int
    message: str


def headers(fields: Sequence[tuple[bytes, bytes]]) -> dict[str, str]:
    """By name in lower case; of several with one name a list, with commas."""
    # Blanks behind a value do not belong to it (RFC 9110, 5.5); the parser leaves them there.
    made = {name.decode("latin-1").lower(): value.decode("latin-1").rstrip(" \t") for name, value in fields}
    if len(made) == len(fields):
        return made
    several: dict[str, list[str]] = {}
    for name, value in fields:
        several.setdefault(name.decode("latin-1").lower(), []).append(value.decode("latin-1").rstrip(" \t"))
    return {name: ", ".join(values) for name, values in several.items()}


def head_bytes(url: bytes, fields: Sequence[tuple[bytes, bytes]]) -> int:
    """How long a head is on the wire, but for its method."""
    return len(url) + sum(len(name) + len(value) + 4 for name, value in fields)


def fault(fields: Sequence[tuple[bytes, bytes]], headers: Mapping[str, str], http_1_1: bool) -> Fault | None:
    """What is wrong with a head. headers: what was made of its fields. http_1_1: of this version, else of 1.0."""
    host, coding = headers.get("host"), headers.get("transfer-encoding")
    if len(headers) < len(fields) and (name := _twice(fields)):
        return Fault(400, f"{name.title()} is given more than once")
    if host is None:
        if http_1_1:
            return Fault(400, "give a Host header, as HTTP/1.1 asks for")
    elif not _is_host(host):
        return Fault(400, "the Host header is not the name or address of a host, and a port")
    return None if coding is None else _of_coding(coding, http_1_1)


def _twice(fields: Sequence[tuple[bytes, bytes]]) -> str | None:
    names = [name.decode("latin-1").lower() for name, _ in fields]
    return next((name for name in names if name in _ONCE and names.count(name) > 1), None)


@lru_cache(256)  # a client's requests go to the same, and clients mostly too
def _is_host(value: str) -> bool:
    return _HOST.fullmatch(value) is not None


def _of_coding(coding: str, http_1_1: bool) -> Fault | None:
    if not http_1_1:
        return Fault(400, "HTTP/1.0 has no Transfer-Encoding: send a Content-Length")
    if coding.lower() != "chunked":
        said = f"Transfer-Encoding {coding[:40]} is not read here: send chunked alone, or a Content-Length"
        return Fault(501, said)
    return None
