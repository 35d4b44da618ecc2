"""The endpoint put together from what the operator set."""

from __future__ import annotations

import asyncio
import io
import logging
import sys
import traceback
from collections.abc import Callable, Sequence
from contextlib import ExitStack, redirect_stderr
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np

from ondevice.cloud.app.cors import CorsApplication
from ondevice.cloud.app.gate import Gate
from ondevice.cloud.app.log import LibraryLog, Log
from ondevice.cloud.app.log_writer import LogWriter
from ondevice.cloud.app.messages import Application
from ondevice.cloud.app.metrics import Metrics
from ondevice.cloud.app.origins import AllowedOrigins
from ondevice.cloud.app.own_hosts import OwnHosts
from ondevice.cloud.app.service import Service
from ondevice.cloud.app.strangers import Strangers
from ondevice.cloud.app.tokens import Tokens
from ondevice.cloud.backends.backend import Backend
from ondevice.cloud.backends.local.local import Local
from ondevice.cloud.backends.local.store import Peers
from ondevice.cloud.backends.upstream.upstream import Upstream
from ondevice.cloud.backends.workers.pool import Pool
from ondevice.cloud.backends.workers.supervisor import Workers
from ondevice.cloud.http.address import ListenAddress
from ondevice.cloud.http.limits import HttpLimits
from ondevice.cloud.reloading import Reloading
from ondevice.cloud.select.rules import Rules
from ondevice.cloud.select.selector import Selector
from ondevice.cloud.server import Server
from ondevice.host import names
from ondevice.models import zoo

# What the end waits for its last lines, where nobody may be reading them.
_LAST_LINES_S = 1.0


@dataclass(frozen=True)
class Setup:
    """What to serve, and how.

    sources: models for this machine. upstreams: URLs of other servers, each with a Host of its own or None, as
    `Upstream` takes them. profiles: the file that keeps learned times. memory_budget: bytes, or None. drain_s: what
    requests in flight are given at the end.
    tokens: of those who may ask, or None for all. hosts: names of this endpoint that this machine does not know of.
    allowed: pages that may ask. peers: other processes that serve the same.
    """

    sources: Sequence[str]
    workers: Workers
    address: ListenAddress
    rules: Rules
    limits: HttpLimits
    tokens: Tokens | None = None
    memory_budget: int | None = None
    profiles: Path | None = None
    drain_s: float = 10.0
    log_requests: bool = True
    upstreams: Sequence[tuple[str, str | None]] = ()
    hosts: Sequence[str] = ()
    allowed: AllowedOrigins = field(default_factory=AllowedOrigins)
    peers: Peers | None = None


def bundled() -> list[str]:
    """The family that is served where nothing else is asked for: bundled, int8, by size."""
    return [e.card.name for e in zoo.entries() if e.origin == "bundled" and e.card.precision == "int8"]


async def serve(setup: Setup, stream: IO[str], listening: Callable[[ListenAddress, Selector], None]) -> None:
    """Start the backends, say where it listens, and serve until told to stop; the log goes to `stream`.

    Raises OnDeviceError where it cannot start.
    """
    metrics, writer = Metrics(), LogWriter(stream.fileno())
    log = Log(writer, setup.log_requests, metrics.event)
    metrics.counter("log_dropped", "Lines of the log that could not be written", lambda: writer.dropped)
    asyncio.get_running_loop().set_exception_handler(partial(_unhandled, log))
    Reloading({"--tokens": setup.tokens, "--tls-cert": setup.address.tls}, log.event).watch()
    with ExitStack() as stack:
        stack.callback(writer.close, _LAST_LINES_S)
        libraries = LibraryLog(log)
        logging.getLogger().addHandler(libraries)
        stack.callback(logging.getLogger().removeHandler, libraries)
        endpoint = await assembled(setup, log, metrics, stack)
        server = Server(
            setup.address, endpoint.app, endpoint.service, endpoint.backends, setup.limits, setup.drain_s, metrics
        )
        await server.run(lambda address: _announce(writer, lambda: listening(address, endpoint.selector)))


class Assembly(NamedTuple):
    """An endpoint put together. app: the service as clients meet it."""

    app: Application
    service: Service
    selector: Selector
    backends: Sequence[Backend]


async def assembled(setup: Setup, log: Log, metrics: Metrics, stack: ExitStack) -> Assembly:
    """The endpoint, its backends started; they end with `stack`. Raises OnDeviceError where it cannot start."""
    pool = Pool(setup.workers, log.event)
    stack.callback(pool.close)
    await pool.start()
    backends = _backends(setup, pool, log)
    for backend in backends:
        stack.callback(backend.close)
        await backend.start()
    selector = Selector(backends, setup.rules, np.random.default_rng())
    metrics.watch(backends)
    service = Service(selector, log, metrics, _gate(setup))
    app: Application = service
    if setup.allowed:
        app = CorsApplication(service, setup.allowed, service.accounting)
    return Assembly(app, service, selector, backends)


def _gate(setup: Setup) -> Gate:
    """Who may ask: those with a token, or all but pages of strangers."""
    if setup.tokens:
        return Gate(setup.tokens)
    address = setup.address
    # Who gets in from a private network may as well know this machine by a name that only that network has.
    hosts = OwnHosts((*names.names(), address.host, *setup.hosts), neighbours=not names.is_loopback(address.host))
    return Gate(Strangers(hosts, setup.allowed, address.tls is not None))


def _announce(writer: LogWriter, listening: Callable[[], None]) -> None:
    """What is said on standard error goes the log's way: a pipe that is full already must not hold up the endpoint."""
    encoding = getattr(sys.stderr, "encoding", None) or "utf-8"
    with redirect_stderr(io.StringIO()) as said:
        listening()
    writer.put(said.getvalue().encode(encoding, "backslashreplace"))


def _unhandled(log: Log, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """An error that nobody awaits goes to the log: asyncio would write it to standard error, and wait for that."""
    error = context.get("exception")
    text = "".join(traceback.format_exception(error)) if error else ""
    log.event("internal error", message=context["message"], traceback=text)


def _backends(setup: Setup, pool: Pool, log: Log) -> list[Backend]:
    """The workers here also decode pictures for upstreams that take only tensors."""
    upstreams = [Upstream(url, pool, log.event, host) for url, host in setup.upstreams]
    if not setup.sources:
        return [*upstreams]
    local = Local(setup.sources, pool, setup.memory_budget, setup.profiles, log.event)
    local.peers = setup.peers
    return [local, *upstreams]
