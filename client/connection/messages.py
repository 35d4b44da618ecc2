"""What is asked of a server, and what comes back."""

from __future__ import annotations

from collections.abc import Mapping
from email.message import Message
from typing import NamedTuple


class HttpReply(NamedTuple):
    """What came back with status 200."""

    headers: Message
    body: bytes


class HttpRequest(NamedTuple):
    """What is asked; `path` begins at /v2."""

    method: str
    path: str
    headers: Mapping[str, str] = {}
    body: bytes = b""
