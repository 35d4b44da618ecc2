"""How a request's target and a reply's head stand on the wire."""

from __future__ import annotations

from functools import lru_cache
from http import HTTPStatus
from urllib.parse import unquote

import httptools

from ondevice.cloud.app.messages import Response


@lru_cache(256)  # a client's requests often go to the same
def target(url: bytes) -> tuple[str, str]:
    """Path and query. Raises HttpParserInvalidURLError."""
    parts = httptools.parse_url(url)
    return unquote((parts.path or b"/").decode("latin-1")), (parts.query or b"").decode("latin-1")


def head(response: Response, length: str, keep: bool) -> bytes:
    """Status and headers. length: the header that tells where the body ends; empty: there is none."""
    lines = [f"HTTP/1.1 {response.status} {HTTPStatus(response.status).phrase}"]
    lines += [f"{name}: {value}" for name, value in response.headers]
    lines += [length] if length else []
    lines += [] if keep else ["connection: close"]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")
