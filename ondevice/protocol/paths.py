"""Paths in a server's URLs (RFC 3986, section 3.3): those of its models, and what a server has before /v2."""

from __future__ import annotations

import re
from urllib.parse import quote

# Beside letters and digits, what may stand in a path.
_IN_PATHS = "/%-._~!$&'()*+,;=:@"


# What a server is asked for, which does not belong to where it is.
_WITHIN = re.compile(r"/v2/(models|health|repository)(/|$)")


def prefix(path: str) -> str:
    """What stands before /v2, as a user has typed it or percent-encoded, without a slash or the /v2 at its end."""
    return quote(path.rstrip("/").removesuffix("/v2").rstrip("/"), safe=_IN_PATHS)


def within(path: str) -> bool:
    """Whether it is the path of a model or of something else that a server has, rather than the server's own."""
    return bool(_WITHIN.search(path))


def of_model(name: str, version: str | None = None) -> str:
    """Where a model's metadata are. version: None: of the one that the server chooses."""
    path = f"/v2/models/{quote(name, safe='')}"
    return path if version is None else f"{path}/versions/{quote(version, safe='')}"
