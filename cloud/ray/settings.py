"""What a replica serves and how, in plain values: Ray carries them to other machines, and people write them as YAML."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from ondevice import records
from ondevice.cloud.app.origins import AllowedOrigins
from ondevice.cloud.app.own_hosts import host_name
from ondevice.cloud.app.tokens import Tokens
from ondevice.cloud.backends.workers.supervisor import Workers
from ondevice.cloud.endpoint import Setup, bundled
from ondevice.cloud.http.address import ListenAddress
from ondevice.cloud.http.limits import HttpLimits
from ondevice.cloud.select.rules import Rules
from ondevice.errors import UsageError, naming
from ondevice.host.names import is_loopback


@dataclass(frozen=True)
class ReplicaSettings:
    """What `ondevice serve` has flags for, under their names. models: names and paths, with commas between.

    upstream: URLs, with commas between; upstream_host: one for all of them, or one for each. tokens: the path of a file
    that lies on each machine. workers: processes of each replica; several answers to one request take as many. open:
    whether anybody may ask who reaches Ray's port. max_body: bytes; memory_budget: bytes, or None. log: where the lines
    of the log go, a path; standard error, which Ray keeps, without.
    """

    models: str = ""
    upstream: str = ""
    upstream_host: str = ""
    policy: str = "effective"
    sla: float = 1000.0
    refuse: bool = True
    anytime: int = 2
    workers: int = 1
    threads: int = 1
    runtime: str | None = None
    memory_budget: int | None = None
    profiles: str | None = None
    tokens: str | None = None
    open: bool = False
    allow_host: str = ""
    cors: str = ""
    max_body: int = 16 << 20
    send_timeout: float = 30.0
    drain: float = 10.0
    log_requests: bool = True
    log: str | None = None

    @classmethod
    def read(cls, values: Mapping[str, Any]) -> ReplicaSettings:
        """From the arguments of an application, all of which may be text. Raises UsageError."""
        text = {field.name for field in fields(cls) if "str" in str(field.type)}
        try:
            return records.read(cls, {name: value if name in text else _value(value) for name, value in values.items()})
        except ValueError as error:
            raise UsageError(f"ondevice.cloud.ray: {error}") from error

    @property
    def cpus(self) -> int:
        """What one replica computes with."""
        return self.workers * self.threads

    def setup(self, host: str, port: int) -> Setup:
        """To be served where Ray listens. Raises UsageError."""
        if not (is_loopback(host) or self.tokens or self.open):
            raise UsageError(
                f"Ray Serve listens on {host}, which lets others in: give tokens=FILE, or open=true to serve anyone"
            )
        with naming("allow_host"):
            hosts = [host_name(name) for name in _listed(self.allow_host)]
        with naming("cors"):
            allowed = AllowedOrigins(_listed(self.cors))
        return Setup(
            self.sources(),
            Workers(self.workers, self.threads, self.runtime),
            ListenAddress(host, port),
            Rules(self.policy, self.sla, self.refuse, anytime=self.anytime),
            HttpLimits(self.max_body, send_s=self.send_timeout),
            Tokens(Path(self.tokens)) if self.tokens else None,
            self.memory_budget,
            Path(self.profiles) if self.profiles else None,
            self.drain,
            self.log_requests,
            self._upstreams(),
            hosts,
            allowed,
        )

    def _upstreams(self) -> list[tuple[str, str | None]]:
        urls, hosts = _listed(self.upstream), _listed(self.upstream_host)
        if len(hosts) not in (0, 1, len(urls)):
            raise UsageError(
                f"there are {len(hosts)} upstream_host for {len(urls)} upstream: give one, or one for each"
            )
        each: list[str | None] = [*hosts] if len(hosts) == len(urls) else [hosts[0] if hosts else None] * len(urls)
        return list(zip(urls, each, strict=True))

    def sources(self) -> list[str]:
        """The models of a replica; without a word of any, the bundled family."""
        return bundled() if not (self.models or self.upstream) else _listed(self.models)


def _listed(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _value(given: Any) -> Any:
    """What stands for a number, or true or false; else the text, of which `records` says what is wrong."""
    if not isinstance(given, str):
        return given
    try:
        return json.loads(given)
    except ValueError:
        return given
