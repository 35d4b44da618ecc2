"""How a request's target and a reply's head stand on the wire."""

from __future__ import annotations

from functools import lru_cache
from http import HTTPStatus
from urllib.parse import unquote

import httptools

from ondevice.cloud.app.messages import Response

# By status: the first line.
_STATUS = {int(status): f"HTTP/1.1 {status.value} {status.phrase}\r\n" for status in HTTPStatus}


@lru_cache(256)  # a client's requests often go to the same
def target(url: bytes) -> tuple[str, str]:
    """Path and query. Raises HttpParserInvalidURLError."""
    parts = httptools.parse_url(url)
    return unquote((parts.path or b"/").decode("latin-1")), (parts.query or b"").decode("latin-1")


def head(response: Response, length: str, keep: bool) -> bytes:
    """Status and headers. length: the header that tells where the body ends, as a line; empty: there is none."""
    lines = [f"{name}: {value}\r\n" for name, value in response.headers]
    end = "\r\n" if keep else "connection: close\r\n\r\n"
    return "".join((_STATUS[response.status], *lines, length, end)).encode("latin-1")
