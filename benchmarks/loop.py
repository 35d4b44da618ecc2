"""What the client costs an asyncio loop that it is used on: by how much later the loop's other work is done.

    python benchmarks/loop.py [--mode auto --mode cloud …] [--at-once N] [--seconds S] [--sla MS]
                              [--face async --face threads] [--where]

200 `AsyncOffloadClient.classify` at once on one loop, again and again, at an `ondevice serve` with the bundled models
and with the smallest of them on the device, while another coroutine of the loop sleeps for 1 ms, again and again: its
lag is by how much later it wakes. Before and after all that the loop is idle but for it; so is, all the time, that of
another process, whose lag says what of it is the machine's. The bar: the lag's 99.9th percentile at most 5 ms over that
of the idle loop, the lower of both. The endpoint, which would be another machine, has the first core to itself.

--face threads: `OffloadClient.classify` on as many threads, as with `asyncio.to_thread`. --where: what the threads of
this process took of the CPU, and in which functions a thread that looks every 5 ms found them.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np
from offload import BUNDLED, serving

import ondevice
from ondevice import Answer, OffloadClient, host
from ondevice.cli import console
from ondevice.models import zoo

LOCAL = "digits_xs_int8"
# The probe's sleep; as long as a robot's quickest loops wait.
PROBE_S = 0.001
IDLE_S = 8.0
# What the lag's 99.9th percentile may be over the idle loop's, ms.
BAR_MS = 5.0
# Between two looks of --where.
LOOK_S = 0.005
Row = dict[str, Any]
Classify = Callable[[bytes], Awaitable[Answer]]


class Stretch(NamedTuple):
    """A part of the run. lags_ms: of the probe. answers: what was asked for came to, errors included."""

    name: str
    lags_ms: list[float]
    beside_ms: list[float]
    answers: Sequence[Answer | BaseException] = ()
    totals: str = ""


async def run(arguments: argparse.Namespace, url: str) -> list[Stretch]:
    """All of it."""
    pictures = [path.read_bytes() for path in sorted(zoo.samples_dir().glob("*/*.png"))]
    with another_process() as beside:
        found = [await idle("idle before", beside)]
        for mode in arguments.mode or ["auto", "cloud"]:
            for name, client in ways(arguments, url, mode):
                async with client as (classify, totals):
                    with looking(name) if arguments.where else not_looking():
                        found.append(await busy(name, classify, pictures, arguments, beside))
                    found[-1] = found[-1]._replace(totals=str(totals()))
        return [*found, await idle("idle after", beside)]


def ways(arguments: argparse.Namespace, url: str, mode: str) -> Iterator[tuple[str, Any]]:
    """The clients that are asked for."""
    faces = arguments.face or ["async"]
    if "async" in faces:
        yield mode, asynchronous(url, arguments.sla, mode)
    if "threads" in faces:
        yield f"{mode}, threads", threaded(url, arguments.sla, mode, arguments.at_once)


@asynccontextmanager
async def asynchronous(url: str, sla_ms: float, mode: str) -> AsyncIterator[tuple[Classify, Callable[[], object]]]:
    """`AsyncOffloadClient`."""
    async with ondevice.AsyncOffloadClient(url, LOCAL, sla_ms, mode) as client:
        assert await client.ready(5)
        yield client.classify, lambda: client.totals


@asynccontextmanager
async def threaded(
    url: str, sla_ms: float, mode: str, at_once: int
) -> AsyncIterator[tuple[Classify, Callable[[], object]]]:
    """`OffloadClient` on as many threads as there are requests at once."""
    with OffloadClient(url, LOCAL, sla_ms, mode) as client, ThreadPoolExecutor(at_once) as pool:
        loop = asyncio.get_running_loop()
        yield lambda picture: loop.run_in_executor(pool, client.classify, picture), lambda: client.totals


async def idle(name: str, beside: Beside) -> Stretch:
    """Nothing but the probe."""
    beside.begin()
    lags = await probe(perf_counter() + IDLE_S)
    return Stretch(name, lags, beside.end())


async def busy(
    name: str, classify: Classify, pictures: Sequence[bytes], arguments: argparse.Namespace, beside: Beside
) -> Stretch:
    """So many requests at once, until the time is over."""
    beside.begin()
    until = perf_counter() + arguments.seconds
    probing = asyncio.ensure_future(probe(until))
    answers: list[Answer | BaseException] = []
    while perf_counter() < until:
        some = [pictures[(len(answers) + n) % len(pictures)] for n in range(arguments.at_once)]
        answers += await asyncio.gather(*map(classify, some), return_exceptions=True)
    return Stretch(name, await probing, beside.end(), answers)


async def probe(until: float) -> list[float]:
    """By how much later than asked for it wakes, each time, ms."""
    lags = []
    while (begun := perf_counter()) < until:
        await asyncio.sleep(PROBE_S)
        lags.append((perf_counter() - begun - PROBE_S) * 1e3)
    return lags


class Beside:
    """The probe in another process, whose loop has nothing else to do."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def begin(self) -> None:
        """What was seen until now is of no interest."""
        self.end()

    def end(self) -> list[float]:
        """The lags since `begin`, ms."""
        assert self._process.stdin
        assert self._process.stdout
        print(file=self._process.stdin, flush=True)
        found: list[float] = json.loads(self._process.stdout.readline())
        return found


@contextmanager
def another_process() -> Iterator[Beside]:
    """This file, as the one beside."""
    with subprocess.Popen(
        [sys.executable, __file__, "--beside"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        yield Beside(process)
        process.terminate()


async def be_beside() -> None:
    """Probe, and say on standard output what was seen since the last line of standard input."""
    lags: list[float] = []

    def tell() -> None:
        if sys.stdin.readline():
            print(json.dumps(lags), flush=True)
            lags.clear()

    asyncio.get_running_loop().add_reader(sys.stdin, tell)
    while True:
        lags.extend(await probe(perf_counter() + PROBE_S))


# What the threads do meanwhile


@contextmanager
def not_looking() -> Iterator[None]:
    """Without --where."""
    yield


@contextmanager
def looking(name: str) -> Iterator[None]:
    """What the threads took of the CPU, and where they were."""
    over, found = threading.Event(), Counter[tuple[str, str]]()
    thread = threading.Thread(target=look, args=(over, found), name="looking")
    before, begun = cpu_s(), perf_counter()
    thread.start()
    yield
    after, took_s = cpu_s(), perf_counter() - begun
    over.set()
    thread.join()
    used = {thread: after[thread] - before.get(thread, 0.0) for thread in after}
    print(
        f"\n{name}: CPU of threads: " + ", ".join(f"{t} {s / took_s:.0%}" for t, s in used.items() if s > 0.01 * took_s)
    )
    rows = [{"thread": thread, "where": where, "seen": seen} for (thread, where), seen in found.most_common(40)]
    print(console.table(rows), flush=True)


def cpu_s() -> dict[str, float]:
    """What each kind of thread has taken of the CPU so far, s."""
    taken: dict[str, float] = {}
    for thread in threading.enumerate():
        statistics = Path(f"/proc/self/task/{thread.native_id}/schedstat").read_text()
        taken[kind(thread.name)] = taken.get(kind(thread.name), 0.0) + int(statistics.split()[0]) / 1e9
    return taken


def kind(name: str) -> str:
    """A thread's name without its number."""
    return name.rstrip("0123456789_-")


def look(over: threading.Event, found: Counter[tuple[str, str]]) -> None:
    """Note where the threads are that have moved since the last look."""
    last: dict[int, object] = {}
    while not over.wait(LOOK_S):
        names = {thread.ident: kind(thread.name) for thread in threading.enumerate()}
        for ident, frame in sys._current_frames().items():
            where = frame, frame.f_lasti
            if ident != threading.get_ident() and last.get(ident) != where:
                code = frame.f_code
                caller = frame.f_back.f_code.co_name if frame.f_back else ""
                here = "/".join(Path(code.co_filename).parts[-2:])
                found[names.get(ident, "?"), f"{here}:{frame.f_lineno} {code.co_name} < {caller}"] += 1
            last[ident] = where


# What came of it


def row(stretch: Stretch, idle_ms: float) -> Row:
    """A line of the table. idle_ms: the idle loop's 99.9th percentile."""
    lags = np.percentile(stretch.lags_ms, [50, 99, 99.9, 100]).tolist()
    answers = [one for one in stretch.answers if isinstance(one, Answer)]
    return {
        "": stretch.name,
        **{f"{name}_ms": lag for name, lag in zip(("p50", "p99", "p99.9", "max"), lags, strict=True)},
        "over idle_ms": lags[2] - idle_ms if stretch.answers else None,
        "another process's p99.9_ms": float(np.percentile(stretch.beside_ms, 99.9)),
        "probes": len(stretch.lags_ms),
        "asked": len(stretch.answers),
        "answers": len(answers),
        "on time": sum(bool(one.on_time) for one in answers),
        "cloud": sum(one.where == "cloud" for one in answers),
        "device": sum(one.where == "device" for one in answers),
    }


def decisions(stretch: Stretch) -> Iterator[Row]:
    """Why the answers came from where they did, and what errors there were."""
    why = Counter(
        (one.where, one.why.rstrip("0123456789.") if isinstance(one, Answer) else str(one))
        if isinstance(one, Answer)
        else ("error", f"{type(one).__name__}: {one}")
        for one in stretch.answers
    )
    for (where, reason), count in why.most_common(6):
        yield {"": stretch.name, "where": where, "why": reason, "answers": count}


@contextmanager
def serving_apart() -> Iterator[int]:
    """An endpoint on the first core, and this process on the others, where the system lets one say so."""
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    if len(cores) > 1:
        os.sched_setaffinity(0, cores[:1])
    with serving(BUNDLED) as port:
        if len(cores) > 1:
            os.sched_setaffinity(0, cores[1:])
        yield port


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--mode", action="append", help="auto and cloud, unless given")
    parser.add_argument("--at-once", type=int, default=200, help="requests (200)")
    parser.add_argument("--seconds", type=float, default=20.0, help="of each mode (20)")
    parser.add_argument("--sla", type=float, default=2000.0, help="the deadline, ms (2000)")
    parser.add_argument("--face", action="append", choices=["async", "threads"], help="async, unless given")
    parser.add_argument("--where", action="store_true")
    parser.add_argument("--beside", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.beside:
        asyncio.run(be_beside())
        return
    print(f"{host.current().cpu_model()}, {host.system.cores()} cores; ondevice {ondevice.__version__}; ", end="")
    print(f"{arguments.at_once} at once, deadline {arguments.sla:g} ms")
    with console.quiet_runtime(), serving_apart() as port:
        found = asyncio.run(run(arguments, f"http://127.0.0.1:{port}"))
    show(found)


def show(found: Sequence[Stretch]) -> None:
    """Print what came of it, and whether the bar holds."""
    idle_ms = min(float(np.percentile(one.lags_ms, 99.9)) for one in (found[0], found[-1]))
    print("\n" + console.table([row(stretch, idle_ms) for stretch in found], ".2f"))
    busy = [stretch for stretch in found if stretch.answers]
    print("\n" + console.table([line for stretch in busy for line in decisions(stretch)]))
    for stretch in busy:
        over_ms = float(np.percentile(stretch.lags_ms, 99.9)) - idle_ms
        verdict = "holds" if over_ms <= BAR_MS else f"is missed by {over_ms - BAR_MS:.2f} ms"
        print(f"\n{stretch.name}: {over_ms:.2f} ms over idle: the bar of {BAR_MS:g} ms {verdict}; {stretch.totals}")


if __name__ == "__main__":
    main()
