"""`ondevice serve --ray`: the endpoint by Ray Serve."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ondevice.cli.console import note
from ondevice.cli.serving_notes import print_url
from ondevice.errors import UsageError, naming
from ondevice.protocol import cnnselect, paths

if TYPE_CHECKING:
    from ondevice.cloud.endpoint import Setup
    from ondevice.cloud.http.address import ListenAddress
    from ondevice.cloud.ray.settings import ReplicaSettings


@dataclass(frozen=True)
class RayFlags:
    """Where it runs."""

    ray: Annotated[
        bool,
        typer.Option(
            "--ray",
            help="Serve by Ray Serve, in a Ray of this command's own; --workers, 1 by default, are each replica's.",
        ),
    ] = False
    replicas: Annotated[
        str | None,
        typer.Option(
            "--replicas",
            metavar="COUNT",
            help="With --ray: endpoints behind one proxy, each with all the models; 1..4: as many as are worth it, by "
            "the price of a worker's time and what is refused.",
            show_default="as many as fit the cores",
        ),
    ] = None
    ray_address: Annotated[
        str | None,
        typer.Option(
            "--ray-address",
            metavar="HOST:PORT",
            help="With --ray: a Ray that runs already, with RAY_AUTH_MODE=token, and its token here.",
            show_default="one that starts and ends with this",
        ),
    ] = None

    def wanted(self) -> bool:
        """Whether to serve by Ray. Raises UsageError."""
        for flag, given in (("--ray-address", self.ray_address), ("--replicas", self.replicas)):
            if given and not self.ray:
                raise UsageError(f"{flag} is for --ray: give that too")
        return self.ray

    def run(
        self, setup: Setup, workers: int | None, open_to_all: bool, hosts: Iterable[str], cors: Iterable[str]
    ) -> None:
        """Serve until told to end: what was asked for, and what of it flags say. Raises OnDeviceError."""
        from ondevice import extras, host
        from ondevice.cloud.ray.scaling import ScalingRules

        if setup.address.tls:
            raise UsageError(
                "--tls-cert is not for --ray: its proxy speaks HTTP alone; have TLS end at what stands before it"
            )
        extras.require("ray", "`ondevice serve --ray`")
        from ondevice.cloud.ray import environment
        from ondevice.cloud.ray.session import RaySession

        told = _settings(setup, workers or 1, open_to_all, hosts, cors)
        with naming("--replicas"):
            replicas = ScalingRules.read(self.replicas or str(max(1, host.current().cpu_budget() // told.cpus)))
        session = RaySession(told, replicas, setup.address.host, setup.address.port, setup.limits, self.ray_address)
        environment.refuse_without_tokens(os.environ)
        note("Ray is being started, which takes some ten seconds")
        session.run(sys.stderr, _say)


def _settings(
    setup: Setup, workers: int, open_to_all: bool, hosts: Iterable[str], cors: Iterable[str]
) -> ReplicaSettings:
    """What each replica is told, which may run in another folder."""
    from ondevice.cloud.ray.settings import ReplicaSettings

    rules, (tokens,) = setup.rules, setup.tokens.paths if setup.tokens else (None,)
    return ReplicaSettings(
        models=",".join(map(_anywhere, setup.sources)),
        upstream=",".join(url for url, _ in setup.upstreams),
        upstream_host=",".join(host for _, host in setup.upstreams if host),
        policy=rules.policy,
        sla=rules.sla_ms,
        refuse=rules.refuse,
        anytime=rules.anytime,
        workers=workers,
        threads=setup.workers.threads,
        runtime=setup.workers.runtime,
        memory_budget=setup.memory_budget,
        profiles=str(setup.profiles.absolute()) if setup.profiles else None,
        tokens=str(tokens.absolute()) if tokens else None,
        open=open_to_all,
        allow_host=",".join(hosts),
        cors=",".join(cors),
        max_body=setup.limits.body_bytes,
        send_timeout=setup.limits.send_s,
        drain=setup.drain_s,
        log_requests=setup.log_requests,
    )


def _anywhere(source: str) -> str:
    path = Path(source).expanduser()
    return str(path.absolute()) if path.is_file() else source


def _say(address: ListenAddress, others: list[tuple[str, str]]) -> None:
    """Where it listens, what else does, and a line to try."""
    for what, port in others:
        note(f"port {port} is open to other machines: {what}")
    note("each replica has a port for Ray's own calls besides, which asks for this run's token; Ctrl-C ends all of it")
    said = f"{address.url}{paths.of_model(cnnselect.NAME)}/infer"
    note(f"try: curl --data-binary @photo.jpg -H 'Content-Type: image/jpeg' '{said}'")
    print_url(address)
