"""Where another server is, as an operator writes it."""

from __future__ import annotations

import re
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from ondevice.errors import UsageError

TOKEN_VARIABLE = "ONDEVICE_UPSTREAM_TOKEN"
_ONE_MODEL = re.compile(r"/v2/models/([^/]+)")


class UpstreamUrl(NamedTuple):
    """The server's base URL; its name, host:port; and that of the one model that is meant, or None for all."""

    base: str
    name: str
    model: str | None


def parsed(url: str) -> UpstreamUrl:
    """What is meant by a URL. Raises UsageError."""
    try:
        parts = urlsplit(url)
        port = parts.port or {"http": 80, "https": 443}[parts.scheme]
    except (ValueError, KeyError):
        raise _malformed() from None
    one = _ONE_MODEL.fullmatch(parts.path)
    rest = parts.username is not None or parts.password is not None or parts.query or parts.fragment
    if not parts.hostname or rest or not (one or parts.path in ("", "/")):
        raise _malformed()
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return UpstreamUrl(f"{parts.scheme}://{host}:{port}", f"{host}:{port}", unquote(one[1]) if one else None)


def _malformed() -> UsageError:
    # What was given is not repeated: it may hold a password.
    return UsageError(
        "--upstream takes http://HOST:PORT, https too, or http://HOST:PORT/v2/models/NAME for one of its models; "
        f"its token goes into the environment variable {TOKEN_VARIABLE}"
    )
