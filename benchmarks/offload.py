"""The client's modes side by side: the same pictures, at the same times, over the same network.

    python benchmarks/offload.py modes MODELS PHOTOS TRACE...

MODELS: a folder of .tflite files of one label list that are in the zoo; the endpoint serves all of them, and the
fastest is the device's too, on an emulated phone. PHOTOS: a folder for `ondevice evaluate`. TRACE: as `ondevice link`
takes it. All modes of a cell run at the same time, each with a link of its own, whose trace begins with its first
request. The measure is effective accuracy: the share of pictures whose answer is right and on time.
"""

from __future__ import annotations

import argparse
import multiprocessing
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from ondevice import Runner, host
from ondevice.cli import console
from ondevice.client.offload import OffloadClient, Options
from ondevice.client.plan import Mode
from ondevice.errors import OffloadError
from ondevice.lab import networks
from ondevice.lab.channel import Way
from ondevice.lab.link import Links, LinkSpec
from ondevice.sources import labelled

DEVICE = "pieslicer-phone"
DEADLINES_MS = (150, 250, 500)
ROUND_TRIP_MS = 40.0
# Pictures a cell, and how far apart they are asked.
COUNT, EVERY_S = 100, 0.3
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


def modes(models: Sequence[Path], photos: Path, traces: Sequence[str]) -> Iterator[Row]:
    """Each trace, deadline and mode: attainment, effective accuracy, where, bytes."""
    fastest = min(models, key=lambda path: path.stat().st_size)
    found = labelled(photos, Runner(fastest).labels)
    step = max(1, len(found.paths) // COUNT)
    paths, truth = found.paths[::step][:COUNT], found.truth[::step][:COUNT]
    with serving(models) as port:
        for trace in traces:
            for sla_ms in DEADLINES_MS:
                cells = [Cell(mode, trace, sla_ms, port, fastest, paths, truth) for mode in Mode]
                with multiprocessing.get_context("spawn").Pool(len(cells)) as pool:
                    for cell, seen in zip(cells, pool.map(run, cells, chunksize=1), strict=True):
                        yield row(cell, seen)


def run(cell: Cell) -> Seen:
    """One mode over the pictures."""
    seen = Seen([], [], [], [], 0, 0.0)
    up, down = networks.find(cell.trace)
    with Links() as links, console.quiet_runtime():
        runner = Runner(cell.model, device=DEVICE)
        time.sleep(5)  # until all have measured the device
        spec = LinkSpec(("127.0.0.1", cell.port), Way(up, ROUND_TRIP_MS / 2), Way(down, ROUND_TRIP_MS / 2))
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
    for first in range(0, len(rows), len(Mode)):
        by_mode = {row["mode"]: row["effective top1"] for row in rows[first : first + len(Mode)]}
        better = max(by_mode["device"], by_mode["cloud"])
        yield {
            **{key: rows[first][key] for key in ("trace", "deadline_ms")},
            "better of both": better,
            "hedge": by_mode["hedge"] - better,
            "auto": by_mode["auto"] - better,
        }


@contextmanager
def serving(models: Sequence[Path]) -> Iterator[int]:
    """`ondevice serve` of these models; gives its port."""
    command = [sys.executable, "-m", "ondevice", "serve", "--port", "0", "--no-log-requests"]
    command += ["--models", ",".join(map(str, models))]
    with tempfile.TemporaryFile() as log:
        server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True)
        assert server.stdout
        try:
            yield int(server.stdout.readline().rpartition(":")[2])
        finally:
            server.terminate()
            server.wait()


def main() -> None:
    """Print the table of the modes."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("part", choices=["modes"])
    parser.add_argument("models", type=Path)
    parser.add_argument("photos", type=Path)
    parser.add_argument("traces", nargs="+")
    arguments = parser.parse_args()
    print(f"{host.current().cpu_model()}, {host.current().cores()} cores; {DEVICE}; round trip {ROUND_TRIP_MS:g} ms\n")
    rows = []
    for line in modes(sorted(arguments.models.glob("*.tflite")), arguments.photos, arguments.traces):
        print("  ".join(f"{v:.3f}" if isinstance(v, float) else str(v) for v in line.values()), file=sys.stderr)
        rows.append(line)
    print(console.table(rows) + "\n")
    print(console.table(list(compared(rows))))


if __name__ == "__main__":
    main()
