"""The process that is Ray's driver: it has the endpoint served, says where, and ends that once its input is closed.

Ray ends its driver where a process of its own dies, as when a service manager tells all of them to end: so it is not
the command itself, which removes what is left.
"""

from __future__ import annotations

import dataclasses
import json
import os
import sys
from typing import Any

from ondevice import records
from ondevice.cloud.ray.cluster import Cluster, serve_address
from ondevice.cloud.ray.deployment import application
from ondevice.cloud.ray.scaling import ScalingRules
from ondevice.cloud.ray.settings import ReplicaSettings
from ondevice.errors import OnDeviceError


@dataclasses.dataclass(frozen=True)
class DriverOrder:
    """What to have served, how often, and where. ray: what `ray.init` is told."""

    settings: ReplicaSettings
    replicas: ScalingRules
    host: str
    port: int
    ray: dict[str, Any]

    @property
    def text(self) -> str:
        """As `main` is given it."""
        return json.dumps(dataclasses.asdict(self))


@dataclasses.dataclass(frozen=True)
class DriverReply:
    """Where the endpoint listens; or the error for which it does not."""

    host: str = ""
    port: int = 0
    error: str = ""

    @classmethod
    def read(cls, line: bytes) -> DriverReply:
        """From a driver's standard output."""
        return records.read(cls, json.loads(line))


def main() -> int:
    """Serve as the first argument says, a `DriverOrder`; standard output has one line, a `DriverReply`."""
    order = records.read(DriverOrder, json.loads(sys.argv[1]))
    # Ray has its processes look for modules in the folder that its driver is in: nobody puts any here.
    os.chdir("/")
    cluster = Cluster()
    try:
        cluster.connect(**order.ray)
        cluster.serve(application(order.settings, order.replicas), order.host, order.port)
        host, port = serve_address() or (order.host, order.port)
        _say(DriverReply(host, port))
        sys.stdin.read()
    except OnDeviceError as error:
        _say(DriverReply(error=str(error)))
    finally:
        cluster.close()
    return 0


def _say(reply: DriverReply) -> None:
    print(json.dumps(dataclasses.asdict(reply)), flush=True)
