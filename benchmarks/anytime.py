"""Anytime replies through real processes: clients that take one answer beside clients that take two.

    python benchmarks/anytime.py MODELS PHOTOS TRACE [TRACE …] [--deadline MS …]

MODELS: a folder of .tflite files of one label list that are in the zoo; the endpoints serve all of them, and the
fastest is the device's too, on an emulated phone. PHOTOS: a folder for `ondevice evaluate`. TRACE: as `ondevice link`
takes it.

Modes `cloud` and `hedge`, each with one answer and with two, ask the same pictures, each through a link and of an
endpoint of its own. They take turns, a quarter of the interval apart, and so far apart begin their links' traces: each
picture meets the same moment of the trace. effective: answers that are right and on time. several: requests with two
answers. cpu_ms: the processor time of the endpoint and its workers a request, whether its answers were in time or not.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import time
from collections.abc import Iterator, Sequence
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any, NamedTuple

from offload import BUFFER_BYTES, COUNT, DEVICE, ROUND_TRIP_MS, started

from ondevice import Runner, host
from ondevice.cli import console
from ondevice.client.flight import Event
from ondevice.client.offload import OffloadClient, Options
from ondevice.client.planning.plan import Mode
from ondevice.dataset.labelled import labelled
from ondevice.errors import OffloadError
from ondevice.lab.link import Direction, Links, LinkSpec, networks

ARMS = tuple((mode, answers) for mode in (Mode.CLOUD, Mode.HEDGE) for answers in (1, 2))
EVERY_S = 0.6
Row = dict[str, Any]


class Cell(NamedTuple):
    """What one client has to do."""

    arm: int
    models: Sequence[Path]
    paths: Sequence[str]
    truth: Sequence[int]
    trace: str
    sla_ms: float

    @property
    def mode(self) -> Mode:
        """Of the client."""
        return ARMS[self.arm][0]

    @property
    def answers(self) -> int:
        """How many it takes."""
        return ARMS[self.arm][1]


def cpu_s(pid: int) -> float:
    """The processor time of a process and of those that it has started."""
    ticks = 0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:  # it has just ended
            continue
        if int(stat.parent.name) == pid or int(fields[1]) == pid:
            ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def run(cell: Cell, ready: Barrier, results: Any) -> None:
    """One client over the pictures, with an endpoint of its own."""
    server, port = started(cell.models)
    try:
        results.put((cell.arm, asked(cell, server.pid, port, ready)))
    finally:
        server.terminate()
        server.wait()


def asked(cell: Cell, pid: int, port: int, ready: Barrier) -> Row:
    """A line of the table."""
    fastest = min(cell.models, key=lambda path: path.stat().st_size)
    events: list[Event] = []
    options = Options(patience_ms=0, anytime=cell.answers, observe=events.append)
    with Links() as links, console.quiet_runtime():
        local = [Runner(fastest, device=DEVICE)] if cell.mode is Mode.HEDGE else []
        ready.wait()
        time.sleep(cell.arm * EVERY_S / len(ARMS))
        both = (Direction(each, ROUND_TRIP_MS / 2, buffer_bytes=BUFFER_BYTES) for each in networks.find(cell.trace))
        link = links.open(LinkSpec(("127.0.0.1", port), *both))
        with OffloadClient(f"http://127.0.0.1:{link.port}", local, cell.sla_ms, cell.mode, options) as client:
            client.ready(5)
            time.sleep(max(link.opened_s + 6 - time.monotonic(), 0))
            before_s, begin = cpu_s(pid), time.monotonic()
            outcomes = []
            for number, (path, truth) in enumerate(zip(cell.paths, cell.truth, strict=True)):
                time.sleep(max(begin + number * EVERY_S - time.monotonic(), 0))
                outcomes.append(ask(client, path, truth))
            spent_s = cpu_s(pid) - before_s
    answers = [event.request for event in events if event.what == "cloud answer"]
    return {
        "trace": Path(cell.trace).name,
        "deadline_ms": cell.sla_ms,
        "mode": cell.mode,
        "answers": cell.answers,
        "attainment": sum(on_time for on_time, _ in outcomes) / len(outcomes),
        "effective top1": sum(on_time and right for on_time, right in outcomes) / len(outcomes),
        "several": sum(answers.count(number) > 1 for number in set(answers)) / len(outcomes),
        "cpu_ms": 1e3 * spent_s / len(outcomes),
    }


def ask(client: OffloadClient, path: str, truth: int) -> tuple[bool, bool]:
    """Whether there was an answer on time, and whether it was right."""
    try:
        answer = client.classify(path)
    except OffloadError:
        return False, False
    return bool(answer.on_time), answer.index == truth


def rows(models: Sequence[Path], photos: Path, traces: Sequence[str], deadlines: Sequence[float]) -> Iterator[Row]:
    """The table."""
    found = labelled(photos, Runner(models[0]).labels)
    step = max(1, len(found.paths) // COUNT)
    pictures = found.paths[::step][:COUNT], found.truth[::step][:COUNT]
    spawn = multiprocessing.get_context("spawn")
    for trace in traces:
        for sla_ms in deadlines:
            ready, results = spawn.Barrier(len(ARMS)), spawn.SimpleQueue()
            cells = [Cell(arm, models, *pictures, trace, sla_ms) for arm in range(len(ARMS))]
            clients = [spawn.Process(target=run, args=(cell, ready, results)) for cell in cells]
            for client in clients:
                client.start()
            yield from (row for _, row in sorted(results.get() for _ in clients))
            for client in clients:
                client.join()


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("models", type=Path)
    parser.add_argument("photos", type=Path)
    parser.add_argument("trace", nargs="+")
    parser.add_argument("--deadline", type=float, action="append")
    arguments = parser.parse_args()
    print(f"{host.current().cpu_model()}, {host.system.cores()} cores; round trip {ROUND_TRIP_MS:g} ms\n")
    models = sorted(arguments.models.glob("*.tflite"))
    deadlines = arguments.deadline or [100.0, 150.0]
    print(console.table(list(rows(models, arguments.photos, arguments.trace, deadlines))))


if __name__ == "__main__":
    main()
