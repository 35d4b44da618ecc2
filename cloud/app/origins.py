"""Which web pages may ask: those of the endpoint's own address, and those of the origins that the operator named."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache

from ondevice.errors import UsageError

_ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://(?:\[[0-9a-f:.]+\]|[0-9a-z_][0-9a-z._-]*)(?::[0-9]{1,5})?")
_DEFAULT_PORTS = {"http": ":80", "https": ":443"}
ANY = "*"


class AllowedOrigins:
    """named: origins such as https://photos.example.org, `null`, or * for all. Raises UsageError for what is none.

    only: the one that is named, where it is one.
    """

    def __init__(self, named: Iterable[str] = ()) -> None:
        self._named = {_parsed(text) for text in named}
        self.any = ANY in self._named
        self.only = min(self._named) if len(self._named) == 1 else None

    def __bool__(self) -> bool:
        return bool(self._named)

    def include(self, origin: str) -> bool:
        """Whether pages of an `Origin` may ask."""
        return self.any or origin in self._named


def _parsed(text: str) -> str:
    origin = text.strip().lower()
    if origin in (ANY, "null"):
        return origin
    if not _ORIGIN.fullmatch(origin):
        raise UsageError(f"takes an origin such as https://photos.example.org, without a path, not '{text}'")
    return _without_default_port(origin)


def _without_default_port(origin: str) -> str:
    """As browsers write it."""
    return origin.removesuffix(_DEFAULT_PORTS.get(origin.partition("://")[0], ":"))


@lru_cache(256)  # pages ask often; strangers may send any
def is_same(origin: str, host: str, encrypted: bool) -> bool:
    """Whether an `Origin` is that of the page that a request with this `Host` gets.

    encrypted: whether it came by https; else it may have, to a proxy.
    """
    schemes = ("https",) if encrypted else ("http", "https")
    return origin.lower() in {_without_default_port(f"{scheme}://{host.lower()}") for scheme in schemes}
