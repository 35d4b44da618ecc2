"""`ondevice link`: the link emulator in front of any TCP server."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ondevice.cli.commands import grouped
from ondevice.cli.console import Format, emit, note
from ondevice.cli.options import OutputFormat, size_bytes
from ondevice.errors import UsageError

if TYPE_CHECKING:
    from ondevice.lab.link import Direction, Link, LinkSpec
    from ondevice.lab.link.toxic import Toxic
    from ondevice.lab.link.trace import Trace


@dataclass(frozen=True)
class EndFlags:
    """What is linked."""

    to: Annotated[
        list[str],
        typer.Option(
            "--to", metavar="HOST:PORT", help="The server behind the link; given several times: several links."
        ),
    ]
    port: Annotated[
        list[int] | None,
        typer.Option(
            "--port",
            "-p",
            min=0,
            max=65535,
            help="Where to listen on 127.0.0.1, once for each --to; 0: any free port.",
            show_default="any",
        ),
    ] = None

    def ends(self) -> list[tuple[tuple[str, int], int]]:
        """Each server, and the port that leads to it; 0: any. Raises UsageError."""
        ports = self.port or [0] * len(self.to)
        if len(ports) != len(self.to):
            raise UsageError(
                f"--to is given {len(self.to)} times, --port {len(ports)} times: give one --port for each --to, or none"
            )
        return list(zip(map(_address, self.to), ports, strict=True))


@dataclass(frozen=True)
class PathFlags:
    """How much passes, and when it arrives."""

    trace: Annotated[
        str | None,
        typer.Option(
            "--trace",
            help="cellular, wifi, lte or umts (synthetic); a Mahimahi file; or FILE, for FILE.up and FILE.down.",
            show_default="no limit",
        ),
    ] = None
    rate_up: Annotated[
        float | None, typer.Option("--rate-up", help="Mbit/s to the server.", show_default="no limit")
    ] = None
    rate_down: Annotated[
        float | None, typer.Option("--rate-down", help="Mbit/s from the server.", show_default="no limit")
    ] = None
    latency: Annotated[float, typer.Option("--latency", help="The base round trip, ms.")] = 0.0
    jitter: Annotated[
        float, typer.Option("--jitter", help="Each way's latency is off by up to so many ms; never reorders.")
    ] = 0.0
    buffer: Annotated[
        str, typer.Option("--buffer", help="What may wait on each way, such as 64KiB; then the sender is held back.")
    ] = "256KiB"

    def directions(self, seed: int, toxics: Mapping[str, tuple[Toxic, ...]]) -> tuple[Direction, Direction]:
        """The way to the server, and back. Raises UsageError, and OnDeviceError for a malformed trace."""
        from ondevice.lab.link import Direction

        size = size_bytes("--buffer", self.buffer)
        up, down = self._capacities(seed)
        return (
            Direction(up, self.latency / 2, self.jitter, size, toxics["upstream"]),
            Direction(down, self.latency / 2, self.jitter, size, toxics["downstream"]),
        )

    def _capacities(self, seed: int) -> tuple[Trace | float | None, Trace | float | None]:
        rates = (self.rate_up, self.rate_down)
        if self.trace is None:
            up, down = (None if rate is None else rate * 1e6 for rate in rates)
            return up, down
        if rates != (None, None):
            raise UsageError("--trace says how much passes, so do --rate-up and --rate-down: give one or the other")
        from ondevice.lab.link import networks

        return networks.find(self.trace, seed)

    def __str__(self) -> str:
        rates = {"up": self.rate_up, "down": self.rate_down}
        given = ", ".join(f"{way} {rate:g} Mbit/s" for way, rate in rates.items() if rate is not None)
        return f"{self.trace or given or 'any rate'}, {self.latency:g} ms round trip"


@dataclass(frozen=True)
class FaultFlags:
    """What breaks."""

    toxic: Annotated[
        list[str] | None,
        typer.Option(
            "--toxic",
            metavar="NAME:KEY=VALUE,...",
            help="As toxiproxy's: timeout:timeout=MS, reset_peer:timeout=MS, slow_close:delay=MS, limit_data:bytes=N; "
            "also stream=upstream|downstream, toxicity=SHARE. May be given several times.",
            show_default=False,
        ),
    ] = None
    outage: Annotated[
        list[str] | None,
        typer.Option(
            "--outage",
            metavar="START:LENGTH",
            help="Nothing passes for LENGTH s from START s on. May be given several times.",
            show_default=False,
        ),
    ] = None
    handshake: Annotated[
        bool,
        typer.Option(
            "--handshake/--no-handshake",
            help="A new connection costs a round trip before its first byte, as real ones do.",
        ),
    ] = True

    def toxics(self) -> dict[str, tuple[Toxic, ...]]:
        """The toxics of each stream. Raises UsageError."""
        from ondevice.lab.link.toxic import STREAMS, parse

        parsed = [parse(text) for text in self.toxic or ()]
        return {stream: tuple(toxic for at, toxic in parsed if at == stream) for stream in STREAMS}

    def outages(self) -> tuple[tuple[float, float], ...]:
        """When nothing passes: begin and length of each, s. Raises UsageError."""
        return tuple(map(_outage, self.outage or ()))


@grouped
def link(
    end: EndFlags,
    path: PathFlags,
    fault: FaultFlags,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of synthetic traces, jitter and toxicity.")] = 0,
    form: OutputFormat = Format.TABLE,
) -> None:
    """Put a slow, jittery or broken network in front of a TCP server, without any rights.

    Clients connect to --port instead of the server. Ends on Ctrl-C or SIGTERM, and prints what passed.
    """
    from ondevice.lab.link import LinkSpec

    ends, outages = end.ends(), fault.outages()
    up, down = path.directions(seed, fault.toxics())
    specs = [
        LinkSpec(to, up, down, port, outages, fault.handshake, seed + number) for number, (to, port) in enumerate(ends)
    ]
    _run(specs, str(path), form)


def _address(text: str) -> tuple[str, int]:
    host, colon, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]") if host.startswith("[") else host
    if not (host and colon and port.isascii() and port.isdigit() and 0 < int(port) <= 65535) or "/" in host:
        raise UsageError(f"--to takes HOST:PORT such as localhost:8000, not '{text}'")
    try:
        socket.getaddrinfo(host, int(port), type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise UsageError(f"--to {text}: host '{host}' is not known; give its name or its address") from error
    return host, int(port)


def _outage(text: str) -> tuple[float, float]:
    start, _, length = text.partition(":")
    try:
        return float(start), float(length)
    except ValueError as error:
        raise UsageError(f"--outage takes START:LENGTH in seconds, such as 10:2.5, not '{text}'") from error


def _run(specs: list[LinkSpec], what: str, form: Format) -> None:
    import signal
    import threading

    from ondevice.lab.link import HOST, Links

    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    with Links() as links:
        opened = [links.open(spec) for spec in specs]
        for each in opened:
            # A port that nobody has chosen is known from here alone.
            note(f"{HOST}:{each.port} leads to {_name(each)}: {what}", always=each.spec.port == 0)
        ended.wait()
        records = [_record(each) for each in opened]
    emit(records, form)


def _name(opened: Link) -> str:
    host, port = opened.spec.to
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _record(opened: Link) -> dict[str, Any]:
    counts = opened.counts()
    return {
        "port": opened.port,
        "to": _name(opened),
        "connections": counts.connections,
        "up_bytes": counts.up_bytes,
        "down_bytes": counts.down_bytes,
    }
