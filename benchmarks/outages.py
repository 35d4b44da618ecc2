"""A stream of 1,000 requests while the endpoint is killed, stalled, slowed, restarted and replaced by a rude one.

    python benchmarks/outages.py [--against PYTHON]

In the end the link is lost, and back. What each phase's requests were answered by, and when; the bundled models. With
`--against PYTHON`, that of another environment, its client meets the same, at an endpoint and over a link of this
version.
"""

from __future__ import annotations

import argparse
import signal
import socket
import statistics
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import versions
from clients import ClientProcess
from offload import BUNDLED, Row, started

from ondevice import host
from ondevice.cli import console
from ondevice.lab.link import Direction, Link, Links, LinkSpec, LinkState
from ondevice.models import zoo

# Between two requests, s.
EVERY_S = 0.05


class Phase(NamedTuple):
    """A part of the stream, and what happens as it begins."""

    name: str
    count: int
    begin: Callable[[Stage], None]


class Stage:
    """An endpoint behind a link, to which things happen."""

    def __init__(self, link: Link) -> None:
        self.link = link
        self.server: subprocess.Popen[str] | None = None
        self.rude = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self._insult, daemon=True).start()

    def start(self) -> None:
        """Start an endpoint, and have the link lead to it when it is ready."""
        self.server, port = started(BUNDLED)
        self.link.change(to=("127.0.0.1", port))

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        assert self.server
        self.server.send_signal(number)

    def replace(self) -> None:
        """Put a rude one in its place."""
        self.signal(signal.SIGKILL)
        self.link.change(to=self.rude.getsockname())

    def slow(self, latency_ms: float) -> None:
        """Let each way take so long."""
        both = Direction(latency_ms=latency_ms)
        self.link.change(up=both, down=both)

    def _insult(self) -> None:
        """Answer everything with a web page."""
        page = b"<html>It works!</html>"
        while True:
            with self.rude.accept()[0] as client:
                client.recv(65536)
                client.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(page), page))


PHASES = (
    Phase("all is well", 150, lambda stage: None),
    Phase("killed", 100, lambda stage: stage.signal(signal.SIGKILL)),
    Phase("restarted", 100, Stage.start),
    Phase("stalled", 100, lambda stage: stage.signal(signal.SIGSTOP)),
    Phase("goes on", 100, lambda stage: stage.signal(signal.SIGCONT)),
    Phase("slowed: 400 ms a way", 100, lambda stage: stage.slow(400)),
    Phase("as before", 100, lambda stage: stage.slow(5)),
    Phase("a rude server", 100, Stage.replace),
    Phase("restarted", 50, Stage.start),
    Phase("link lost", 50, lambda stage: stage.link.change(state=LinkState.HANG)),
    Phase("link back", 50, lambda stage: stage.link.change(state=LinkState.UP)),
)


def outages(side: versions.Side | None) -> Iterator[Row]:
    """A request each 50 ms with a deadline of 150 ms, hedged; the device's model takes some 2 ms."""
    pictures = [(str(path), 0.0) for path in sorted(zoo.samples_dir().glob("*/*.png"))]
    with Links() as links:
        both = Direction(latency_ms=5)
        stage = Stage(links.open(LinkSpec(("127.0.0.1", 9), both, both)))
        stage.start()
        try:
            url = f"http://127.0.0.1:{stage.link.port}"
            with ClientProcess(side, url, "digits_xs_int8", 150, ["hedge"]) as client:
                client.ask("totals")  # which it answers when it has measured the device
                for phase in PHASES:
                    phase.begin(stage)
                    yield streamed(phase, client, [pictures[n % len(pictures)] for n in range(phase.count)])
        finally:
            stage.signal(signal.SIGKILL)


def streamed(phase: Phase, client: ClientProcess, pictures: Sequence[tuple[str, float]]) -> Row:
    """A phase's requests."""
    answers = client.ask("stream", begin=time.monotonic(), every_s=EVERY_S, pictures=pictures)
    cloud = [answer["since_s"] for answer in answers if answer["where"] == "cloud"]
    return {
        "phase": phase.name,
        "answers": sum(answer["index"] >= 0 for answer in answers),
        "late": sum(not answer["on_time"] for answer in answers),
        "from the cloud": len(cloud),
        "first after_s": cloud[0] if cloud else None,
        "p50_ms": statistics.median(answer["total_ms"] for answer in answers),
        "max_ms": max(answer["total_ms"] for answer in answers),
    }


def whole(rows: Sequence[Row]) -> Row:
    """The line for all phases."""
    sums = {name: sum(row[name] for row in rows) for name in ("answers", "late", "from the cloud")}
    return {"phase": "all", **sums, "first after_s": None, "p50_ms": None, "max_ms": max(r["max_ms"] for r in rows)}


def main() -> None:
    """Print the table of each version."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--against", metavar="PYTHON", help="show this environment's version too")
    arguments = parser.parse_args()
    print(f"{host.current().cpu_model()}, {host.system.cores()} cores")
    if arguments.against:
        print(versions.who(versions.sides(arguments.against)))
    for version, side in versions.named(arguments.against).items():
        rows = list(outages(side))
        print(f"\n{version}\n" + console.table([*rows, whole(rows)], ".2f"), flush=True)


if __name__ == "__main__":
    main()
