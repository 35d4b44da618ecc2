"""The endpoint's own figures: the decision's cost, deadlines, a competing load, overload, a memory budget.

    python benchmarks/endpoint.py MODELS PHOTOS [--only decision,overhead,deadlines,hog,price,overload,budget]
                                                [--sla MS] [--rounds N] [--against PYTHON]

With `--against PYTHON` the parts are overhead, price and overload, of this version and of that environment's, in turn:
both get the same arrivals, at multiples of what this version can do.
MODELS: a folder of .tflite files of one label list that are in the zoo. PHOTOS: a folder for `ondevice evaluate`.
The server is `ondevice serve` as its users start it; the load comes from this process, and takes part of the machine.
"""

from __future__ import annotations

import argparse
import asyncio
import math
import statistics
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any, NamedTuple, cast

import numpy as np
import versions
from load import Sent
from serving import Running, ask, closed, open_loop, percentile, serving, short

from ondevice import Runner, host
from ondevice.cli import console
from ondevice.cloud.backends.backend import Backend, Others
from ondevice.cloud.select.arrival import Arrival
from ondevice.cloud.select.parameters import RequestParameters
from ondevice.cloud.select.rules import Rules
from ondevice.cloud.select.selector import Selector
from ondevice.dataset.labelled import labelled
from ondevice.protocol.metadata import TensorMetadata
from ondevice.protocol.picture import PictureHead
from ondevice.protocol.rung import Rung
from ondevice.protocol.served import ServedModel
from ondevice.selection import policies
from ondevice.timing.distribution import Distribution
from ondevice.timing.table import LatencyTable

DEADLINES_MS = (2, 3, 4, 5, 6, 8, 10, 12, 15, 20, 30, 40, 60)
POLICIES = ("greedy", "mdinference", "cnnselect", "effective")
OVERLOAD_S, RECOVERY_S, PRICE_S = 60, 10, 20

Row = dict[str, Any]


class Data(NamedTuple):
    """The models' paths, pictures with their classes, and a deadline that leaves a choice among the models here.

    rounds: of `overhead`. against: the Python of another version, or None.
    """

    models: list[Path]
    pictures: list[bytes]
    classes: list[int]
    sla_ms: float
    rounds: int = 7
    against: str | None = None


def main() -> None:
    """Run the parts that are asked for and print their tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("models", type=Path)
    parser.add_argument("photos", type=Path)
    parser.add_argument("--only", help=f"of {','.join(PARTS)}; with --against of {','.join(COMPARED)}")
    parser.add_argument(
        "--sla", type=float, default=40.0, help="deadline, ms; of it budget takes 2, 0.75 and 0.3 times"
    )
    parser.add_argument("--rounds", type=int, default=7, help="of overhead (7)")
    parser.add_argument("--against", metavar="PYTHON", help="show this environment's version too")
    arguments = parser.parse_args()
    if arguments.against and arguments.rounds < versions.FEWEST_ROUNDS:
        parser.error(f"--against: give --rounds {versions.FEWEST_ROUNDS} or more: fewer show nothing")
    models = sorted(arguments.models.glob("*.tflite"))
    found = labelled(arguments.photos, Runner(models[0]).labels)
    pictures, truth = [Path(path).read_bytes() for path in found.paths], list(found.truth)
    data = Data(models, pictures, truth, arguments.sla, arguments.rounds, arguments.against)
    print(f"{host.current().cpu_model()}, {host.system.cores()} cores; {len(data.pictures)} pictures\n")
    parts = COMPARED if arguments.against else PARTS
    for part in arguments.only.split(",") if arguments.only else parts:
        print(f"{part}: {parts[part].__doc__}")
        print(console.table(list(parts[part](data)), ".2f") + "\n", flush=True)


class Still:
    """As much of a backend as a choice needs: 25 models whose times do not change, behind a queue that never ends."""

    saturated, counts_demand, way_ms = True, False, 0.0

    def __init__(self) -> None:
        mean_ms = np.sort(np.random.default_rng(0).uniform(1, 300, 25))
        own = TensorMetadata.of("x", (1, 224, 224, 3), np.dtype(np.uint8))
        top1 = np.linspace(0.4, 0.8, 25).tolist()
        self.models = [ServedModel(f"m{i}", (), top1[i], "", "uint8", 1, "still", own, own) for i in range(25)]
        self.queue = self.times = self
        self.table, self._times_ms = LatencyTable(25), mean_ms * 0.1
        for row, mean in enumerate(mean_ms):
            self.table.write(row, Distribution.of(mean * np.linspace(0.9, 1.3, 21)))

    def available(self, model: str) -> bool:
        """Always."""
        return True

    def wait_ms(self, picture: PictureHead | None, due: float = math.inf) -> np.ndarray[Any, Any]:
        """5 ms for all."""
        return np.full(25, 5.0)

    def others(self, due: float) -> Others:
        """All can wait longer than any takes."""
        return Others(1000.0, 0.1)

    def work_ms(self, picture: PictureHead | None) -> np.ndarray[Any, Any]:
        """A tenth of each model's time."""
        return self._times_ms


def decision(data: Data) -> Iterator[Row]:
    """One decision among 25 models while all is busy, so that refusing is considered too, µs; of files and uploads."""
    still = Still()
    selector, known = Selector([cast(Backend, still)], Rules(), np.random.default_rng(0)), Distribution.of([1.0])
    for name in policies.POLICIES:
        both = [RequestParameters(sla_ms=200, policy=name, upload=upload) for upload in (None, Rung(192, 40))]
        taken: tuple[list[float], list[float]] = [], []
        for _ in range(1000):
            for parameters, us in zip(both, taken, strict=True):
                still.table.write(0, known)  # something was learned meanwhile, as after each answer
                start = perf_counter()
                selector.choose(Arrival(parameters, 30.0, PictureHead.guessed(100_000), start))
                us.append((perf_counter() - start) * 1e6)
        figures = zip(("", "upload_"), taken, strict=True)
        row = {f"{of}p{q}_us": round(percentile(us, q), 1) for of, us in figures for q in (50, 90)}
        yield {"policy": name, **row}


def overhead(data: Data) -> Iterator[Row]:
    """One connection: the client's time for an answer over decode + invoke in a loop, in turn, medians."""
    for path in data.models:
        runner = Runner(path)
        with serving([path], "--no-log-requests") as server:
            pairs = [
                (bare(runner, data.pictures[:100]), asked(server, data.pictures[:100])) for _ in range(data.rounds)
            ]
        alone, through = versions.medians(pairs)
        yield {"model": path.stem, "decode + invoke_ms": alone, "endpoint_ms": through, "over_ms": through - alone}


def against(data: Data) -> Iterator[Row]:
    """One connection to each version: the time for an answer, and what of it is neither decoding nor inference."""
    assert data.against
    both = versions.sides(data.against)
    print(versions.header(both, data.rounds) + "\n", flush=True)
    for path in data.models:
        for compared in _compared(both, path, data):
            yield compared.record()


def _compared(both: tuple[versions.Side, versions.Side], path: Path, data: Data) -> Iterator[versions.Compared]:
    runner, alone, through = Runner(path), [], []
    tens = [data.pictures[i : i + 10] for i in range(0, min(len(data.pictures), 200), 10)]
    for _ in range(data.rounds):
        with (
            serving([path], "--no-log-requests", by=both[0]) as new,
            serving([path], "--no-log-requests", by=both[1]) as old,
        ):
            for server in (new, old):
                asked(server, tens[0])  # warms up
            through.append(versions.medians(versions.in_turn(partial(asked, new), partial(asked, old), tens)))
        alone.append(statistics.median(bare(runner, ten) for ten in tens))
    yield versions.Compared(f"answer, {path.stem}", through)
    added = [(ours - own, theirs - own) for (ours, theirs), own in zip(through, alone, strict=True)]
    if min(min(pair) for pair in added) > 0:  # else the machine is too busy for differences of such differences
        yield versions.Compared(f"of it added to decode + invoke, {path.stem}", added)


def deadlines(data: Data) -> Iterator[Row]:
    """Every picture once for each deadline and policy, one after the other; accuracy is of the answers, late or not."""
    with serving(data.models, "--overload", "best-effort", "--no-log-requests") as server:
        for policy in POLICIES:
            for sla_ms in DEADLINES_MS:
                sent = asyncio.run(ask(server.url, data.pictures, f"sla_ms={sla_ms}&policy={policy}"))
                yield {"policy": policy, "sla_ms": float(sla_ms), **judged(sent, data, sla_ms)}


def hog(data: Data) -> Iterator[Row]:
    """50 requests a row at one connection; from row 4 to 11 four processes that only burn the CPU compete."""
    with serving(data.models, "--no-log-requests") as server:
        asyncio.run(ask(server.url, data.pictures[:100], f"sla_ms={data.sla_ms:g}"))
        hogs: list[subprocess.Popen[bytes]] = []
        for row in range(20):
            if row == 4:
                hogs = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(4)]
            if row == 12:
                for process in hogs:
                    process.kill()
                    process.wait()
            pictures = [data.pictures[(row * 50 + i) % len(data.pictures)] for i in range(50)]
            sent = asyncio.run(ask(server.url, pictures, f"sla_ms={data.sla_ms:g}"))
            requests, busy = f"{row * 50}-{row * 50 + 49}", 4 if 4 <= row < 12 else 0
            yield {"requests": requests, "hogs": busy, **shares(sent, data.sla_ms)}


def price(data: Data) -> Iterator[Row]:
    """Poisson arrivals at multiples of what the most accurate model can do; a worker's time free, and priced.

    effective: the share of all requests that were answered right and in time. late: of the answered.
    """
    with each(data) as servers:
        capacity = asyncio.run(closed(servers["new"].url, data.pictures, "sla_ms=1000&policy=static-accuracy"))
        for factor in (0.5, 1.0, 2.0, 4.0):
            for policy in ("effective:price=0", "effective"):
                query = f"sla_ms={data.sla_ms:g}&policy={policy}"
                for version, (sent, _) in arriving(servers, data, query, capacity * factor, PRICE_S).items():
                    yield {
                        "load": f"{factor:g} x {capacity:.0f}/s",
                        "policy": policy,
                        "version": version,
                        **effective(sent, data),
                    }


def overload(data: Data) -> Iterator[Row]:
    """Poisson arrivals at half, at three times and again at half of what 8 connections reached; 5 s a row."""
    query = f"sla_ms={data.sla_ms:g}"
    with each(data) as servers:
        capacity = asyncio.run(closed(servers["new"].url, data.pictures, query))
        for factor, seconds in ((0.5, RECOVERY_S), (3.0, OVERLOAD_S), (0.5, RECOVERY_S)):
            found = arriving(servers, data, query, capacity * factor, seconds)
            for start in range(0, seconds, 5):
                for version, (sent, memory) in found.items():
                    yield {
                        "load": f"{factor:g} x {capacity:.0f}/s",
                        "second": start,
                        "version": version,
                        **window([s for s in sent if start <= s.due - sent[0].due < start + 5], data.sla_ms),
                        "memory MB": round(memory.get(start, float("nan")) / 1e6, 1),
                    }


@contextmanager
def each(data: Data) -> Iterator[dict[str, Running]]:
    """A server of each version, by its name."""
    with ExitStack() as stack:
        yield {
            name: stack.enter_context(serving(data.models, "--no-log-requests", by=by))
            for name, by in versions.named(data.against).items()
        }


def arriving(
    servers: dict[str, Running], data: Data, query: str, rate: float, seconds: int
) -> dict[str, tuple[list[Sent], dict[int, float]]]:
    """The same arrivals at each server, one server after the other: what came, and its memory."""
    return {
        name: asyncio.run(open_loop(server, data.pictures, query, rate, seconds)) for name, server in servers.items()
    }


def effective(sent: Sequence[Sent], data: Data) -> Row:
    """What was answered right and in time."""
    good = [s for s in sent if s.status == 200]
    right = sum(s.index == data.classes[s.picture] and s.latency_ms <= data.sla_ms for s in good)
    return {
        "effective": right / len(sent),
        "refused": 1 - len(good) / len(sent),
        "late": sum(s.latency_ms > data.sla_ms for s in good) / max(len(good), 1),
        "p99_ms": percentile([s.latency_ms for s in good], 99),
    }


def window(sent: Sequence[Sent], sla_ms: float) -> Row:
    """How many were answered, refused and late, and how soon."""
    good = [s.latency_ms for s in sent if s.status == 200]
    refused = [s.latency_ms for s in sent if s.status == 503]
    return {
        "answered": len(good),
        "refused": len(refused),
        "other": len(sent) - len(good) - len(refused),
        "p99_ms": percentile(good, 99),
        "late": sum(s > sla_ms for s in good),
        "refused p99_ms": percentile(refused, 99),
    }


def budget(data: Data) -> Iterator[Row]:
    """A memory budget for two of the models; three deadlines take turns, 200 requests each."""
    with serving(data.models, "--memory-budget", "28MB", "--no-log-requests") as server:
        seen = 0
        for number in range(18):
            sla_ms = data.sla_ms * (2, 0.75, 0.3)[number // 2 % 3]
            sent = asyncio.run(ask(server.url, data.pictures[:100], f"sla_ms={sla_ms}"))
            events = [f"{e['event']} {e['model']}" for e in server.log() if "model" in e]
            yield {"sla_ms": sla_ms, **shares(sent, sla_ms), "events": ", ".join(events[seen:])}
            seen = len(events)


PARTS: dict[str, Callable[[Data], Iterator[Row]]] = {
    part.__name__: part for part in (decision, overhead, deadlines, hog, price, overload, budget)
}
COMPARED: dict[str, Callable[[Data], Iterator[Row]]] = {"overhead": against, "price": price, "overload": overload}


def bare(runner: Runner, pictures: Sequence[bytes]) -> float:
    """Median ms of decode + invoke."""
    return statistics.median(runner.classify(picture).total_ms for picture in pictures)


def asked(server: Running, pictures: Sequence[bytes]) -> float:
    """Median ms of an answer."""
    return statistics.median(s.latency_ms for s in asyncio.run(ask(server.url, pictures, "sla_ms=1000")))


def judged(sent: Sequence[Sent], data: Data, sla_ms: float) -> Row:
    """Accuracy, attainment and shares."""
    right = [s.index == data.classes[s.picture] for s in sent if s.status == 200]
    return {"top1": statistics.mean(right), **shares(sent, sla_ms)}


def shares(sent: Sequence[Sent], sla_ms: float) -> Row:
    """How many were in time, and which models answered."""
    good = [s for s in sent if s.status == 200]
    models = Counter(s.parameters["selected_model"] for s in good)
    return {
        "attainment": sum(s.latency_ms <= sla_ms for s in good) / len(sent),
        "p50_ms": percentile([s.latency_ms for s in good], 50),
        "p99_ms": percentile([s.latency_ms for s in good], 99),
        "models": ", ".join(f"{short(model)} {n / len(good):.0%}" for model, n in models.most_common()),
    }


if __name__ == "__main__":
    main()
