"""The names by which this machine is known on it, without asking the network."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterator
from pathlib import Path

_HOSTS = Path("/etc/hosts")
# A larger file is a list of thousands of strangers' names that are to lead nowhere, at 127.0.0.1.
_MOST_BYTES = 64 << 10


def names(hosts: Path = _HOSTS) -> frozenset[str]:
    """The host name, long and short, and what the file `hosts` calls this machine; in lower case."""
    own = socket.gethostname().lower()
    short = own.partition(".")[0]
    found = {own, short} - {""}
    for address, called in _entries(hosts):
        if is_loopback(address) or not found.isdisjoint(called):
            found |= called
    return frozenset(found)


def _entries(hosts: Path) -> Iterator[tuple[str, set[str]]]:
    """Addresses, and the names of each; none where the file cannot be read or is too large."""
    try:
        text = hosts.read_text(errors="replace") if hosts.stat().st_size <= _MOST_BYTES else ""
    except OSError:
        return
    for line in text.lower().splitlines():
        address, *called = line.partition("#")[0].split() or [""]
        yield address, set(called)


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach what listens there: `localhost`, any address of 127.0.0.0/8, ::1."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:  # another name
        return False
