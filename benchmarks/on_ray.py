"""`ondevice serve --ray` beside `ondevice serve`, both started anew on this machine and asked in turn.

    python benchmarks/on_ray.py MODELS PHOTOS [--rounds 40] [--only one,eight,plain,killed]

MODELS is a folder of .tflite files, of which mobilenet_v1_0.25_128_quant is served; PHOTOS one of pictures, of which
the one that is nearest to 100 kB is sent. Needs the extra `ray`.

- one: one connection, one worker and one replica; p50 and p99 in ms, what Ray adds to the median by rounds, and the
  longest gap between two answers.
- eight: eight connections; answers a second, p99 and the longest gap in ms: one worker and one replica, two of each.
- plain: eight connections to two replicas, and to two of a deployment of Ray Serve as its pages have one
  (`plain_ray.py`), by default and with RAY_SERVE_THROUGHPUT_OPTIMIZED=1: the same model, decoding, runtime and
  priority.
- killed: 40 requests a second to two replicas, of which one is killed in the middle: how many were not answered, when
  the first and the last of these were due, in s from that, and when there were two again.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import statistics
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from time import perf_counter
from typing import NamedTuple

import numpy as np
from load import Load, Sent
from serving import Running, percentile, serving

from ondevice.cli import console
from ondevice.cloud.ray import remains

MODEL, BODY_BYTES = "mobilenet_v1_0.25_128_quant", 100_000
# Requests of a round at one connection, of which there are many, for a machine's pace changes within seconds; s of a
# round at eight, of which there are an eighth as many; requests a second and s of the last part.
ROUND, ROUND_S, RATE, KILLED_S = 25, 3.0, 40, 30
# No deadline is to refuse anything here.
QUERY = "sla_ms=10000"
# How many workers and replicas a run has.
ONE, TWO = 1, 2


class Sides(NamedTuple):
    """The two servers, with as many workers and replicas."""

    native: Running
    ray: Running


def started(stack: ExitStack, model: Path, count: int) -> Sides:
    """Both, until the stack ends."""
    native = stack.enter_context(serving([model], "--workers", str(count), "--no-log-requests"))
    ray = stack.enter_context(serving([model], "--ray", "--replicas", str(count), "--no-log-requests"))
    return Sides(native, ray)


def gap_ms(sent: Sequence[Sent]) -> float:
    """The longest time without an answer."""
    return float(np.diff(sorted(one.done for one in sent)).max()) * 1e3


async def one_connection(server: Running, picture: bytes, count: int) -> list[Sent]:
    """So many requests, one after the other."""
    return await Load(server.url, [picture], QUERY, connections=1).one_by_one(count)


async def eight_connections(server: Running, picture: bytes) -> list[Sent]:
    """Requests of eight clients, each as soon as the one before it is answered."""
    load, end = Load(server.url, [picture], QUERY), perf_counter() + ROUND_S

    async def client() -> list[Sent]:
        sent: list[Sent] = []
        while perf_counter() < end:
            sent += await load.one_by_one(5)
        return sent

    return [one for each in await asyncio.gather(*(client() for _ in range(8))) for one in each]


def one(model: Path, picture: bytes, rounds: int) -> None:
    """One connection."""
    with ExitStack() as stack:
        sides = started(stack, model, ONE)
        found: dict[str, list[list[Sent]]] = {"native": [], "ray": []}
        for number in range(rounds + 1):
            for name, server in zip(found, sides, strict=True):
                sent = asyncio.run(one_connection(server, picture, ROUND))
                if number:  # the first is for both to settle
                    found[name].append(sent)
    rows = []
    for name, each in found.items():
        ms = [one.latency_ms for sent in each for one in sent]
        gap = max(gap_ms(sent) for sent in each)
        rows.append(
            {"one connection": name, "p50_ms": percentile(ms, 50), "p99_ms": percentile(ms, 99), "longest_gap_ms": gap}
        )
    print(console.table(rows, ".2f"))
    medians = [[percentile([one.latency_ms for one in sent], 50) for sent in each] for each in found.values()]
    added = [ray - native for native, ray in zip(*medians, strict=True)]
    low, middle, high = np.percentile(added, (25, 50, 75))
    print(f"Ray adds {middle:.2f} ms to the median (half of the rounds: {low:.2f} to {high:.2f})\n")


def eight(model: Path, picture: bytes, rounds: int) -> None:
    """Eight connections."""
    for count in (ONE, TWO):
        with ExitStack() as stack:
            sides = started(stack, model, count)
            each = {f"{count} workers": sides.native, f"{count} replicas": sides.ray}
            show_eight("eight connections", each, picture, max(rounds // 8, 1))


def show_eight(title: str, sides: Mapping[str, Running], picture: bytes, rounds: int) -> None:
    """Ask each in turn, so many times, and print what came of it; the first round is for all to settle."""
    found: dict[str, list[list[Sent]]] = {name: [] for name in sides}
    for number in range(rounds + 1):
        for name, server in sides.items():
            sent = asyncio.run(eight_connections(server, picture))
            if number:
                found[name].append(sent)
    rows = []
    for name, each in found.items():
        sent = [one for part in each for one in part]
        good = [one.latency_ms for one in sent if one.status == 200]
        rates = [sum(one.status == 200 for one in part) / ROUND_S for part in each]
        rows.append(
            {
                title: name,
                "answers/s": statistics.median(rates),
                "least": min(rates),
                "most": max(rates),
                "p50_ms": percentile(good, 50),
                "p99_ms": percentile(good, 99),
                "longest_gap_ms": max(map(gap_ms, each)),
                "not answered": refusals(sent),
            }
        )
    print(console.table(rows, ".1f"), end="\n\n")


def refusals(sent: Sequence[Sent]) -> str:
    """How many of them were not answered, and with what status; 0: the connection broke."""
    by_status = Counter(one.status for one in sent if one.status != 200)
    return ", ".join(f"{count} by {status}" for status, count in sorted(by_status.items())) or "none"


@contextmanager
def plain_ray(model: Path, variables: Mapping[str, str]) -> Iterator[Running]:
    """A deployment as others have it."""
    command = [sys.executable, str(Path(__file__).with_name("plain_ray.py")), str(model), str(TWO)]
    environment = {**os.environ, "RAY_USAGE_STATS_ENABLED": "0", "RAY_worker_niceness": "0", **variables}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment)
    assert process.stdout
    try:
        url = next((line.strip() for line in process.stdout if line.startswith("http")), "")
        yield Running(url, process.pid, list)
    finally:
        process.terminate()
        process.wait()


def plain(model: Path, picture: bytes, rounds: int) -> None:
    """Beside plain deployments."""
    with ExitStack() as stack:
        ours = stack.enter_context(serving([model], "--ray", "--replicas", str(TWO), "--no-log-requests"))
        sides = {"ondevice serve --ray": ours, "plain": stack.enter_context(plain_ray(model, {}))}
        optimized = {"RAY_SERVE_THROUGHPUT_OPTIMIZED": "1"}
        sides["plain, throughput optimized"] = stack.enter_context(plain_ray(model, optimized))
        show_eight("two replicas", sides, picture, max(rounds // 8, 1))


def killed(model: Path, picture: bytes, rounds: int) -> None:
    """A replica killed under load."""
    with serving([model], "--ray", "--replicas", str(TWO), "--no-log-requests") as server:
        sent, at, again_s = asyncio.run(_killed(server, picture))
    lost = [one.due - at for one in sent if one.status != 200]
    when = f", due from {min(lost):.2f} to {max(lost):.2f} s after it was killed" if lost else ""
    print(f"of {len(sent)} requests {len(lost)} were not answered{when}; two replicas again after {again_s:.1f} s")


async def _killed(server: Running, picture: bytes) -> tuple[list[Sent], float, float]:
    load = Load(server.url, [picture], QUERY, connections=32)
    asking = asyncio.ensure_future(load.at((np.arange(RATE * KILLED_S) / RATE).tolist()))
    await asyncio.sleep(KILLED_S / 3)
    before = set(replicas(server))
    os.kill(min(before), signal.SIGKILL)
    at = perf_counter()
    # A new one is called so as soon as Ray has started it; when it serves, its worker is there.
    while len(workers(server)) < TWO or not set(replicas(server)) - before:
        await asyncio.sleep(0.1)
    again_s = perf_counter() - at
    return await asking, at, again_s


def replicas(server: Running) -> list[int]:
    """The processes that are replicas."""
    return _called(server, "ServeReplica")


def workers(server: Running) -> list[int]:
    """Their workers."""
    return _called(server, "backends.workers.worker")


def _called(server: Running, name: str) -> list[int]:
    (driver,) = Path(f"/proc/{server.pid}/task/{server.pid}/children").read_text().split()
    variables = Path(f"/proc/{driver}/environ").read_bytes().split(b"\0")
    mark = next(one for one in variables if one.startswith(b"RAY_AUTH_TOKEN_PATH=")).decode()
    return [pid for pid in remains.processes(mark) if name.encode() in Path(f"/proc/{pid}/cmdline").read_bytes()]


PARTS = {"one": one, "eight": eight, "plain": plain, "killed": killed}


def main() -> None:
    """All of it, or the parts that are named."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", type=Path)
    parser.add_argument("photos", type=Path)
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--only", default=",".join(PARTS))
    given = parser.parse_args()
    photos = [path for path in given.photos.rglob("*") if path.is_file()]
    photo = min(photos, key=lambda path: abs(path.stat().st_size - BODY_BYTES))
    print(f"{MODEL}, {photo.name}, {photo.stat().st_size} bytes\n")
    for part in given.only.split(","):
        PARTS[part](given.models / f"{MODEL}.tflite", photo.read_bytes(), given.rounds)


if __name__ == "__main__":
    main()
