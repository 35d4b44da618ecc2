"""Deadlines of all kinds at one endpoint: what each gets, beside what it gets alone and first come, first served.

    python benchmarks/mixed.py MODELS PHOTOS [--seconds S] [--scale X] [--against PYTHON]

MODELS: two .tflite files of one label list that are in the zoo, the more accurate one the slower. PHOTOS: a folder for
`ondevice evaluate`. PYTHON: an environment with a version whose queue is first come, first served (0.1.0), which gets
the same arrivals. Poisson arrivals from this process, which takes part of the machine; latencies count from when a
request was due.
"""

from __future__ import annotations

import argparse
import asyncio
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import versions
from load import Load, Sent
from serving import Running, closed, percentile, serving, short

from ondevice import Runner, host
from ondevice.cli import console
from ondevice.dataset.labelled import labelled

TWO_MS, FIVE_MS = (50.0, 2000.0), (20.0, 63.0, 200.0, 632.0, 2000.0)
# Of what the more accurate model alone can carry: each of two deadlines, and all of five together.
LIGHT, HEAVY = 0.4, 2.0
# More than ever wait at once: a request that waits for a connection here would be late by that.
CONNECTIONS = 1000
OPTIONS = ("--no-log-requests", "--max-connections", "5000")


Row = dict[str, Any]


class Trial(NamedTuple):
    """Photos and their classes, for how long they are sent, s, and what the deadlines are multiplied by."""

    contents: list[bytes]
    classes: list[int]
    seconds: float
    scale: float


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("models", type=Path, nargs=2)
    parser.add_argument("photos", type=Path)
    parser.add_argument("--seconds", type=float, default=20.0, help="of each row (20)")
    parser.add_argument(
        "--scale", type=float, default=1.0, help="of the deadlines, for a machine that is slow or busy (1)"
    )
    parser.add_argument("--against", metavar="PYTHON", help="an environment whose queue is first come, first served")
    arguments = parser.parse_args()
    found = labelled(arguments.photos, Runner(arguments.models[0]).labels)
    contents = [Path(path).read_bytes() for path in found.paths]
    trial = Trial(contents, list(found.truth), arguments.seconds, arguments.scale)
    print(f"{host.current().cpu_model()}, {host.system.cores()} cores; {len(trial.contents)} pictures\n")
    other = versions.sides(arguments.against)[1] if arguments.against else None
    with serving(arguments.models, *OPTIONS) as server:
        carries = asyncio.run(closed(server.url, trial.contents, "sla_ms=1000&policy=static-accuracy"))
        print(f"the more accurate model alone: {carries:.0f} a second at 8 connections\n")
        print(console.table(list(light(server, trial, carries * LIGHT)), ".3f") + "\n", flush=True)
        rows = list(heavy(server, trial, carries * HEAVY, "earliest deadline first"))
    if other:
        with serving(arguments.models, *OPTIONS, by=other) as server:
            rows += heavy(server, trial, carries * HEAVY, other.version)
    print(console.table(rows, ".3f"))


def light(server: Running, trial: Trial, rate: float) -> Iterator[Row]:
    """Each of two deadlines alone, and both together."""
    deadlines = [ms * trial.scale for ms in TWO_MS]
    alone = {ms: asyncio.run(sent(server, trial, {ms: rate}))[ms] for ms in deadlines}
    both = asyncio.run(sent(server, trial, dict.fromkeys(deadlines, rate)))
    for ms in deadlines:
        yield {"requests": "alone", **judged(alone[ms], trial, ms)}
    for ms in deadlines:
        yield {"requests": "together", **judged(both[ms], trial, ms)}


def heavy(server: Running, trial: Trial, rate: float, name: str) -> Iterator[Row]:
    """Five deadlines at once, and their sum."""
    deadlines = [ms * trial.scale for ms in FIVE_MS]
    all_of_it = asyncio.run(sent(server, trial, dict.fromkeys(deadlines, rate / len(deadlines))))
    rows = [judged(all_of_it[ms], trial, ms) for ms in deadlines]
    for row in rows:
        yield {"queue": name, **row}
    together = float(np.mean([row["right, in time"] for row in rows]))
    yield {"queue": name, **dict.fromkeys(rows[0], ""), "sla_ms": "all", "right, in time": together}


async def sent(server: Running, trial: Trial, rates: Mapping[float, float]) -> dict[float, list[Sent]]:
    """Poisson arrivals of these deadlines, ms, at so many a second each."""
    loads = []
    for seed, (ms, rate) in enumerate(rates.items()):
        gaps = np.random.default_rng(seed).exponential(1 / rate, max(int(rate * trial.seconds), 1))
        loads.append(
            Load(server.url, trial.contents, f"sla_ms={ms:g}", connections=CONNECTIONS).at(np.cumsum(gaps).tolist())
        )
    return dict(zip(rates, await asyncio.gather(*loads), strict=True))


def judged(requests: list[Sent], trial: Trial, sla_ms: float) -> Row:
    """Shares of all requests, and of the answers those that were late and the models."""
    good = [s for s in requests if s.status == 200]
    right = sum(s.index == trial.classes[s.picture] and s.latency_ms <= sla_ms for s in good)
    models = Counter(s.parameters["selected_model"] for s in good)
    return {
        "sla_ms": f"{sla_ms:g}",
        "right, in time": right / len(requests),
        "refused": 1 - len(good) / len(requests),
        "late": sum(s.latency_ms > sla_ms for s in good) / max(len(good), 1),
        "p50_ms": percentile([s.latency_ms for s in good], 50),
        "p99_ms": percentile([s.latency_ms for s in good], 99),
        "models": ", ".join(f"{short(model)} {n / len(good):.0%}" for model, n in models.most_common()),
    }


if __name__ == "__main__":
    main()
