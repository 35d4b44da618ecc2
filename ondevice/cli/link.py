"""`ondevice link`: the link emulator in front of any TCP server."""

from __future__ import annotations

import math
import socket
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ondevice.cli.console import Format, emit, note
from ondevice.cli.options import OutputFormat, size_bytes
from ondevice.errors import UsageError

if TYPE_CHECKING:
    from ondevice.lab.link import Link, LinkSpec
    from ondevice.lab.link.toxic import Toxic
    from ondevice.lab.link.trace import Trace


def link(
    to: Annotated[
        list[str],
        typer.Option(
            "--to", metavar="HOST:PORT", help="The server behind the link; given several times: several links."
        ),
    ],
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
    ] = None,
    trace: Annotated[
        str | None,
        typer.Option(
            "--trace",
            help="cellular, wifi, lte or umts (synthetic); a Mahimahi file; or FILE, for FILE.up and FILE.down.",
            show_default="no limit",
        ),
    ] = None,
    rate_up: Annotated[
        float | None, typer.Option("--rate-up", help="Mbit/s to the server.", show_default="no limit")
    ] = None,
    rate_down: Annotated[
        float | None, typer.Option("--rate-down", help="Mbit/s from the server.", show_default="no limit")
    ] = None,
    latency: Annotated[float, typer.Option("--latency", help="The base round trip, ms.")] = 0.0,
    jitter: Annotated[
        float, typer.Option("--jitter", help="Each way's latency is off by up to so many ms; never reorders.")
    ] = 0.0,
    buffer: Annotated[
        str, typer.Option("--buffer", help="What may wait on each way, such as 64KiB; then the sender is held back.")
    ] = "256KiB",
    toxic: Annotated[
        list[str] | None,
        typer.Option(
            "--toxic",
            metavar="NAME:KEY=VALUE,...",
            help="As toxiproxy's: timeout:timeout=MS, reset_peer:timeout=MS, slow_close:delay=MS, limit_data:bytes=N; "
            "also stream=upstream|downstream, toxicity=SHARE. May be given several times.",
            show_default=False,
        ),
    ] = None,
    outage: Annotated[
        list[str] | None,
        typer.Option(
            "--outage",
            metavar="START:LENGTH",
            help="Nothing passes for LENGTH s from START s on. May be given several times.",
            show_default=False,
        ),
    ] = None,
    handshake: Annotated[
        bool,
        typer.Option(
            "--handshake/--no-handshake",
            help="A new connection costs a round trip before its first byte, as real ones do.",
        ),
    ] = True,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of synthetic traces, jitter and toxicity.")] = 0,
    form: OutputFormat = Format.TABLE,
) -> None:
    """Put a slow, jittery or broken network in front of a TCP server, without any rights.

    Clients connect to --port instead of the server. Ends on Ctrl-C or SIGTERM, and prints what passed.
    """
    from ondevice.lab.link import Direction, LinkSpec

    ports = _ports(port or [], len(to))
    up, down = _capacities(trace, rate_up, rate_down, seed)
    toxics = _toxics(toxic or [])
    _check_times(latency, jitter)
    size = size_bytes("--buffer", buffer)
    way_up, way_down = (
        Direction(capacity, latency / 2, jitter, size, toxics[stream])
        for capacity, stream in ((up, "upstream"), (down, "downstream"))
    )
    outages = tuple(_outage(text) for text in outage or ())
    specs = [
        LinkSpec(address, way_up, way_down, ports[i], outages, handshake, seed + i)
        for i, address in enumerate(map(_address, to))
    ]
    _run(specs, f"{trace or _rates(rate_up, rate_down)}, {latency:g} ms round trip", form)


def _ports(ports: list[int], links: int) -> list[int]:
    if ports and len(ports) != links:
        raise UsageError(
            f"--to is given {links} times, --port {len(ports)} times: give one --port for each --to, or none"
        )
    return ports or [0] * links


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


def _capacities(
    name: str | None, rate_up: float | None, rate_down: float | None, seed: int
) -> tuple[Trace | float | None, Trace | float | None]:
    if name is None:
        return _bps("--rate-up", rate_up), _bps("--rate-down", rate_down)
    if rate_up is not None or rate_down is not None:
        raise UsageError("--trace says how much passes, so do --rate-up and --rate-down: give one or the other")
    from ondevice.lab.link import networks

    return networks.find(name, seed)


def _check_times(latency: float, jitter: float) -> None:
    if not 0 <= latency < math.inf:
        raise UsageError(f"--latency takes a round trip in ms from 0 up, not {latency:g}")
    if not 0 <= jitter <= latency / 2:
        raise UsageError(f"--jitter takes ms from 0 to half of --latency ({latency / 2:g}), not {jitter:g}")


def _bps(flag: str, mbps: float | None) -> float | None:
    if mbps is not None and not 0 < mbps < math.inf:
        raise UsageError(f"{flag} takes Mbit/s above 0, not {mbps:g}; leave it out for no limit")
    return None if mbps is None else mbps * 1e6


def _rates(up: float | None, down: float | None) -> str:
    if up is None and down is None:
        return "any rate"
    return ", ".join(f"{way} {rate:g} Mbit/s" for way, rate in (("up", up), ("down", down)) if rate is not None)


def _toxics(texts: list[str]) -> dict[str, tuple[Toxic, ...]]:
    from ondevice.lab.link.toxic import STREAMS, parse

    parsed = [parse(text) for text in texts]
    return {stream: tuple(toxic for at, toxic in parsed if at == stream) for stream in STREAMS}


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
            note(f"{HOST}:{each.port} leads to {_name(each)}: {what}")
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
