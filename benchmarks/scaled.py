"""One replica, two, and one again: `ondevice serve --ray --replicas 1..2` under a step of load, by real processes.

    python benchmarks/scaled.py MODELS PHOTOS [--calm 8] [--load 130] [--seconds 40] [--sla 100]

MODELS is a folder of .tflite files, of which those called mobilenet_… are served; PHOTOS one of pictures. Poisson
arrivals: ten seconds of --calm requests a second, --seconds of --load, then --calm until the second replica has gone.
The load generator runs on the same machine, and counts from when a request was due.

By five seconds: replicas, those that served at the end of them; asked; refused; late, answered after the deadline;
top1, the mean accuracy of the models that answered in time, a refusal being 0. Then, in s from the step up: when the
second replica served; in s from the step down: when it had gone; and what was refused until both served and after.
"""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from time import perf_counter, time
from typing import Any, NamedTuple

import numpy as np
from load import Load, Sent
from serving import Running, serving

from ondevice.cli import console
from ondevice.timing.arrays import FloatArray

# Before the step, s; how long a row of the table is, s; and what is waited for at most that does not come, s.
BEFORE_S, ROW_S, MOST_S = 10, 5, 300


class Asked(NamedTuple):
    """A request: when it was due, s from the step up; whether it was refused, or late; the accuracy that came of it."""

    due: float
    refused: bool
    late: bool
    top1: float


def asked(sent: Sent, begun: float, sla_ms: float) -> Asked:
    """What came of a request."""
    late = sent.status == 200 and sent.latency_ms > sla_ms
    good = sent.status == 200 and not late
    top1 = sent.parameters["expected_top1"] if good else 0.0
    return Asked(sent.due - begun, sent.status != 200, late, top1)


def poisson(rate: float, seconds: float, seed: int) -> FloatArray:
    """When, s."""
    rng = np.random.default_rng(seed)
    times: FloatArray = np.sort(rng.random(rng.poisson(rate * seconds)) * seconds)
    return times


def replicas(server: Running) -> list[tuple[float, int]]:
    """When how many replicas served, by their log: s since 1970, and the count from then on."""
    steps = {"replica started": 1, "replica ended": -1}
    count, found = 0, []
    for event in server.log():
        if event["event"] in steps:
            count += steps[event["event"]]
            found.append((datetime.fromisoformat(event["time"]).timestamp(), count))
    return found


class Run(NamedTuple):
    """All requests, and from the step up on, s: when it went down, and when how many replicas served."""

    asked: list[Asked]
    down: float
    replicas: list[tuple[float, int]]

    def serving(self, at: float) -> int:
        """How many served then."""
        return next((count for since, count in reversed(self.replicas) if since <= at), 0)

    def first(self, count: int, after: float) -> float:
        """When first so many served after that; NaN where they never did."""
        return next((at for at, now in self.replicas if at > after and now == count), float("nan"))


async def step(server: Running, pictures: Sequence[bytes], arguments: argparse.Namespace) -> Run:
    """Ask it all."""
    load = Load(server.url, pictures, f"sla_ms={arguments.sla:g}", connections=256)
    begun, ended = perf_counter() + BEFORE_S, time() + BEFORE_S
    calm, up = poisson(arguments.calm, BEFORE_S, 0), poisson(arguments.load, arguments.seconds, 1)
    sent = await load.at([*calm.tolist(), *(BEFORE_S + up).tolist()])
    while [count for _, count in replicas(server)][-1] > 1 and time() - ended < MOST_S:
        sent += await load.at(poisson(arguments.calm, ROW_S, len(sent)).tolist())
    when = [(at - ended, count) for at, count in replicas(server)]
    return Run([asked(one, begun, arguments.sla) for one in sent], arguments.seconds, when)


def rows(run: Run) -> Iterator[dict[str, Any]]:
    """The table."""
    last = max(one.due for one in run.asked)
    for begin in np.arange(-BEFORE_S, last, ROW_S):
        these = [one for one in run.asked if begin <= one.due < begin + ROW_S]
        if not these:
            continue
        yield {
            "s": f"{begin:.0f} to {begin + ROW_S:.0f}", "replicas": run.serving(begin + ROW_S), "asked": len(these),
            "refused": sum(one.refused for one in these) / len(these),
            "late": sum(one.late for one in these) / len(these), "top1": sum(one.top1 for one in these) / len(these),
        }  # fmt: skip


def refused(run: Run, begin: float, end: float) -> str:
    """Of what was due then."""
    these = [one.refused for one in run.asked if begin <= one.due < end]
    return f"{sum(these)} of {len(these)}"


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", type=Path)
    parser.add_argument("photos", type=Path)
    for name, value in (("--calm", 8.0), ("--load", 130.0), ("--seconds", 40.0), ("--sla", 100.0)):
        parser.add_argument(name, type=float, default=value)
    arguments = parser.parse_args()
    models = sorted(arguments.models.glob("mobilenet_*.tflite"))
    pictures = [path.read_bytes() for path in sorted(arguments.photos.glob("*.JPEG"))[:200]]
    with serving(models, "--ray", "--replicas", "1..2", "--no-log-requests") as server:
        run = asyncio.run(step(server, pictures, arguments))
    print(console.table(list(rows(run)), ".3f"))
    two = run.first(2, 0.0)
    print(f"two replicas {two:.1f} s after the step up; one {run.first(1, two) - run.down:.1f} s after the step down")
    print(f"refused: {refused(run, 0.0, two)} before, {refused(run, two, run.down)} after that, while the load was up")


if __name__ == "__main__":
    main()
