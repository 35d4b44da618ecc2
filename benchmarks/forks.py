"""A client that lives through a fork: 100 answers in the child and 100 in the parent, in each mode, at the same time.

    python benchmarks/forks.py [--mode MODE …] [--against PYTHON]

The client is made and used in the parent, at an `ondevice serve` with the bundled models, and with the smallest on the
device; then the process forks, as gunicorn with --preload does, and both go on using it, a picture each 50 ms, deadline
150 ms. dead: the endpoint is killed before, and the client used once more. With `--against PYTHON`, that of another
environment, its client is shown too; a child that says nothing for five seconds is not waited for.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from statistics import median

import versions
from clients import ClientProcess
from offload import BUNDLED, Row, started

from ondevice import host
from ondevice.cli import console
from ondevice.client.planning.plan import Mode
from ondevice.models import zoo

LOCAL, SLA_MS, EVERY_S = "digits_xs_int8", 150.0, 0.05
# Requests of either process, and before the fork.
COUNT, BEFORE = 100, 20


def forked(side: versions.Side | None, mode: str, dead: bool) -> Row:
    """What a version's client answered in one mode, in the columns of the table."""
    pictures = [(str(path), 0.0) for path in sorted(zoo.samples_dir().glob("*/*.png"))]
    server, port = started(BUNDLED)
    try:
        with ClientProcess(side, f"http://127.0.0.1:{port}", LOCAL, SLA_MS, [mode]) as client:
            client.ask("stream", begin=time.monotonic(), every_s=EVERY_S, pictures=pictures[:BEFORE])
            if dead:
                server.kill()
                client.ask("stream", begin=time.monotonic(), every_s=EVERY_S, pictures=pictures[:BEFORE])
            parent, child = client.ask("fork", begin=time.monotonic(), every_s=EVERY_S, pictures=pictures[:COUNT])
    finally:
        server.kill()
        server.wait()
    return {**figures("parent", parent), **figures("child", child)}


def figures(who: str, outcomes: Sequence[Row]) -> Row:
    """Of one process."""
    answers = [outcome for outcome in outcomes if outcome["index"] >= 0]
    times = [answer["total_ms"] for answer in answers]
    return {
        f"{who}: answers": len(answers),
        f"{who}: late": sum(not answer["on_time"] for answer in answers),
        f"{who}: cloud": sum(answer["where"] == "cloud" for answer in answers),
        f"{who}: p50_ms": median(times) if times else None,
        f"{who}: max_ms": max(times, default=None),
    }


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--mode", action="append", type=Mode)
    parser.add_argument("--against", metavar="PYTHON", help="show this environment's version too")
    arguments = parser.parse_args()
    print(f"{host.current().cpu_model()}, {host.system.cores()} cores")
    if arguments.against:
        print(versions.who(versions.sides(arguments.against)))
    rows = [
        {"mode": mode, "endpoint": state, "version": name, **forked(side, mode, state == "dead")}
        for mode in arguments.mode or Mode
        for state in ("up", "dead")
        for name, side in versions.named(arguments.against).items()
    ]
    print("\n" + console.table(rows))


if __name__ == "__main__":
    main()
