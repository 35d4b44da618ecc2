"""One replica: the endpoint's front and its worker, in the process that Ray has started for it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import sys
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from ondevice.cloud.app.log import LibraryLog, Log
from ondevice.cloud.app.log_writer import LogWriter
from ondevice.cloud.app.metrics import Metrics
from ondevice.cloud.app.tokens import Tokens
from ondevice.cloud.endpoint import Setup, assembled
from ondevice.cloud.ray.asgi import AsgiEntrance
from ondevice.cloud.ray.autoscaling import reported
from ondevice.cloud.ray.peers import RayPeers, SharedPrice
from ondevice.cloud.ray.settings import ReplicaSettings
from ondevice.cloud.server import tick
from ondevice.errors import UsageError

# What the end waits for its last lines, where nobody may be reading them.
_LAST_LINES_S = 1.0


class RunningReplica:
    """The endpoint with these settings. application: whose replicas learn from each other. entrance: what answers
    requests.
    """

    def __init__(self, settings: ReplicaSettings, application: str) -> None:
        self._settings, self._application, self._stack = settings, application, ExitStack()
        self._ticking: asyncio.Task[None] | None = None
        self.entrance: AsgiEntrance

    async def start(self, host: str, port: int) -> None:
        """Start it, to be asked where Ray listens. Raises OnDeviceError."""
        setup = self._settings.setup(host, port)
        try:
            await self._assemble(setup)
        except BaseException:
            self._stack.close()
            raise

    async def _assemble(self, setup: Setup) -> None:
        metrics, writer = Metrics(), LogWriter(self._descriptor())
        self._stack.callback(writer.close, _LAST_LINES_S)
        log = Log(writer, setup.log_requests, metrics.event)
        libraries = LibraryLog(log)
        logging.getLogger().addHandler(libraries)
        self._stack.callback(logging.getLogger().removeHandler, libraries)
        peers = RayPeers(self._application, log.event)
        self._stack.callback(peers.close)
        endpoint = await assembled(replace(setup, peers=peers), log, metrics, self._stack)
        expectations = endpoint.selector.expectations
        self._traffic = expectations.traffic
        price = SharedPrice(peers, expectations.pressure)
        price.begin()
        self.entrance = AsgiEntrance(endpoint.app, setup.limits)
        self._stack.callback(endpoint.service.flush)
        self._stack.callback(endpoint.service.stop)
        due = [endpoint.service.flush, *(backend.tick for backend in endpoint.backends), price.tell, peers.send]
        if setup.tokens:
            due.append(FreshTokens(setup.tokens, log).look)
        self._ticking = asyncio.create_task(tick(due))
        log.event("replica started", pid=os.getpid())
        self._stack.callback(log.event, "replica ended", pid=os.getpid())

    def reported(self) -> dict[str, float]:
        """What came so far, by which is seen whether more replicas are needed."""
        return reported(self._traffic, self._settings.workers)

    def _descriptor(self) -> int:
        if self._settings.log is None:
            return sys.stderr.fileno()
        # Not to wait for a reader that has gone.
        descriptor = os.open(self._settings.log, os.O_WRONLY | os.O_APPEND | os.O_NONBLOCK)
        self._stack.callback(os.close, descriptor)
        return descriptor

    async def close(self) -> None:
        """End it, once what was asked is answered; also where it was not started."""
        if self._ticking:
            self._ticking.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._ticking
        self._stack.close()


class FreshTokens:
    """Tokens read again once their file has changed: no signal reaches a replica."""

    def __init__(self, tokens: Tokens, log: Log) -> None:
        self._tokens, self._log = tokens, log
        self._seen = self._stamps()

    def look(self) -> None:
        """Read them if they have."""
        stamps = self._stamps()
        if stamps == self._seen:
            return
        self._seen = stamps
        try:
            self._tokens.reload()
        except UsageError as error:
            self._log.event("not reloaded", flag="--tokens", error=f"{error}; what was read before still holds")
        else:
            self._log.event("reloaded", flag="--tokens")

    def _stamps(self) -> list[tuple[int, int] | None]:
        return [_stamp(path) for path in self._tokens.paths]


def _stamp(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ino
