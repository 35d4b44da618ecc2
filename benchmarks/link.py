"""Does `ondevice link` do what it is told? Its rate, its latency, and what passes against its trace.

    python benchmarks/link.py [TRACE...] [--seconds 10] [--only rate,latency,trace]

TRACE is what `ondevice link --trace` takes; without any, the synthetic networks. The sender offers more than passes.
rate: bytes a second at the receiver, first read to last, and the CPU time of the link's thread in that time. latency:
round trips of small messages, beside those without a link, and how long a new connection's first one takes. trace:
bytes that arrived in the time, against the opportunities that the trace had in it; and how late the latest byte came.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import socket
import statistics
import threading
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from ondevice.cli import console
from ondevice.lab.link import HOST, Direction, Links, LinkSpec
from ondevice.lab.link.networks import NETWORKS, find
from ondevice.lab.link.trace import PACKET_BYTES, Trace

RATES_MBPS = (1, 5, 20, 50)
ROUND_TRIPS_MS = (0, 10, 40, 100, 300)
PINGS = 100
# Longer than the slowest of them lets a packet pass, so that the link is full before the measuring begins.
SETTLE_S = 0.5

Row = dict[str, Any]
Address = tuple[str, int]


class Received(NamedTuple):
    """What came through a link: when (time.monotonic()) and how many bytes; when its traces began; its CPU share."""

    at_s: list[float]
    sizes: list[int]
    opened_s: float
    cpu: float


def main() -> None:
    """Run the parts that are asked for and print their tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("traces", nargs="*", metavar="TRACE")
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--only", default=",".join(PARTS), help=f"of {','.join(PARTS)}")
    arguments = parser.parse_args()
    parts = arguments.only.split(",")
    if wrong := set(parts) - set(PARTS):
        parser.error(f"--only takes parts of {','.join(PARTS)}, not {','.join(sorted(wrong))}")
    for part in parts:
        rows = list(PARTS[part](arguments.traces or list(NETWORKS), arguments.seconds))
        print(console.table(rows, ".2f") + "\n", flush=True)


def rate(_: list[str], seconds: float) -> Iterator[Row]:
    """A constant rate, each way."""
    for mbps, upwards in itertools.product(RATES_MBPS, (True, False)):
        direction = Direction(mbps * 1e6, latency_ms=20)
        got = _bulk(direction, upwards, seconds)
        measured = sum(got.sizes[1:]) * 8e-6 / (got.at_s[-1] - got.at_s[0])
        yield {
            "way": _name(upwards),
            "asked_mbps": float(mbps),
            "measured_mbps": measured,
            "difference": f"{measured / mbps - 1:+.2%}",
            "cpu": f"{got.cpu:.1%}",
        }


def latency(_: list[str], __: float) -> Iterator[Row]:
    """The round trip of small messages on an open connection, and the first one of a new connection."""
    with _server(_echo) as target, Links() as links:
        bare = statistics.median(_pings(target)[1:])
        for asked in ROUND_TRIPS_MS:
            direction = Direction(latency_ms=asked / 2)
            with contextlib.closing(links.open(LinkSpec(target, direction, direction))) as link:
                first, *others = _pings((HOST, link.port))
            added = np.array(others) - bare
            yield {
                "asked_ms": float(asked),
                "added p50_ms": float(np.median(added)),
                "p5_ms": float(np.quantile(added, 0.05)),
                "p95_ms": float(np.quantile(added, 0.95)),
                "worst_ms": float(added.max()),
                "difference p50_ms": float(np.median(added)) - asked,
                "first of a connection_ms": first,
                "two round trips_ms": 2.0 * asked,
            }


def trace(names: list[str], seconds: float) -> Iterator[Row]:
    """Traces, each way."""
    for name in names:
        for upwards, one in zip((True, False), find(name), strict=True):
            received = _bulk(Direction(one), upwards, seconds)
            at_ms = (np.array(received.at_s) - received.opened_s) * 1e3
            came = np.cumsum(received.sizes)
            asked, late_ms = _against(one, at_ms, came)
            got = int(came[-1] - came[0])
            yield {
                "trace": name.rpartition("/")[2],
                "way": _name(upwards),
                "mean_mbps": one.mean_bps / 1e6,
                "asked_bytes": asked,
                "measured_bytes": got,
                "difference": f"{got / asked - 1:+.2%}",
                "late at most_ms": late_ms,
            }


def _against(one: Trace, at_ms: Any, came: Any) -> tuple[int, float]:
    """What may pass from the first read to the last, and the longest that any byte came after its opportunity."""
    first = one.count_before(at_ms[0])
    # The first read has used up the opportunities until then; each later byte has its own.
    due_ms = one.times_ms(first + np.ceil((came[1:] - came[0]) / one.opportunity_bytes).astype(np.int64) - 1)
    return int(one.deliverable(at_ms[0], at_ms[-1])), float((at_ms[1:] - due_ms).max())


def _name(upwards: bool) -> str:
    return "up" if upwards else "down"


def _bulk(direction: Direction, upwards: bool, seconds: float) -> Received:
    """What comes from a sender that never rests."""
    log: list[tuple[float, int]] = []
    done = threading.Event()

    def source(client: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while not done.is_set():
                client.sendall(bytes(PACKET_BYTES * 10))

    def sink(client: socket.socket) -> None:
        client.settimeout(1)
        with contextlib.suppress(OSError):
            while not done.is_set():
                with contextlib.suppress(TimeoutError):
                    size = len(client.recv(1 << 18))
                    log.append((time.monotonic(), size))

    with _server(sink if upwards else source) as target, Links() as links:
        link = links.open(
            LinkSpec(target, direction if upwards else Direction(), Direction() if upwards else direction)
        )
        with socket.create_connection((HOST, link.port)) as client:
            own = threading.Thread(target=source if upwards else sink, args=(client,))
            own.start()
            time.sleep(SETTLE_S)
            since_s, since_cpu_s = time.monotonic(), _links_cpu_s()
            time.sleep(seconds)
            cpu = (_links_cpu_s() - since_cpu_s) / (time.monotonic() - since_s)
            done.set()
            link.close()
            own.join()
        kept = [(at, size) for at, size in log if size and at >= since_s]
        return Received([at for at, _ in kept], [size for _, size in kept], link.opened_s, cpu)


def _links_cpu_s() -> float:
    thread = next(thread for thread in threading.enumerate() if thread.name == "links")
    assert thread.ident
    return time.clock_gettime(time.pthread_getcpuclockid(thread.ident))


def _pings(address: Address) -> list[float]:
    with socket.create_connection(address) as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return [_ping(client, i) for i in range(PINGS + 1)]


def _ping(client: socket.socket, number: int) -> float:
    time.sleep((number % 10) * 3e-4)  # at any phase of the link's timers
    start = time.perf_counter()
    client.sendall(bytes(100))
    client.recv(1000)
    return (time.perf_counter() - start) * 1e3


def _echo(client: socket.socket) -> None:
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    with contextlib.suppress(OSError):
        while data := client.recv(1000):
            client.sendall(data)


@contextlib.contextmanager
def _server(serve: Any) -> Iterator[Address]:
    """A server that calls `serve` with each connection, one after the other."""
    with socket.create_server((HOST, 0)) as listening:

        def accept() -> None:
            with contextlib.suppress(OSError):
                while True:
                    with listening.accept()[0] as client:
                        serve(client)

        thread = threading.Thread(target=accept)
        thread.start()
        yield listening.getsockname()
        listening.shutdown(socket.SHUT_RDWR)
        thread.join()


PARTS = {"rate": rate, "latency": latency, "trace": trace}

if __name__ == "__main__":
    main()
