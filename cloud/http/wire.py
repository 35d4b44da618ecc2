"""How a request's target and a reply's head stand on the wire."""

from __future__ import annotations

import re
from email.utils import formatdate
from functools import lru_cache
from http import HTTPStatus
from typing import NamedTuple
from urllib.parse import unquote

import httptools

from ondevice.cloud.app.messages import Response

# By status: the first line.
_STATUS = {int(status): f"HTTP/1.1 {status.value} {status.phrase}\r\n" for status in HTTPStatus}


class Target(NamedTuple):
    """authority: of a whole URL, as proxies are asked for: it counts, and not Host (RFC 9112, 3.2.2). Else None."""

    path: str
    query: str
    authority: str | None


@lru_cache(256)  # a client's requests often go to the same
def target(url: bytes) -> Target:
    """What the target of a request says. Raises HttpParserInvalidURLError."""
    parts = httptools.parse_url(url)
    path, query = (parts.path or b"/").decode("latin-1"), (parts.query or b"").decode("latin-1")
    return Target(unquote(path), query, None if parts.schema is None else _authority(url.decode("latin-1")))


def _authority(url: str) -> str:
    return re.split("[/?#]", url.partition("://")[2], maxsplit=1)[0]


def head(response: Response, length: str, keep: bool, http_1_1: bool, at: float) -> bytes:
    """Status and headers. length: the header that tells where the body ends, as a line; empty: there is none.

    keep: whether the connection stays, which a client of HTTP/1.0 has to be told. at: when it is made, in s since 1970.
    """
    text = f"{_STATUS[response.status]}{_date(int(at))}{length}"
    for name, value in response.headers:
        text = f"{text}{name}: {value}\r\n"
    if not keep:
        text += "connection: close\r\n"
    elif not http_1_1:
        text += "connection: keep-alive\r\n"
    return f"{text}\r\n".encode("latin-1")


@lru_cache(1)
def _date(at: int) -> str:
    return f"date: {formatdate(at, usegmt=True)}\r\n"
