"""The client's modes side by side: the same pictures, at the same times, over the same network.

    python benchmarks/offload.py modes --models MODELS --photos PHOTOS --trace TRACE [--trace …] [--mode MODE …]
                                       [--upload UPLOAD …] [--count N] [--against PYTHON]
    python benchmarks/offload.py confident --models MODELS --photos PHOTOS
    python benchmarks/offload.py cascade --models MODELS --photos PHOTOS
    python benchmarks/offload.py cost [--rounds N] [--against PYTHON]

`cost`: what the client itself takes, over a bare `requests` POST of the same bytes to the same endpoint, in turn; and
its memory over 10,000 requests. `confident`: what ending requests with a confident answer of the device saves, and
costs in accuracy. `cascade`: what asking the cloud only of unsure pictures saves and costs, beside `hedge`, with each
other model on the emulated phone; all ways take turns picture by picture. `modes`: the modes, without --mode all but
that one, over each trace and deadline.

MODELS: a folder of .tflite files of one label list that are in the zoo; the endpoint serves all of them, and the
fastest is the device's too, with the times of an emulated phone, the same for a picture in every mode. PHOTOS: a folder
for `ondevice evaluate`. TRACE: as `ondevice link` takes it. All modes of a cell run at the same time, one shortly after
the other, each with a link of its own, whose trace begins as long before its first request. The measure is effective
accuracy: the share of pictures whose answer is right and on time.

With `--against PYTHON`, that of another environment, clients of both versions do the same (`modes`: without --mode
`hedge` and `auto`), with one endpoint and links of this version. The differences have 95 % intervals: `modes` of shares
paired by picture, `cost` of the medians of rounds of new processes (see `versions.py`). With two `--upload`s it is
these that are compared, the first with the second, as `ondevice offload --upload` takes them; and with what knowing all
times in advance would make of the same requests (see `bound.py`).
"""

from __future__ import annotations

import argparse
import math
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import bound
import cost
import numpy as np
import versions
from clients import ClientProcess
from sendable import Photos

from ondevice import Runner, host
from ondevice.cli import console
from ondevice.client.offload import OffloadClient, Options
from ondevice.client.planning.plan import Mode
from ondevice.dataset.labelled import Labelled, labelled
from ondevice.devices import card, network
from ondevice.devices.prediction import predict
from ondevice.devices.timemodel import drawer
from ondevice.lab.link import Direction, Link, Links, LinkSpec, networks
from ondevice.models import zoo

DEVICE = "pieslicer-phone"
DEADLINES_MS = (150, 250, 500)
ROUND_TRIP_MS = 40.0
# What waits for a link that is full; a phone's modem holds about so much.
BUFFER_BYTES = 64 << 10
# Those of `modes`, alone and beside another version, and the scores from which `cascade` takes the device's answer.
MODES, COMPARED = (Mode.DEVICE, Mode.CLOUD, Mode.HEDGE, Mode.AUTO), (Mode.HEDGE, Mode.AUTO)
SCORES = (0.5, 0.7, 0.9)
# Pictures a cell, how far apart they are asked, and by how much more than the deadline at least: each request begins at
# its time, whatever became of the one before it, so that both versions' meet the same moment of the trace.
COUNT, EVERY_S, APART_S = 100, 0.3, 0.05
# From all clients being there to the first one's first request; their links' traces begin at half of it.
SETTLE_S = 1.0
BUNDLED = [entry.path for entry in zoo.entries() if entry.origin == "bundled" and entry.card.precision == "int8"]
Row = dict[str, Any]


class Data(NamedTuple):
    """What all cells have: the device's model, pictures with their classes, and the phone's time for each, ms."""

    model: Path
    paths: Sequence[str]
    truth: Sequence[int]
    phone_ms: Sequence[float]

    @classmethod
    def of(cls, models: Sequence[Path], photos: Path, count: int = COUNT) -> Data:
        """So many of the pictures, evenly; the phone's times as its emulation draws them."""
        fastest = min(models, key=lambda path: path.stat().st_size)
        runner = Runner(fastest)
        found = labelled(photos, runner.labels)
        step = max(1, len(found.paths) // count)
        times = predict(card.find(DEVICE), network.of_file(fastest), runner.precision).times
        draw = drawer(times, np.random.default_rng(0))
        return cls(fastest, found.paths[::step][:count], found.truth[::step][:count], [draw() for _ in range(count)])


class Variant(NamedTuple):
    """What is compared: a version, and what it sends; None: what that version does."""

    side: versions.Side | None
    upload: str | None


class Cell(NamedTuple):
    """A client of a cell: its trace, deadline and mode, and the variant with its name."""

    trace: str
    sla_ms: float
    mode: Mode
    name: str
    variant: Variant


class Seen(NamedTuple):
    """What came of it: for each picture whether it was right, on time, from the cloud, and how long it took."""

    right: list[bool]
    on_time: list[bool]
    cloud: list[bool]
    total_ms: list[float]
    sent_bytes: int
    device_ms: float

    @property
    def effective(self) -> list[bool]:
        """Whether each was right and on time."""
        return [a and b for a, b in zip(self.right, self.on_time, strict=True)]


# Those of one trace and deadline.
Cells = Sequence[tuple[Cell, Seen]]


def modes(
    models: Sequence[Path], data: Data, traces: Sequence[str], chosen: Sequence[Mode], variants: dict[str, Variant]
) -> Iterator[Cells]:
    """Each trace and deadline: what every mode, of every variant, came to."""
    with serving(models) as port, Links() as links:
        for trace in traces:
            for number, sla_ms in enumerate(DEADLINES_MS):
                cells = [Cell(trace, sla_ms, mode, *variant) for mode in chosen for variant in variants.items()]
                # Who comes after whom changes from cell to cell.
                turned = cells[number:] + cells[:number]
                found = together(turned, data, links, port)
                yield list(zip(cells, found[-number:] + found[:-number], strict=True))


def together(cells: Sequence[Cell], data: Data, links: Links, port: int) -> list[Seen]:
    """All of one trace and deadline at the same time."""
    every_s = max(EVERY_S, cells[0].sla_ms / 1e3 + APART_S)
    with ExitStack() as stack:
        own = [stack.enter_context(closing(links.open(LinkSpec(("127.0.0.1", port), *over(c.trace))))) for c in cells]
        clients = [stack.enter_context(process(*each, data)) for each in zip(cells, own, strict=True)]
        for client in clients:
            client.ask("totals")  # which it answers when it has measured the device
        begun, lag_s = time.monotonic(), every_s / len(cells)
        pictures = list(zip(data.paths, data.phone_ms, strict=True))
        for number, client in enumerate(clients):
            client.send("stream", begin=begun + SETTLE_S + number * lag_s, every_s=every_s, pictures=pictures)
        for number, (cell, link) in enumerate(zip(cells, own, strict=True)):
            time.sleep(max(begun + SETTLE_S / 2 + number * lag_s - time.monotonic(), 0.0))
            link.change(**dict(zip(("up", "down"), over(cell.trace), strict=True)))
        return [seen(client.receive(), client.ask("totals"), data.truth) for client in clients]


def process(cell: Cell, link: Link, data: Data) -> ClientProcess:
    """A client's process behind its link."""
    url = f"http://127.0.0.1:{link.port}"
    side, upload = cell.variant
    return ClientProcess(side, url, data.model, cell.sla_ms, [cell.mode], 0, data.phone_ms[:4], upload)


def over(trace: str) -> Iterator[Direction]:
    """Up and down of a trace, from its beginning."""
    return (Direction(way, ROUND_TRIP_MS / 2, buffer_bytes=BUFFER_BYTES) for way in networks.find(trace))


def seen(answers: Sequence[Row], totals: Row, truth: Sequence[int]) -> Seen:
    """Of what a client's process says."""
    return Seen(
        [answer["index"] == true for answer, true in zip(answers, truth, strict=True)],
        [bool(answer["on_time"]) for answer in answers],
        [answer["where"] == "cloud" for answer in answers],
        [answer["total_ms"] for answer in answers],
        totals["sent_bytes"],
        totals["busy_ms"],
    )


def confident(models: Sequence[Path], photos: Path) -> Iterator[Row]:
    """All photos, with time enough: how often the device's score ends the request, and what is right."""
    fastest = min(models, key=lambda path: path.stat().st_size)
    found = labelled(photos, Runner(fastest).labels)
    with serving(models) as port, console.quiet_runtime():
        for score in (0.5, 0.7, 0.8, 0.9, 0.95, math.inf):
            options = Options(confident=score)
            with OffloadClient(f"http://127.0.0.1:{port}", fastest, 2000, Mode.HEDGE, options) as client:
                client.ready(5)
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
    with ExitStack() as stack:
        clients = [
            stack.enter_context(OffloadClient(url, runner, 2000, mode, Options(confident=score)))
            for mode, score in ways
        ]
        assert all(client.ready(5) for client in clients)
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


def row(cell: Cell, seen: Seen) -> Row:
    """A line of the table."""
    count = len(seen.right)
    every_s = max(EVERY_S, cell.sla_ms / 1e3 + APART_S)
    return {
        "trace": Path(cell.trace).name,
        "deadline_ms": cell.sla_ms,
        "mode": cell.mode,
        "variant": cell.name,
        "attainment": sum(seen.on_time) / count,
        "effective top1": sum(seen.effective) / count,
        "cloud": sum(seen.cloud) / count,
        "p50_ms": statistics.median(seen.total_ms),
        "max_ms": max(seen.total_ms),
        "kB each": round(seen.sent_bytes / count / 1e3),
        "device busy": seen.device_ms / (count * every_s * 1e3),
    }


def above(cells: Cells) -> Row:
    """By how much `hedge` and `auto` of a cell are above the better of the device and the cloud alone."""
    first, by_mode = cells[0][0], {cell.mode: float(np.mean(seen.effective)) for cell, seen in cells}
    better = max(by_mode[Mode.DEVICE], by_mode[Mode.CLOUD])
    return {
        "trace": Path(first.trace).name,
        "deadline_ms": first.sla_ms,
        "better of both": better,
        "hedge": by_mode[Mode.HEDGE] - better,
        "auto": by_mode[Mode.AUTO] - better,
    }


def differences(found: Sequence[Cells]) -> Iterator[Row]:
    """For each cell and mode, and for each mode as a whole: how many more are right and on time in the first."""
    whole: dict[Mode, tuple[list[bool], list[bool]]] = {}
    for cells in found:
        by_mode: dict[Mode, list[list[bool]]] = {}
        for cell, seen in cells:
            by_mode.setdefault(cell.mode, []).append(seen.effective)  # new, old
        for mode, (new, old) in by_mode.items():
            yield differing(Path(cell.trace).name, cell.sla_ms, mode, new, old)
            for all_, some in zip(whole.setdefault(mode, ([], [])), (new, old), strict=True):
                all_ += some
    for mode, (new, old) in whole.items():
        yield differing("all", None, mode, new, old)


def closed(models: Sequence[Path], data: Data, found: Sequence[Cells]) -> Iterator[Row]:
    """Of what hindsight would gain over the second upload, how much the first does: each cell and mode, and all."""
    with serving(models) as port, console.quiet_runtime():
        limit = bound.Bound(models, Photos(data.paths, data.truth), bound.Phone(data.model, data.phone_ms), port)
        whole: list[tuple[list[bool], list[bool], list[bool]]] = []
        for cells in found:
            trace, sla_ms = cells[0][0].trace, cells[0][0].sla_ms
            at_ms = 1e3 * (SETTLE_S / 2 + np.arange(len(data.paths)) * max(EVERY_S, sla_ms / 1e3 + APART_S))
            best = limit.effective(trace, sla_ms, at_ms, ROUND_TRIP_MS)
            for mode in dict.fromkeys(cell.mode for cell, _ in cells):
                first, second = (seen.effective for cell, seen in cells if cell.mode is mode)
                whole.append((first, second, best))
                yield closing_row(Path(trace).name, sla_ms, mode, whole[-1:])
        yield closing_row("all", None, "", whole)


def closing_row(trace: str, sla_ms: float | None, mode: str, whole: Sequence[Sequence[list[bool]]]) -> Row:
    """A line of that table, of one cell or several: of each the first's, the second's, and the bound."""
    first, second, best = zip(*whole, strict=True)
    shares = {"second": np.mean(second), "first": np.mean(first), "hindsight": np.mean(best)}
    return {"trace": trace, "deadline_ms": sla_ms, "mode": mode} | {
        **{name: float(share) for name, share in shares.items()},
        "closed": bound.Closed(first, second, best).share(),
    }


def differing(trace: str, sla_ms: float | None, mode: Mode, new: Sequence[bool], old: Sequence[bool]) -> Row:
    """A line of the table of differences."""
    share, low, high = versions.share_difference(new, old)
    return {
        "trace": trace, "deadline_ms": sla_ms, "mode": mode,
        "first": sum(new) / len(new), "second": sum(old) / len(old),
        "difference": f"{share:+.3f}", "95 %": f"{low:+.3f} to {high:+.3f}",
        "verdict": "better" if low > 0 else "worse" if high < 0 else "no difference shown",
    }  # fmt: skip


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
    """Print the table of the part that is asked for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("part", choices=["modes", "confident", "cascade", "cost"])
    parser.add_argument("--models", type=Path, default=Path())
    parser.add_argument("--photos", type=Path, default=Path())
    parser.add_argument("--trace", action="append", default=[])
    parser.add_argument("--mode", action="append", type=Mode)
    parser.add_argument("--upload", action="append", default=[], help="of modes: what is sent, once or twice")
    parser.add_argument("--count", type=int, default=COUNT, help=f"of modes: pictures a cell ({COUNT})")
    parser.add_argument("--rounds", type=int, default=7, help="of cost (7)")
    parser.add_argument("--against", metavar="PYTHON", help="show this environment's version too")
    arguments = parser.parse_args()
    if len(arguments.upload) > (1 if arguments.against else 2):
        parser.error("--upload: two are compared, or one beside another version's client")
    if arguments.against and arguments.rounds < versions.FEWEST_ROUNDS:
        parser.error(f"--against: give --rounds {versions.FEWEST_ROUNDS} or more: fewer show nothing")
    print(f"{host.current().cpu_model()}, {host.system.cores()} cores")
    if arguments.against:
        print(versions.who(versions.sides(arguments.against)))
    models = sorted(arguments.models.glob("*.tflite"))
    if arguments.part == "modes":
        show_modes(models, arguments)
    elif arguments.part == "cost":
        show_cost(arguments)
    else:
        part = {"confident": confident, "cascade": cascade}[arguments.part]
        print(console.table(list(part(models, arguments.photos)), ".2f"))


def show_modes(models: Sequence[Path], arguments: argparse.Namespace) -> None:
    """Print each row as it is there, then the table, and what is above or differs."""
    print(f"{DEVICE}; round trip {ROUND_TRIP_MS:g} ms\n")
    data = Data.of(models, arguments.photos, arguments.count)
    variants = named_variants(arguments.upload, arguments.against)
    chosen, found = arguments.mode or (COMPARED if len(variants) > 1 else MODES), []
    for cells in modes(models, data, arguments.trace, chosen, variants):
        for cell, seen in cells:
            values = row(cell, seen).values()
            print("  ".join(f"{v:.3f}" if isinstance(v, float) else str(v) for v in values), file=sys.stderr)
        found.append(cells)
    print(console.table([row(cell, seen) for cells in found for cell, seen in cells]))
    if len(variants) > 1:
        print("\n" + console.table(list(differences(found))))
    if len(arguments.upload) > 1:
        print("\n" + console.table(list(closed(models, data, found))))
    elif not arguments.mode:
        print("\n" + console.table([above(cells) for cells in found]))


def named_variants(uploads: Sequence[str], against: str | None) -> dict[str, Variant]:
    """One, or the two that are compared."""
    if len(uploads) > 1:
        return {upload: Variant(None, upload) for upload in uploads}
    upload = uploads[0] if uploads else None
    sides = versions.named(against)
    return {name: Variant(side, upload if name == "new" else None) for name, side in sides.items()}


def show_cost(arguments: argparse.Namespace) -> None:
    """Print the table of times, and that of memory."""
    paths = [str(path) for path in sorted(zoo.samples_dir().glob("*/*.png"))]
    with serving(BUNDLED[:2]) as port:
        for table in (
            cost.cost(f"http://127.0.0.1:{port}", paths, arguments.rounds, arguments.against),
            cost.memory(f"http://127.0.0.1:{port}", paths, arguments.against),
        ):
            print("\n" + console.table(list(table)))


if __name__ == "__main__":
    main()
