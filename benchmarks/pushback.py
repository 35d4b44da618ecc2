"""50 clients at twice what their endpoint can do: with what it says of when to come back kept to, and without.

    python benchmarks/pushback.py --models MODELS --photos PHOTOS [--rounds N] [--seconds S]

Both ways meet the same arrivals, in turn, A B B A, each with an endpoint started anew. The clients of both ways go by a
relay, which leaves out `retry-after-ms` and `Retry-After` for those that are not to know. MODELS: as for `offload.py`;
the endpoint has the largest, the clients the fastest, with the times of an emulated phone. PHOTOS: a folder for
`ondevice evaluate`. All are on this machine, and what is looked for must not be who gets its cores: the pictures are
sent small, and the endpoint's inferences take 40 ms, most of which its workers sleep. Requests are hedged, and half of
them, by lot, have the shorter of two deadlines. The relay counts what is sent, and refused. The difference of the
shares that are right and on time has Student's 95 % interval over the rounds, for a round's requests share its queue.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import numpy as np
import versions
from clients import Phone
from PIL import Image
from serving import Running, closed, serving

from ondevice import OffloadClient, Runner, host
from ondevice.cli import console
from ondevice.client.planning.plan import Mode
from ondevice.dataset.labelled import labelled
from ondevice.devices import card, network
from ondevice.devices.prediction import predict
from ondevice.devices.timemodel import drawer

DEVICE = "pieslicer-phone"
# The device alone is sure to meet either, so that a request that is refused is late only by what asking took.
DEADLINES_MS = (150.0, 400.0)
CLIENTS, PROCESSES, OVER = 50, 5, 2.0
# Requests of one client at once, for they arrive as they like.
AT_ONCE = 4
# Of the pictures that are sent: what V2 looks at, uncropped.
SIDE = 256
# What an inference at the endpoint takes, and how many run at once there.
INFER_S, WORKERS = 0.04, 2
# In the endpoint's processes, before anything else runs.
SLOWED = f"""
import time
from ondevice.runtime import Executable
def slowed(self, tensors, run=Executable.run):
    due = time.perf_counter() + {INFER_S}
    found = run(self, tensors)
    time.sleep(max(due - time.perf_counter(), 0.0))
    return found
Executable.run = slowed
"""
WAYS = ("kept", "ignored")
# What the relay leaves out.
HEADERS = re.compile(rb"\r\n(?:retry-after|retry-after-ms):[^\r\n]*", re.IGNORECASE)
STATUS = re.compile(rb"HTTP/1\.1 (\d\d\d) ")
Row = dict[str, Any]


class Request(NamedTuple):
    """One request: when, after the beginning, s; by which client; of which picture; its deadline; the phone's time."""

    at_s: float
    client: int
    picture: int
    sla_ms: float
    phone_ms: float


class Outcome(NamedTuple):
    """What came of it, `right` as the caller knows it."""

    index: int
    on_time: bool
    where: str
    sent: bool


class Photos(NamedTuple):
    """Small pictures in files, and their classes."""

    paths: list[str]
    truth: list[int]

    @classmethod
    def of(cls, folder: Path, model: Path, into: Path) -> Photos:
        """All of a data set."""
        found = labelled(folder, Runner(model).labels)
        paths = [into / f"{number}.jpg" for number in range(len(found.paths))]
        for path, source in zip(paths, found.paths, strict=True):
            with Image.open(source) as picture:
                scale = SIDE / min(picture.size)
                size = round(picture.width * scale), round(picture.height * scale)
                picture.convert("RGB").resize(size, Image.Resampling.BILINEAR, reducing_gap=3.0).save(path, quality=85)
        return cls(list(map(str, paths)), list(found.truth))


def arrivals(photos: Photos, rate: float, seconds: float, phone: Path, seed: int) -> list[Request]:
    """Poisson, over the clients by lot."""
    random = np.random.default_rng(seed)
    times = predict(card.find(DEVICE), network.of_file(phone), Runner(phone).precision).times
    at_s = np.cumsum(random.exponential(1 / rate, int(rate * seconds)))
    draw = drawer(times, random)
    return [
        Request(at, int(random.integers(CLIENTS)), int(random.integers(len(photos.paths))), by, draw())
        for at, by in zip(at_s.tolist(), random.choice(DEADLINES_MS, len(at_s)).tolist(), strict=True)
    ]


# The clients, in processes of their own


def clients(url: str, phone: Path, photos: Photos, requests: Sequence[Request]) -> list[Outcome]:
    """All clients' requests."""
    processes = [
        subprocess.Popen(
            [sys.executable, __file__, "--clients"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(PROCESSES)
    ]
    mine = [[n for n, one in enumerate(requests) if one.client % PROCESSES == p] for p in range(PROCESSES)]
    for process, numbers in zip(processes, mine, strict=True):
        told = {"url": url, "phone": str(phone), "paths": photos.paths, "requests": [requests[n] for n in numbers]}
        tell(process, told)
    for process in processes:
        assert process.stdout
        process.stdout.readline()  # its clients are there
    begin = time.monotonic() + 0.5
    for process in processes:
        tell(process, begin)
    found: dict[int, Outcome] = {}
    for process, numbers in zip(processes, mine, strict=True):
        said = json.loads(process.communicate()[0])
        found |= {n: Outcome(*one) for n, one in zip(numbers, said, strict=True)}
    return [found[n] for n in range(len(requests))]


def tell(process: subprocess.Popen[str], what: object) -> None:
    """A line of JSON."""
    assert process.stdin
    print(json.dumps(what), file=process.stdin, flush=True)


def be_clients() -> None:
    """Some of the clients: do what standard input says."""
    told = json.loads(sys.stdin.readline())
    requests = [Request(*one) for one in told["requests"]]
    warm_ms = [one.phone_ms for one in requests[:4]]
    with contextlib.ExitStack() as stack, console.quiet_runtime():
        phones = {number: Phone(told["phone"], warm_ms) for number in sorted({one.client for one in requests})}
        own = {
            number: stack.enter_context(OffloadClient(told["url"], phone, max(DEADLINES_MS), Mode.HEDGE))
            for number, phone in phones.items()
        }
        pools = {number: stack.enter_context(ThreadPoolExecutor(AT_ONCE)) for number in own}
        for client in own.values():
            assert client.ready(10)
        print("there", flush=True)
        begin = json.loads(sys.stdin.readline())
        outcomes: list[Future[Outcome]] = []
        for one in requests:
            time.sleep(max(begin + one.at_s - time.monotonic(), 0.0))
            phones[one.client].due_ms = one.phone_ms
            outcomes.append(pools[one.client].submit(outcome, own[one.client], told["paths"][one.picture], one.sla_ms))
        print(json.dumps([each.result() for each in outcomes]))


def outcome(client: OffloadClient, path: str, sla_ms: float) -> Outcome:
    """One request."""
    answer = client.classify(path, sla_ms)
    return Outcome(answer.index, bool(answer.on_time), answer.where, answer.sent_bytes > 0)


# The relay


class Relay:
    """Between clients and endpoint; counts the replies by status. strip: leave out when to come back."""

    def __init__(self, url: str, strip: bool) -> None:
        parts = urlsplit(url)
        self._to, self._strip = (parts.hostname, parts.port), strip
        self.statuses, self.hinted = Counter[int](), 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        there = await asyncio.open_connection(*self._to)
        await asyncio.gather(self._pass(reader, there[1], replies=False), self._pass(there[0], writer, replies=True))

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, replies: bool) -> None:
        """One direction; the endpoint writes a reply's head at once."""
        with contextlib.suppress(OSError):
            while data := await reader.read(1 << 17):
                if replies and (status := STATUS.match(data)):
                    self.statuses[int(status[1])] += 1
                    self.hinted += bool(HEADERS.search(data))
                    data = HEADERS.sub(b"", data) if self._strip else data
                writer.write(data)
        writer.close()


@contextlib.contextmanager
def relaying(relay: Relay) -> Iterator[str]:
    """Its URL; it runs on a thread."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    server = asyncio.run_coroutine_threadsafe(asyncio.start_server(relay.serve, "127.0.0.1", 0), loop).result()
    yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    loop.call_soon_threadsafe(loop.stop)
    thread.join()


# The comparison


def round_(way: str, models: tuple[Path, Path], photos: Photos, requests: Sequence[Request]) -> Row:
    """One way once: a line of the table."""
    with slowed(models[1]) as server:
        base = server.url.partition("/v2/")[0]
        relay = Relay(base, strip=way == "ignored")
        with relaying(relay) as url:
            found = clients(url, models[0], photos, requests)
    good = [
        one.on_time and one.index == photos.truth[request.picture] for one, request in zip(found, requests, strict=True)
    ]
    short = [g for g, request in zip(good, requests, strict=True) if request.sla_ms == min(DEADLINES_MS)]
    return {
        "pushback": way,
        "requests": len(found),
        "right and on time": sum(good) / len(good),
        f"of {min(DEADLINES_MS):g} ms": sum(short) / len(short),
        "late": sum(not one.on_time for one in found),
        "sent": sum(one.sent for one in found),
        "cloud": sum(one.where == "cloud" for one in found),
        "refused": relay.statuses[503],
        "with a time": relay.hinted,
    }


@contextlib.contextmanager
def slowed(model: Path) -> Iterator[Running]:
    """An endpoint whose inferences take longer."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "sitecustomize.py").write_text(SLOWED)
        path = os.pathsep.join([folder, *filter(None, [os.environ.get("PYTHONPATH")])])
        side = versions.Side(sys.executable, {**os.environ, "PYTHONPATH": path}, "", "")
        with serving([model], "--workers", str(WORKERS), "--no-log-requests", by=side) as server:
            yield server


def capacity(model: Path, photos: Photos) -> float:
    """Answers a second of the endpoint."""
    pictures = [Path(path).read_bytes() for path in photos.paths[:100]]
    with slowed(model) as server:
        return asyncio.run(closed(server.url, pictures, "sla_ms=1000"))


def main() -> None:
    """Print the table and the difference."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--models", type=Path, default=Path())
    parser.add_argument("--photos", type=Path, default=Path())
    parser.add_argument("--rounds", type=int, default=6, help="of each way (6)")
    parser.add_argument("--seconds", type=float, default=12.0, help="a round (12)")
    parser.add_argument("--clients", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.clients:
        be_clients()
        return
    if arguments.rounds < versions.FEWEST_ROUNDS:
        parser.error(f"give --rounds {versions.FEWEST_ROUNDS} or more: fewer show nothing")
    print(f"{host.current().cpu_model()}, {host.system.cores()} cores")
    by_size = sorted(arguments.models.glob("*.tflite"), key=lambda path: path.stat().st_size)
    with tempfile.TemporaryDirectory() as folder, console.quiet_runtime():
        compare((by_size[0], by_size[-1]), Photos.of(arguments.photos, by_size[0], Path(folder)), arguments)


def compare(models: tuple[Path, Path], photos: Photos, arguments: argparse.Namespace) -> None:
    """Both ways in turn."""
    can = capacity(models[1], photos)
    print(f"{models[1].stem} answers {can:.0f}/s; {CLIENTS} clients ask {OVER * can:.0f} times a second")
    rows, good = [], {way: list[float]() for way in WAYS}
    for number in range(arguments.rounds):
        requests = arrivals(photos, OVER * can, arguments.seconds, models[0], seed=number)
        for way in WAYS if number % 2 == 0 else WAYS[::-1]:
            rows.append({"round": number, **round_(way, models, photos, requests)})
            good[way].append(rows[-1]["right and on time"])
    print("\n" + console.table(rows, ".3f"))
    share, low, high = versions.difference(*good.values())
    verdict = "better" if low > 0 else "worse" if high < 0 else "no difference shown"
    print(f"\nright and on time, kept - ignored: {share:+.3f}, 95 %: {low:+.3f} to {high:+.3f}: {verdict}")


if __name__ == "__main__":
    main()
