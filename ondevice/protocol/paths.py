"""Paths in a server's URLs (RFC 3986, section 3.3): those of its models, and what a server has before /v2."""

from __future__ import annotations

from urllib.parse import quote

# Beside letters and digits, what may stand in a path.
_IN_PATHS = "/%-._~!$&'()*+,;=:@"


def prefix(path: str) -> str:
    """What stands before /v2, as a user has typed it or percent-encoded, without a slash at its end."""
    return quote(path.rstrip("/"), safe=_IN_PATHS)


def of_model(name: str, version: str | None = None) -> str:
    """Where a model's metadata are. version: None: of the one that the server chooses."""
    path = f"/v2/models/{quote(name, safe='')}"
    return path if version is None else f"{path}/versions/{quote(version, safe='')}"
