"""The names in `Host` by which the endpoint may be asked: not a stranger's that leads here (DNS rebinding)."""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Iterable
from functools import lru_cache

from ondevice.errors import UsageError

# A name or an address, a port perhaps; no user, no path.
_AUTHORITY = re.compile(r"(\[[0-9a-z:.%_~-]+\]|[0-9a-z_][0-9a-z._-]*)(?::[0-9]{0,5})?")
# What public name servers never answer for: RFC 6762, ICANN's resolution 2024.07.29.06, RFC 8375.
_PRIVATE = (".local", ".internal", ".home.arpa")


class OwnHosts:
    """names: those of this endpoint. neighbours: so are names that only a private network can know.

    IP addresses always are: whoever is asked by one has not been found by a stranger's name. They may not be this
    machine's own, where a port of another address leads here.
    """

    def __init__(self, names: Iterable[str], neighbours: bool) -> None:
        self._names = {"localhost", *(name.lower().rstrip(".") for name in names)}
        self._neighbours = neighbours
        # Clients send ever the same; strangers may send any.
        self.include = lru_cache(256)(self._include)

    def _include(self, host: str) -> bool:
        """Whether the value of a `Host` is this endpoint; an empty one, which no browser sends, is."""
        if not host:
            return True
        found = _AUTHORITY.fullmatch(host.lower())
        if not found:
            return False
        name = found[1].removesuffix(".")
        return name in self._names or name.endswith(".localhost") or _is_address(name) or self._is_neighbour(name)

    def _is_neighbour(self, name: str) -> bool:
        return self._neighbours and ("." not in name or name.endswith(_PRIVATE))


def host_name(text: str) -> str:
    """A name, without a port, as `OwnHosts` takes it. Raises UsageError."""
    found = _AUTHORITY.fullmatch(text.strip().lower())
    if not found or found[1] != found[0]:
        raise UsageError(f"takes the name of a host such as gpu.example.org, and no more, not '{text}'")
    return found[1]


def _is_address(name: str) -> bool:
    try:
        if name.startswith("["):
            ipaddress.IPv6Address(name[1:-1])
        else:
            socket.inet_aton(name)  # which knows all that clients do, such as 127.1
    except (OSError, ValueError):
        return False
    return True
