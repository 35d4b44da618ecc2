"""Whether giving up a reply costs the next request a handshake: a thousand requests, of which a third are given up.

    python benchmarks/warm.py [--way hurried --way late --way stall] [--tls no --tls yes] [--count N] [--against PYTHON]

One request after the other, with the device in reserve, at an `ondevice serve` with the bundled models behind a link of
80 ms round trip, plain and over TLS. By chance, so that several in a row are, a third of them

- `hurried`: has 60 ms, less than the round trip; the others have 150 ms, of which an answer takes 90 to 100 here;
- `late`: has its reply, and whatever else comes that way meanwhile, 200 ms later than the others;
- `stall`: finds a link that lets nothing pass, either way, until it has been given up: handshakes do not go on either.

held: requests that were not to be sent, because the endpoint had said so or had failed. waited: requests after the
first for which no connection was ready, or (without TLS, where the link says yes at once, as a proxy does) one that had
been opened less than a round trip before. opened: connections in all; at once: the most that the link had open. cloud:
answers from there, and their times. With `--against PYTHON`, that of another environment, its client does the same at
the same time, on a link of its own.
"""

from __future__ import annotations

import argparse
import importlib
import json
import random
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

from ondevice import OffloadClient
from ondevice.client.offload import Event, Options

if TYPE_CHECKING:
    import versions

    from ondevice.lab.link import Link

LOCAL = "digits_xs_int8"
COUNT, SHARE, SEED = 1000, 1 / 3, 1
ROUND_TRIP_MS, PATIENT_MS, HURRIED_MS, LATER_MS = 80.0, 150.0, 60.0, 200.0
WAYS = ("hurried", "late", "stall")
# Between two looks at how many connections a link has open.
LOOK_S = 0.02
Row = dict[str, Any]


# In the client's process, of either version: only what 0.1.0 has too


class Watch:
    """What requests do with connections. sends: when a picture was sent, and when what it was sent on had been opened.
    missed: how often none was ready.
    """

    def __init__(self) -> None:
        self.sends: list[tuple[float, float]] = []
        self.missed = 0
        try:
            pool, name = importlib.import_module("ondevice.client.connection.pool").ConnectionPool, "take"
            stream = importlib.import_module("ondevice.client.connection.http").HttpStream
        except ImportError:  # 0.1.0
            pool, name = importlib.import_module("ondevice.client.cloud").Cloud, "_take"
            stream = importlib.import_module("ondevice.client.wire").Connection
        self._count(pool, name)
        made, send = stream.__init__, stream._send

        def opening(one: Any, *arguments: Any) -> None:
            made(one, *arguments)
            one.opened_at = perf_counter()

        def sending(one: Any, request: Any, *arguments: Any) -> Any:
            if request.method == "POST":
                self.sends.append((perf_counter(), one.opened_at))
            return send(one, request, *arguments)

        stream.__init__, stream._send = opening, sending

    def _count(self, owner: Any, name: str) -> None:
        take = getattr(owner, name)

        def taking(pool: Any) -> Any:
            found = take(pool)
            self.missed += found is None
            return found

        setattr(owner, name, taking)

    def begin(self) -> None:
        """Another request."""
        self.sends, self.missed = [], 0

    def waited(self, tls: bool) -> bool:
        """Whether the request has waited for a handshake."""
        early = [sent for sent, opened in self.sends if not tls and (sent - opened) * 1e3 < ROUND_TRIP_MS]
        return self.missed > 0 or bool(early)


def child(given: Row) -> None:
    """Ask one after the other, each once the caller says so; then print what came of each."""
    from ondevice.models import zoo

    watch, rows = Watch(), []
    pictures = [path.read_bytes() for path in sorted(zoo.samples_dir().glob("*/*.png"))]
    asked: list[Event] = []
    options = Options(verify=given["verify"], observe=lambda event: event.what == "sent" and asked.append(event))
    with OffloadClient(given["url"], LOCAL, PATIENT_MS, "hedge", options) as client:
        (getattr(client, "ready", None) or client.cloud.ready)(5)
        for number, sla_ms in enumerate(given["deadlines_ms"]):
            print("next", flush=True)
            sys.stdin.readline()
            watch.begin()
            asked.clear()
            answer = client.classify(pictures[number % len(pictures)], sla_ms)
            state = "held" if not asked else "waited" if watch.waited(given["tls"]) else "ready"
            rows.append([answer.where, answer.total_ms, answer.on_time, state])
    print(json.dumps(rows), flush=True)


# In this one


class Cell(NamedTuple):
    """A table's row: how requests are given up, whether over TLS, and which version asks."""

    way: str
    tls: bool
    name: str
    side: versions.Side | None


def run(cell: Cell, count: int, url: str, cert: Path) -> Row:
    """A client's stream."""
    from ondevice.lab.link import Direction, Links, LinkSpec

    draws = random.Random(SEED)
    chosen = [draws.random() < SHARE for _ in range(count)]
    deadlines_ms = [HURRIED_MS if cell.way == "hurried" and one else PATIENT_MS for one in chosen]
    half = Direction(latency_ms=ROUND_TRIP_MS / 2)
    with Links() as links:
        link = links.open(LinkSpec((str(urlsplit(url).hostname), int(urlsplit(url).port or 0)), half, half))
        given = {
            "url": f"{urlsplit(url).scheme}://127.0.0.1:{link.port}", "tls": cell.tls,
            "verify": str(cert) if cell.tls else True, "deadlines_ms": deadlines_ms,
        }  # fmt: skip
        with at_most(link) as most:
            rows = asked(cell, given, link, chosen)
        return record(cell, rows, link.counts().connections, most[0])


def asked(cell: Cell, given: Row, link: Link, chosen: list[bool]) -> list[list[Any]]:
    """What came of each; the link is as each is to find it."""
    process = subprocess.Popen(
        [cell.side.python if cell.side else sys.executable, __file__, "--child", json.dumps(given)],
        env=cell.side.environment if cell.side else None,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdin
    assert process.stdout
    for one in [*chosen, False]:
        line = process.stdout.readline()
        trouble(link, cell.way, one)
        if line != "next\n":
            break
        process.stdin.write("\n")
        process.stdin.flush()
    if process.wait():
        sys.exit("a client has died")
    found: list[list[Any]] = json.loads(line)
    return found


def trouble(link: Link, way: str, one: bool) -> None:
    """The link as the next request finds it. one: whether it is to be given up."""
    from ondevice.lab.link import LinkState

    if way == "late":
        later_ms = ROUND_TRIP_MS / 2 + (LATER_MS if one else 0.0)
        if link.spec.down.latency_ms != later_ms:
            link.change(down=replace(link.spec.down, latency_ms=later_ms))
    elif way == "stall" and (link.state is LinkState.OUTAGE) is not one:
        link.change(state=LinkState.OUTAGE if one else LinkState.UP)


@contextmanager
def at_most(link: Link) -> Iterator[list[int]]:
    """The most connections that the link has open at once."""
    most, over = [0], threading.Event()

    def look() -> None:
        while not over.wait(LOOK_S):
            most[0] = max(most[0], link.counts().open)

    thread = threading.Thread(target=look)
    thread.start()
    yield most
    over.set()
    thread.join()


def record(cell: Cell, rows: list[list[Any]], opened: int, most: int) -> Row:
    """A line of the table."""
    cloud_ms = [total_ms for where, total_ms, _, _ in rows if where == "cloud"]
    return {
        "given up": cell.way,
        "TLS": "yes" if cell.tls else "no",
        "version": cell.name,
        "requests": len(rows),
        "by the device": len(rows) - len(cloud_ms),
        "held": sum(row[3] == "held" for row in rows),
        "waited": sum(row[3] == "waited" for row in rows[1:]),
        "opened": opened,
        "at once": most,
        "on time": sum(bool(row[2]) for row in rows),
        "cloud": len(cloud_ms),
        "p50_ms": statistics.median(cloud_ms) if cloud_ms else None,
        "p95_ms": statistics.quantiles(cloud_ms, n=20)[-1] if len(cloud_ms) > 1 else None,
    }


@contextmanager
def endpoints(ways: list[str]) -> Iterator[dict[bool, tuple[str, Path]]]:
    """An endpoint each, plain and over TLS: their URLs and the certificate."""
    from offload import BUNDLED
    from serving import serving

    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        cert, key = Path(folder) / "cert.pem", Path(folder) / "key.pem"
        command = (
            "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost"
        )
        more = ["-addext", "subjectAltName=IP:127.0.0.1", "-out", str(cert), "-keyout", str(key)]
        subprocess.run([*command.split(), *more], check=True, capture_output=True)
        flags = {"no": (), "yes": ("--tls-cert", str(cert), "--tls-key", str(key))}
        yield {
            way == "yes": (stack.enter_context(serving(BUNDLED, "--no-log-requests", *flags[way])).url, cert)
            for way in ways
        }


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--way", action="append", choices=WAYS)
    parser.add_argument("--tls", action="append", choices=["no", "yes"])
    parser.add_argument("--count", type=int, default=COUNT)
    parser.add_argument("--against", metavar="PYTHON", help="show this environment's version too")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        child(json.loads(arguments.child))
        return
    show(arguments)


def show(arguments: argparse.Namespace) -> None:
    """Print each row when it is there, and the table."""
    import versions

    from ondevice import host
    from ondevice.cli import console

    print(f"{host.current().cpu_model()}, {host.system.cores()} cores; round trip {ROUND_TRIP_MS:g} ms")
    if arguments.against:
        print(versions.who(versions.sides(arguments.against)))
    sides, rows = versions.named(arguments.against), []
    with endpoints(arguments.tls or ["no", "yes"]) as served, ThreadPoolExecutor() as pool:
        for way in arguments.way or WAYS:
            for tls, (url, cert) in served.items():
                cells = [Cell(way, tls, name, side) for name, side in sides.items()]
                begun = time.monotonic()
                rows += pool.map(lambda cell, url=url, cert=cert: run(cell, arguments.count, url, cert), cells)
                print(f"{way}, {'TLS' if tls else 'plain'}: {time.monotonic() - begun:.0f} s", file=sys.stderr)
    print("\n" + console.table(rows, ".1f"))


if __name__ == "__main__":
    main()
