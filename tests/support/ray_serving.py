"""A running `ondevice serve --ray`, and what of it is to be found on this machine."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterable
from pathlib import Path

from serving import Endpoint, children, command, until

from ondevice.cloud.ray import remains

# Where Ray Serve has replicas listen for its proxy, on 127.0.0.1 as /proc has it.
_LOOPBACK, _PORTS = "0100007F", range(30000, 31001)


class RayEndpoint(Endpoint):
    """`ondevice serve --ray`, with what of it is to be found on this machine."""

    @property
    def folder(self) -> Path:
        """Where its Ray keeps what it keeps."""
        named = re.compile(rb"RAY_AUTH_TOKEN_PATH=([^\0]+)/token\0")
        environments = (environ(pid) for pid in children(self.process.pid))
        return Path(next(found[1].decode() for found in map(named.search, environments) if found))

    def named(self, name: str) -> list[int]:
        """Its processes that are called so."""
        return [pid for pid in remains.processes(str(self.folder)) if name in command(pid)]

    @property
    def replicas(self) -> dict[int, str]:
        """Where each of them listens for the proxy, which is once it serves, by its process id."""
        found = {}
        for pid in self.named("ServeReplica"):
            for port in listening([pid]).get(_LOOPBACK, set()) & set(_PORTS):
                found[pid] = f"http://127.0.0.1:{port}"
        return found

    def replicas_but(self, count: int, gone: Iterable[int] = ()) -> dict[int, str]:
        """The same, once there are so many without these."""

        def there() -> dict[int, str] | None:
            found = {pid: url for pid, url in self.replicas.items() if pid not in set(gone)}
            return found if len(found) == count else None

        found: dict[int, str] = until(there, 60)
        return found


def environ(pid: int) -> bytes:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/environ").read_bytes()
    return b""


def listening(pids: Iterable[int]) -> dict[str, set[int]]:
    """The ports on which these listen, by address as /proc has it."""
    inodes = set()
    for pid in pids:
        with contextlib.suppress(OSError):
            for link in Path(f"/proc/{pid}/fd").iterdir():
                with contextlib.suppress(OSError):
                    inodes.add(os.readlink(link).removeprefix("socket:[").removesuffix("]"))  # noqa: PTH115 - no path
    found: dict[str, set[int]] = {}
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and fields[9] in inodes:
                address, _, port = fields[1].partition(":")
                found.setdefault(address, set()).add(int(port, 16))
    return found
