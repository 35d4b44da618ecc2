"""The client's modes side by side: the same pictures, at the same times, over the same network.

    python benchmarks/offload.py modes --models MODELS --photos PHOTOS --trace TRACE [--trace …] [--mode MODE …]
    python benchmarks/offload.py confident --models MODELS --photos PHOTOS
    python benchmarks/offload.py cascade --models MODELS --photos PHOTOS
    python benchmarks/offload.py cost

`cost`: what the client itself takes, over a bare `requests` POST of the same bytes to the same endpoint, in turn; and
its memory over 10,000 requests. `confident`: what ending requests with a confident answer of the device saves, and
costs in accuracy. `cascade`: what asking the cloud only of unsure pictures saves and costs, beside `hedge`, with each
other model on the emulated phone; all ways take turns picture by picture. `modes`: the modes, without --mode all but
that one, over each trace and deadline.

MODELS: a folder of .tflite files of one label list that are in the zoo; the endpoint serves all of them, and the
fastest is the device's too, on an emulated phone. PHOTOS: a folder for `ondevice evaluate`. TRACE: as `ondevice link`
takes it. All modes of a cell run at the same time, each with a link of its own, whose trace begins with its first
request. The measure is effective accuracy: the share of pictures whose answer is right and on time.
"""

from __future__ import annotations

import argparse
import contextlib
import math
import multiprocessing
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import requests

from ondevice import Runner, host
from ondevice.cli import console
from ondevice.client.offload import OffloadClient, Options
from ondevice.client.planning.plan import Mode
from ondevice.dataset.labelled import Labelled, labelled
from ondevice.errors import OffloadError
from ondevice.lab.link import Direction, Links, LinkSpec, networks
from ondevice.models import zoo

DEVICE = "pieslicer-phone"
DEADLINES_MS = (150, 250, 500)
ROUND_TRIP_MS = 40.0
# What waits for a link that is full; a phone's modem holds about so much.
BUFFER_BYTES = 64 << 10
# Those of `modes`, and the scores from which `cascade` takes the device's answer.
MODES = (Mode.DEVICE, Mode.CLOUD, Mode.HEDGE, Mode.AUTO)
SCORES = (0.5, 0.7, 0.9)
# Pictures a cell, and how far apart they are asked.
COUNT, EVERY_S = 100, 0.3
BUNDLED = [entry.path for entry in zoo.entries() if entry.origin == "bundled" and entry.card.precision == "int8"]
Row = dict[str, Any]


class Cell(NamedTuple):
    """What one mode has to do."""

    mode: str
    trace: str
    sla_ms: float
    port: int
    model: Path
    paths: Sequence[str]
    truth: Sequence[int]


class Seen(NamedTuple):
    """What came of it: for each picture whether it was right, on time, from the cloud, and how long it took."""

    right: list[bool]
    on_time: list[bool]
    cloud: list[bool]
    total_ms: list[float]
    sent_bytes: int
    device_ms: float


def modes(models: Sequence[Path], photos: Path, traces: Sequence[str], chosen: Sequence[Mode]) -> Iterator[Row]:
    """Each trace, deadline and mode: attainment, effective accuracy, where, bytes."""
    fastest = min(models, key=lambda path: path.stat().st_size)
    found = labelled(photos, Runner(fastest).labels)
    step = max(1, len(found.paths) // COUNT)
    paths, truth = found.paths[::step][:COUNT], found.truth[::step][:COUNT]
    with serving(models) as port:
        for trace in traces:
            for sla_ms in DEADLINES_MS:
                cells = [Cell(mode, trace, sla_ms, port, fastest, paths, truth) for mode in chosen]
                with multiprocessing.get_context("spawn").Pool(len(cells)) as pool:
                    for cell, seen in zip(cells, pool.map(run, cells, chunksize=1), strict=True):
                        yield row(cell, seen)


def confident(models: Sequence[Path], photos: Path) -> Iterator[Row]:
    """All photos, with time enough: how often the device's score ends the request, and what is right."""
    fastest = min(models, key=lambda path: path.stat().st_size)
    found = labelled(photos, Runner(fastest).labels)
    with serving(models) as port, console.quiet_runtime():
        for score in (0.5, 0.7, 0.8, 0.9, 0.95, math.inf):
            options = Options(confident=score)
            with OffloadClient(f"http://127.0.0.1:{port}", fastest, 2000, Mode.HEDGE, options) as client:
                assert client.cloud
                client.cloud.ready(5)
                answers = [client.classify(path) for path in found.paths]
            right = sum(a.index == truth for a, truth in zip(answers, found.truth, strict=True))
            yield {
                "score": score,
                "top1": right / len(answers),
                "device": client.totals.device / len(answers),
                "p50_ms": statistics.median(answer.total_ms for answer in answers),
            }


def cascade(models: Sequence[Path], photos: Path) -> Iterator[Row]:
    """All photos, with time enough: each model but the largest on the device, hedged, and in cascade by each score."""
    by_size = sorted(models, key=lambda path: path.stat().st_size)
    found = labelled(photos, Runner(by_size[0]).labels)
    with serving(models) as port, console.quiet_runtime():
        for model in by_size[:-1]:
            yield from cascades(model, f"http://127.0.0.1:{port}", found)


def cascades(model: Path, url: str, found: Labelled) -> Iterator[Row]:
    """One model on the device."""
    ways: list[tuple[Mode, float | None]] = [(Mode.HEDGE, None), *((Mode.CASCADE, score) for score in SCORES)]
    runner = Runner(model, device=DEVICE)
    with contextlib.ExitStack() as stack:
        clients = [
            stack.enter_context(OffloadClient(url, runner, 2000, mode, Options(confident=score)))
            for mode, score in ways
        ]
        assert all(client.cloud and client.cloud.ready(5) for client in clients)
        answers = [[client.classify(path) for client in clients] for path in found.paths]
        for number, ((mode, score), client) in enumerate(zip(ways, clients, strict=True)):
            mine = [each[number] for each in answers]
            right = sum(a.index == truth for a, truth in zip(mine, found.truth, strict=True))
            yield {
                "device": model.stem,
                "mode": mode,
                "score": score,
                "top1": right / len(mine),
                "sent": sum(answer.sent_bytes > 0 for answer in mine) / len(mine),
                "kB each": client.totals.sent_bytes / len(mine) / 1e3,
                "p50_ms": statistics.median(answer.total_ms for answer in mine),
                "p95_ms": statistics.quantiles((answer.total_ms for answer in mine), n=20)[-1],
            }


def run(cell: Cell) -> Seen:
    """One mode over the pictures."""
    seen = Seen([], [], [], [], 0, 0.0)
    with Links() as links, console.quiet_runtime():
        runner = Runner(cell.model, device=DEVICE)
        time.sleep(5)  # until all have measured the device
        both = (Direction(trace, ROUND_TRIP_MS / 2, buffer_bytes=BUFFER_BYTES) for trace in networks.find(cell.trace))
        spec = LinkSpec(("127.0.0.1", cell.port), *both)
        url = f"http://127.0.0.1:{links.open(spec).port}"
        with OffloadClient(url, runner, cell.sla_ms, cell.mode, Options(patience_ms=0)) as client:
            begin = time.monotonic()
            for number, (path, truth) in enumerate(zip(cell.paths, cell.truth, strict=True)):
                time.sleep(max(begin + number * EVERY_S - time.monotonic(), 0))
                ask(client, path, truth, seen)
            busy_ms = client.device.busy_ms if client.device else 0.0
            return seen._replace(sent_bytes=client.totals.sent_bytes, device_ms=busy_ms)


def ask(client: OffloadClient, path: str, truth: int, seen: Seen) -> None:
    """One picture."""
    try:
        answer = client.classify(path)
    except OffloadError:
        outcome = False, False, True, client.sla_ms
    else:
        outcome = answer.index == truth, bool(answer.on_time), answer.where == "cloud", answer.total_ms
    for values, value in zip((seen.right, seen.on_time, seen.cloud, seen.total_ms), outcome, strict=True):
        values.append(value)  # type: ignore[arg-type]


def row(cell: Cell, seen: Seen) -> Row:
    """A line of the table."""
    count = len(seen.right)
    return {
        "trace": Path(cell.trace).name,
        "deadline_ms": cell.sla_ms,
        "mode": cell.mode,
        "attainment": sum(seen.on_time) / count,
        "effective top1": sum(r and t for r, t in zip(seen.right, seen.on_time, strict=True)) / count,
        "cloud": sum(seen.cloud) / count,
        "p50_ms": statistics.median(seen.total_ms),
        "max_ms": max(seen.total_ms),
        "kB each": round(seen.sent_bytes / count / 1e3),
        "device busy": seen.device_ms / (count * EVERY_S * 1e3),
    }


def compared(rows: Sequence[Row]) -> Iterator[Row]:
    """For each cell, by how much `hedge` and `auto` are above the better of the device and the cloud alone."""
    for first in range(0, len(rows), len(MODES)):
        by_mode = {row["mode"]: row["effective top1"] for row in rows[first : first + len(MODES)]}
        better = max(by_mode["device"], by_mode["cloud"])
        yield {
            **{key: rows[first][key] for key in ("trace", "deadline_ms")},
            "better of both": better,
            "hedge": by_mode["hedge"] - better,
            "auto": by_mode["auto"] - better,
        }


def cost() -> Iterator[Row]:
    """The bundled models at the endpoint, no link; a file of a picture, so that both send the same."""
    paths = sorted(zoo.samples_dir().glob("*/*.png"))
    pictures = [path.read_bytes() for path in paths]
    with serving(BUNDLED[:2]) as port, console.quiet_runtime():
        url = f"http://127.0.0.1:{port}"
        clients = {m: OffloadClient(url, "digits_xs_int8", 1000, m) for m in (Mode.CLOUD, Mode.HEDGE, Mode.AUTO)}
        session = requests.Session()
        took: dict[str, list[float]] = {"requests": [], **{mode: [] for mode in clients}}
        for picture in pictures * 4:
            took["requests"].append(timed(lambda p: post(session, url, p), picture))
            for mode, client in clients.items():
                took[mode].append(timed(client.classify, picture))
        bare = statistics.median(took["requests"])
        for name, times in took.items():
            yield {"client": name, "p50_ms": statistics.median(times), "over_ms": statistics.median(times) - bare}
        yield from memory(clients[Mode.AUTO], pictures)
        for client in clients.values():
            client.close()


def memory(client: OffloadClient, pictures: Sequence[bytes]) -> Iterator[Row]:
    """The process's resident memory before and after each 2,000 requests."""
    here = host.current()
    for count in range(0, 10_001, 2000):
        for number in range(2000 if count else 0):
            client.classify(pictures[number % len(pictures)])
        megabytes = (here.memory.resident_bytes() or 0) / 1e6
        yield {"client": f"memory after {count}: {megabytes:.1f} MB", "p50_ms": None, "over_ms": None}


def post(session: requests.Session, url: str, picture: bytes) -> None:
    """What the client's request is, by hand."""
    query = {"sla_ms": "1000", "return_ms": "1", "top": "5"}
    reply = session.post(
        f"{url}/v2/models/cnnselect/infer", picture, headers={"Content-Type": "image/png"}, params=query
    )
    assert reply.json()["outputs"]


def timed(ask: Callable[[bytes], object], picture: bytes) -> float:
    """ms."""
    start = time.perf_counter()
    ask(picture)
    return (time.perf_counter() - start) * 1e3


@contextmanager
def serving(models: Sequence[Path]) -> Iterator[int]:
    """An endpoint; gives its port."""
    server, port = started(models)
    try:
        yield port
    finally:
        server.terminate()
        server.wait()


def started(models: Sequence[Path]) -> tuple[subprocess.Popen[str], int]:
    """`ondevice serve` of these models, and its port."""
    command = [sys.executable, "-m", "ondevice", "serve", "--port", "0", "--no-log-requests"]
    command += ["--models", ",".join(map(str, models))]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert server.stdout
    return server, int(server.stdout.readline().rpartition(":")[2])


def main() -> None:
    """Print the table of the modes."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("part", choices=["modes", "confident", "cascade", "cost"])
    parser.add_argument("--models", type=Path, default=Path())
    parser.add_argument("--photos", type=Path, default=Path())
    parser.add_argument("--trace", action="append", default=[])
    parser.add_argument("--mode", action="append", type=Mode)
    arguments = parser.parse_args()
    print(f"{host.current().cpu_model()}, {host.system.cores()} cores")
    models = sorted(arguments.models.glob("*.tflite"))
    parts = {
        "confident": lambda: confident(models, arguments.photos),
        "cascade": lambda: cascade(models, arguments.photos),
        "cost": cost,
    }
    if arguments.part in parts:
        print(console.table(list(parts[arguments.part]()), ".2f"))
        return
    print(f"{DEVICE}; round trip {ROUND_TRIP_MS:g} ms\n")
    rows = []
    for line in modes(models, arguments.photos, arguments.trace, arguments.mode or MODES):
        print("  ".join(f"{v:.3f}" if isinstance(v, float) else str(v) for v in line.values()), file=sys.stderr)
        rows.append(line)
    print(console.table(rows))
    if not arguments.mode:
        print("\n" + console.table(list(compared(rows))))


if __name__ == "__main__":
    main()
