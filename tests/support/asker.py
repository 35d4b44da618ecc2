"""A cloud in front of a server, asked one picture after the other."""

from __future__ import annotations

import asyncio
from typing import Any

import engines
from rude import Rude

from ondevice.client.connection import address as addresses
from ondevice.client.connection.address import ServerAddress
from ondevice.client.executors.attempt import Attempt, Task
from ondevice.client.executors.cloud import CloudExecutor
from ondevice.client.executors.link import Location
from ondevice.client.executors.request import SendOptions
from ondevice.client.picture import Picture
from ondevice.client.upload_choice import UploadMode
from ondevice.errors import UpstreamError
from ondevice.models import zoo

PICTURE = min(zoo.samples_dir().glob("7/*.png"))


class Asker:
    """A cloud in front of a server, asked one picture after the other."""

    def __init__(self, server: Rude, token: str | None = None) -> None:
        address = ServerAddress.parse(server.url)
        tls = addresses.tls_context(False) if address.scheme == "https" else None
        self.cloud = CloudExecutor(Location(address, token, tls), engines.ENGINE.aside, UploadMode.AUTO)
        self.health, self.discovery = self.cloud.link.health, self.cloud.link.discovery
        self.connections = self.cloud.link.connections

    def begin(self, sla_ms: float = 10_000.0, **more: Any) -> Attempt:
        return engines.on(self.cloud.begin, Task(Picture(PICTURE), sla_ms, 3), SendOptions(**more))

    def ask(self, sla_ms: float = 10_000.0, **more: Any) -> Any:
        attempt = self.begin(sla_ms, **more)
        assert engines.outcome(attempt.task).attempt is attempt
        return attempt.result

    def ready(self) -> bool:
        return engines.awaited(self.discovery.ready(10))

    def maintain(self) -> None:
        engines.on(self.discovery.maintain)

    def close(self) -> None:
        engines.awaited(self._end())

    async def _end(self) -> None:
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self.cloud.link.connections.close()


def failure(result: Any) -> str:
    assert isinstance(result, UpstreamError)
    return result.failure
