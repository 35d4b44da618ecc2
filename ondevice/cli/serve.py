"""`ondevice serve`: the CNNSelect endpoint."""

from __future__ import annotations

import enum
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ondevice.cli import described, interrupts, serving_notes
from ondevice.cli.commands import grouped
from ondevice.cli.options import RuntimeName, check_secret, kept_file, size_bytes
from ondevice.cli.ray_serving import RayFlags
from ondevice.errors import UsageError, naming

if TYPE_CHECKING:
    from ondevice.cloud.app.origins import AllowedOrigins
    from ondevice.cloud.app.tokens import Tokens
    from ondevice.cloud.backends.workers.supervisor import Workers
    from ondevice.cloud.endpoint import Setup
    from ondevice.cloud.http.address import Certificate, ListenAddress
    from ondevice.cloud.http.limits import HttpLimits
    from ondevice.cloud.select.rules import Rules
    from ondevice.cloud.select.selector import Selector


class Overload(enum.StrEnum):
    """What to do with what cannot be in time."""

    REFUSE = "refuse"
    BEST_EFFORT = "best-effort"


@dataclass(frozen=True)
class ModelFlags:
    """What is served."""

    models: Annotated[
        str | None,
        typer.Option(
            "--models",
            help="Names from `ondevice models list` or paths to .tflite files, with commas between.",
            show_default="the bundled family",
        ),
    ] = None
    upstream: Annotated[
        list[str] | None,
        typer.Option(
            "--upstream",
            metavar="URL",
            help="Choose among the models of another Open Inference Protocol server too, such as http://gpu:8000; "
            "for one of its models alone, http://gpu:8000/v2/models/NAME; with a path where it has one before /v2. May "
            "be given several times.",
            show_default=False,
        ),
    ] = None
    upstream_host: Annotated[
        list[str] | None,
        typer.Option(
            "--upstream-host",
            metavar="HOST",
            help="The Host that --upstream is asked for, where an ingress goes by it, as KServe's does: one for all, "
            "or one for each, in their order.",
            show_default="the URL's",
        ),
    ] = None

    def sources(self) -> list[str]:
        """The models of this machine; without a word of any, the bundled family."""
        from ondevice.cloud.endpoint import bundled

        if self.models is None:
            return [] if self.upstream else bundled()
        names = [name.strip() for name in self.models.split(",") if name.strip()]
        for name in names:
            serving_notes.check_text(name)
        return names

    def upstreams(self) -> list[tuple[str, str | None]]:
        """The other servers' URLs, and the Host that each is asked for. Raises UsageError."""
        urls, hosts = self.upstream or [], self.upstream_host or []
        if hosts and not urls:
            raise UsageError("--upstream-host is for --upstream: give that too")
        if len(hosts) not in (0, 1, len(urls)):
            raise UsageError(
                f"there are {len(hosts)} --upstream-host for {len(urls)} --upstream: give one, or one for each"
            )
        for_all = hosts[0] if hosts else None
        return [(url, hosts[n] if len(hosts) > 1 else for_all) for n, url in enumerate(urls)]


@dataclass(frozen=True)
class AddressFlags:
    """Where it listens."""

    host: Annotated[str, typer.Option("--host", help="The address to listen on.")] = "127.0.0.1"
    port: Annotated[int, typer.Option("--port", "-p", min=0, max=65535, help="The port; 0: any free one.")] = 8000


@dataclass(frozen=True)
class RuleFlags:
    """How a model is chosen."""

    policy: Annotated[
        str,
        typer.Option(
            "--policy",
            help="The rule for requests that name none, with its settings: `mdinference:gamma=2`.",
        ),
    ] = "effective"
    sla: Annotated[float, typer.Option("--sla", help="The deadline of requests that name none, ms.")] = 1000.0
    overload: Annotated[
        Overload,
        typer.Option(
            "--overload",
            help="When others wait, what cannot be in time is refused at once (503), or served all the same.",
        ),
    ] = Overload.REFUSE
    anytime: Annotated[
        int,
        typer.Option(
            "--anytime",
            min=1,
            max=8,
            help="So many models may answer one request that asks for it, each answer sent when it is there, while as "
            "many workers are idle; 1: never more than one.",
        ),
    ] = 2

    def rules(self) -> Rules:
        """The rules. Raises UsageError."""
        from ondevice.cloud.select.rules import Rules

        return Rules(self.policy, self.sla, self.overload is Overload.REFUSE, anytime=self.anytime)


@dataclass(frozen=True)
class WorkerFlags:
    """What runs the models here."""

    workers: Annotated[
        int | None,
        typer.Option(
            "--workers",
            "-w",
            min=1,
            max=256,
            help="Processes.",
            show_default="as many as --threads fit the cores",
        ),
    ] = None
    threads: Annotated[int, typer.Option("--threads", "-t", min=1, help="The runtime's threads in each process.")] = 1
    runtime: RuntimeName = None
    memory_budget: Annotated[
        str | None,
        typer.Option(
            "--memory-budget",
            help="What the loaded models of all processes may take, such as 200MB; the least useful are unloaded.",
            show_default="no limit",
        ),
    ] = None
    profiles: Annotated[
        Path | None,
        typer.Option(
            "--profiles",
            help="The file that keeps the learned times.",
            show_default="one for this machine in the user's cache",
        ),
    ] = None

    def processes(self) -> Workers:
        """How many processes, and what each may use."""
        from ondevice import host
        from ondevice.cloud.backends.workers.supervisor import Workers

        cores = host.current().cpu_budget()
        return Workers(self.workers or max(1, cores // self.threads), self.threads, self.runtime)

    def budget_bytes(self) -> int | None:
        """What loaded models may take, if that is limited. Raises UsageError."""
        return size_bytes("--memory-budget", self.memory_budget) if self.memory_budget else None


@dataclass(frozen=True)
class AccessFlags:
    """Who gets in, and whether the line is encrypted."""

    tokens: Annotated[
        Path | None,
        typer.Option(
            "--tokens",
            help="A file of bearer tokens, one a line: only who sends one is served. SIGHUP reads it again, and "
            "certificate and key.",
        ),
    ] = None
    open_to_all: Annotated[
        bool, typer.Option("--open", help="Listen on other addresses than loopback without --tokens.")
    ] = False
    tls_cert: Annotated[Path | None, typer.Option("--tls-cert", help="Certificate (chain), PEM: serve https.")] = None
    tls_key: Annotated[Path | None, typer.Option("--tls-key", help="The certificate's key, PEM.")] = None
    allow_host: Annotated[
        list[str] | None,
        typer.Option(
            "--allow-host",
            metavar="NAME",
            help="Serve requests to this host name too, without --tokens: it leads here, though this machine does not "
            "know it, such as a proxy's that passes it on. May be given several times.",
            show_default="this machine's names and any IP address",
        ),
    ] = None
    cors: Annotated[
        list[str] | None,
        typer.Option(
            "--cors",
            metavar="ORIGIN",
            help="Let web pages of this origin ask, such as https://photos.example.org; *: of any. May be given "
            "several times.",
            show_default="none but the endpoint's own",
        ),
    ] = None

    def check(self, host: str) -> None:
        """Raise UsageError where this would let anyone in who has not been let in expressly."""
        from ondevice.host.names import is_loopback

        if self.tokens and self.allow_host:
            raise UsageError("--allow-host is for serving without --tokens: with them any name will do")
        if not is_loopback(host) and not self.tokens and not self.open_to_all:
            raise UsageError(f"--host {host} lets others in: give --tokens FILE, or --open to serve anyone who asks")

    def known(self) -> Tokens | None:
        """The tokens of those who are served. Raises UsageError."""
        from ondevice.cloud.app.tokens import Tokens

        if self.tokens is None:
            return None
        check_secret("--tokens", self.tokens)
        with naming("--tokens"):
            return Tokens(self.tokens)

    def hosts(self) -> tuple[str, ...]:
        """Names of this endpoint that this machine does not know of. Raises UsageError."""
        from ondevice.cloud.app.own_hosts import host_name

        with naming("--allow-host"):
            return tuple(host_name(name) for name in self.allow_host or ())

    def allowed(self) -> AllowedOrigins:
        """The pages that may ask. Raises UsageError."""
        from ondevice.cloud.app.origins import AllowedOrigins

        with naming("--cors"):
            return AllowedOrigins(self.cors or ())

    def tls(self) -> Certificate | None:
        """The encryption. Raises UsageError."""
        from ondevice.cloud.http.address import Certificate

        if bool(self.tls_cert) != bool(self.tls_key):
            raise UsageError("--tls-cert and --tls-key belong together: give both")
        if not self.tls_cert or not self.tls_key:
            return None
        check_secret("--tls-key", self.tls_key)
        return Certificate(self.tls_cert, self.tls_key)


@dataclass(frozen=True)
class ConnectionFlags:
    """What a client may ask of the server."""

    max_body: Annotated[str, typer.Option("--max-body", help="The largest body that is accepted.")] = "16MB"
    max_connections: Annotated[
        int,
        typer.Option(
            "--max-connections",
            min=1,
            help="Connections at once; idle ones give way to new ones, and where all are busy more are refused (503).",
        ),
    ] = 512
    send_timeout: Annotated[
        float, typer.Option("--send-timeout", min=0.1, help="A request must arrive within so many seconds.")
    ] = 30.0

    def limits(self) -> HttpLimits:
        """The limits. Raises UsageError."""
        from ondevice.cloud.http.limits import HttpLimits

        body_bytes = size_bytes("--max-body", self.max_body)
        return HttpLimits(body_bytes, connections=self.max_connections, send_s=self.send_timeout)


@grouped
def serve(
    model: ModelFlags,
    address: AddressFlags,
    rule: RuleFlags,
    worker: WorkerFlags,
    access: AccessFlags,
    connection: ConnectionFlags,
    ray: RayFlags,
    drain: Annotated[
        float, typer.Option("--drain", min=0, help="Seconds that requests in flight are given at the end.")
    ] = 10.0,
    log_requests: Annotated[
        bool, typer.Option("--log-requests/--no-log-requests", help="A line of JSON on stderr for each request.")
    ] = True,
) -> None:
    """Serve a set of models, and for each request choose the most useful one that is in time.

    Ends on Ctrl-C or SIGTERM, when the requests in flight are answered.
    """
    from ondevice import extras

    extras.require("serve", "`ondevice serve`")
    from ondevice.cloud.endpoint import Setup
    from ondevice.cloud.http.address import ListenAddress

    rules = rule.rules()
    tls = access.tls()
    access.check(address.host)
    sources = model.sources()
    for source in sources:
        described.tell_of(source)
    setup = Setup(
        sources,
        worker.processes(),
        ListenAddress(address.host, address.port, tls),
        rules,
        connection.limits(),
        access.known(),
        worker.budget_bytes(),
        kept_file("--profiles", worker.profiles),
        drain,
        log_requests,
        model.upstreams(),
        access.hosts(),
        access.allowed(),
    )
    if ray.wanted():
        ray.run(setup, worker.workers, access.open_to_all, access.allow_host or (), access.cors or ())
    else:
        _run(setup)


def _run(setup: Setup) -> None:
    import asyncio

    from ondevice.cloud.endpoint import serve as endpoint
    from ondevice.cloud.server import event_loop

    with asyncio.Runner(loop_factory=lambda: event_loop(setup.address.tls is not None)) as runner:
        interrupts.as_python_has_it()
        runner.run(endpoint(setup, sys.stderr, _say))


def _say(address: ListenAddress, selector: Selector) -> None:
    serving_notes.say(address, [served for backend in selector.backends for served in backend.models], selector.rules)
