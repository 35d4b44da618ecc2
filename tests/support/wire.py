"""The client's connections to a server, as tests ask on them."""

from __future__ import annotations

import re
from collections.abc import Callable
from time import perf_counter

import pytest

from ondevice.client.connection import address as addresses
from ondevice.client.connection.address import ServerAddress
from ondevice.client.connection.connection import HttpConnection
from ondevice.client.connection.messages import HttpReply, HttpRequest
from ondevice.errors import UpstreamError

# A deadline that is to be missed, and one that is not, however busy the machine is.
QUICK_S, PATIENCE_S, LONG_S = 0.3, 30.0, 600.0
PICTURE = HttpRequest("POST", "/v2/models/cnnselect/infer?top=5", {"Content-Type": "image/jpeg"}, bytes(1000))
READY = HttpRequest("GET", "/v2/health/ready")
LARGE = PICTURE._replace(body=bytes(8 << 20))


def connect(
    url: str,
    within_s: float = PATIENCE_S,
    token: str | None = None,
    verify: bool | str = True,
    asked_for: str | None = None,
) -> HttpConnection:
    address = ServerAddress.parse(url, asked_for)
    tls = addresses.tls_context(verify) if address.scheme == "https" else None
    return HttpConnection(address, token, tls, perf_counter() + within_s)


def ask(connection: HttpConnection, request: HttpRequest = PICTURE, within_s: float = PATIENCE_S) -> HttpReply:
    return connection.ask(request, perf_counter() + within_s)


def once(
    url: str, request: HttpRequest = PICTURE, within_s: float = PATIENCE_S, verify: bool | str = True
) -> HttpReply:
    """One request, on a connection of its own."""
    connection = connect(url, within_s, verify=verify)
    try:
        return ask(connection, request, within_s)
    finally:
        connection.close()


def failure(act: Callable[[], object], said: str = ".") -> str:
    """The kind of failure that it ends with, in one line."""
    with pytest.raises(UpstreamError, match=said) as caught:
        act()
    assert re.fullmatch(r"[^\n]{5,300}", str(caught.value))
    return caught.value.failure
