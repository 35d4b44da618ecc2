"""Where another server is, as an operator writes it."""

from __future__ import annotations

import re
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from ondevice.errors import UsageError, naming
from ondevice.protocol import headers, paths

TOKEN_VARIABLE = "ONDEVICE_UPSTREAM_TOKEN"
# What stands before /v2, if anything; then the model and its version, where one is meant.
_PATH = re.compile(r"(?P<prefix>(?:/[^/]+)*?)(?:/v2/models/(?P<model>[^/]+)(?:/versions/(?P<version>[^/]+))?)?/?")
# Parts of other URLs of a server, which nobody means to put before /v2.
_MISTAKEN = re.compile(r"/v[12](/|$)")


class UpstreamUrl(NamedTuple):
    """The server's base URL, what stands before /v2 included; its name, host:port and that; the model that is meant, or
    None for all, and its version, or None for the one that its server chooses; the Host that it is asked for, or None.
    """

    base: str
    name: str
    model: str | None
    version: str | None
    host: str | None


def parsed(url: str, host: str | None = None) -> UpstreamUrl:
    """What is meant by a URL, asked for a Host of its own or None. Raises UsageError."""
    try:
        parts = urlsplit(url)
        usual = {"http": 80, "https": 443}[parts.scheme]
        port = parts.port or usual
    except (ValueError, KeyError):
        raise _malformed() from None
    found = _PATH.fullmatch(parts.path)
    rest = parts.username is not None or parts.password is not None or parts.query or parts.fragment
    if not parts.hostname or rest or not found or _MISTAKEN.search(found["prefix"]):
        raise _malformed()
    with naming("--upstream-host"):
        asked = headers.checked_host(host) if host is not None else None
    where = f"[{parts.hostname}]:{port}" if ":" in parts.hostname else f"{parts.hostname}:{port}"
    model, version = (part and unquote(part) for part in found.group("model", "version"))
    prefix = paths.prefix(found["prefix"])
    return UpstreamUrl(f"{parts.scheme}://{where}{prefix}", f"{asked or where}{prefix}", model, version, asked)


def _malformed() -> UsageError:
    # What was given is not repeated: it may hold a password.
    return UsageError(
        "--upstream takes http://HOST:PORT or http://HOST:PORT/PREFIX, https too, and behind it /v2/models/NAME for "
        f"one of its models; its token goes into the environment variable {TOKEN_VARIABLE}"
    )
