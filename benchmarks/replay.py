"""The simulator against real processes: the same trace, pictures, models, deadlines and times of asking, once in each.

    python benchmarks/replay.py MODELS PHOTOS TRACE [--upload auto] [--count 200] [--deadline MS …] [--mode MODE …]
                                                    [--keep FILE]

MODELS: a folder of .tflite files of one label list that are in the zoo; an `ondevice serve` has all of them, and the
fastest is the device's too, on an emulated phone. PHOTOS: a folder for `ondevice evaluate`. TRACE: as `ondevice link`
takes it. Real: a client in mode `cloud` or `hedge` asks for the pictures, one each 300 ms, through a link whose trace
begins with it. Then the same twice simulated, by the code of `ondevice simulate --upload`, with the endpoint's ladder,
policy and models' times by the end, and the moments at which each request really began. What is sent, and which model
runs, is chosen anew in each, from what the simulated client learned:

stated: as anybody would type it: pictures of the ladder's sizes, as they vary, and of the files' mean size; no time of
client and server, and what scaling takes by default.
measured: each picture's bytes as each upload, of its head and of the reply; and the medians of what making an upload
takes, and the server beside inference and network.

attainment: answers on time. effective: answers that are right and on time; in the simulation a model is right where it
really is, for that picture as it was sent. kB: sent of a picture in the mean. off: requests' real time less what the
link makes of the very same ones, with what was really given up: 5th, 50th and 95th percentile, ms. Differences are in
points, simulated less real, each simulation being the mean of 20 seeds; `!` marks more than 3. --keep: what was real,
made where the file is not there, and then taken from it: the rest needs no quiet machine.
"""

from __future__ import annotations

import argparse
import pickle
import statistics
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from offload import DEADLINES_MS, ROUND_TRIP_MS, serving
from replayed import Real, Stage, real
from sendable import Photos, Sendable

from ondevice import Runner, host
from ondevice.cli import console
from ondevice.client.flight import _LAST_WORD_MS
from ondevice.client.planning.plan import Mode
from ondevice.dataset.labelled import labelled
from ondevice.lab.link import networks
from ondevice.lab.link.trace import Trace
from ondevice.lab.simulate.arrivals import Arrivals
from ondevice.lab.simulate.legs import Sizes, TracedNetwork
from ondevice.lab.simulate.modelset import ModelSet, as_drawn
from ondevice.lab.simulate.outcomes import LATE, ON_TIME
from ondevice.lab.simulate.shared_link import SharedLink
from ondevice.lab.simulate.simulation import Case, RandomStreams, SimulationSettings, ground_truths
from ondevice.lab.simulate.upload_table import FILE, PictureSettings, UploadConditions, UploadFacts, UploadTable
from ondevice.lab.simulate.uploading import UploadBatch, UploadingDevice
from ondevice.selection.problem import Models
from ondevice.timing.arrays import FloatArray

SEEDS = 20
POINTS = 3.0
MODES = Mode.CLOUD, Mode.HEDGE
Row = dict[str, Any]


def stated(run: Real, trace: str, sendable: Sendable, seed: int) -> UploadBatch:
    """As `ondevice simulate --upload` has it."""
    case, settings = conditions(run, trace, sendable.table)
    streams = RandomStreams.of(seed)
    return played(case, settings, streams, sendable.table.draw(len(run.asked), streams.pictures))


def measured(run: Real, trace: str, sendable: Sendable, seed: int) -> UploadBatch:
    """With all that can be measured."""
    case, settings = conditions(run, trace, timed(run, sendable.table))
    settings = replace(
        settings,
        sizes=Sizes(down_bytes=run.down_bytes),
        uploading=UploadConditions(server_ms=run.of_cloud(lambda one: one.other_ms), patience_ms=patience_ms(run)),
    )
    return played(case, settings, RandomStreams.of(seed), sendable.sizes_bytes)


def patience_ms(run: Real) -> float:
    """How long after its deadline a request was given up: where a device stands in, at once."""
    return 0.0 if run.device else _LAST_WORD_MS


def timed(run: Real, table: UploadTable) -> UploadTable:
    """The table with what making an upload really took, all of the client's own time in it; the file is only read."""
    making_ms = np.array([taken_ms(run, made=name != FILE) for name in table.names])
    return replace(table, making_ms=making_ms, head_bytes=round(statistics.median(one.head_bytes for one in run.asked)))


def taken_ms(run: Real, made: bool) -> float:
    """The client's own time, of those that were scaled or of those that were not."""
    own_ms = [one.client_ms for one in run.asked if one.cloud and (one.upload != FILE) == made]
    return statistics.median(own_ms) if own_ms else 0.0


def conditions(run: Real, trace: str, table: UploadTable) -> tuple[Case, SimulationSettings]:
    """A run as the simulator takes it."""
    at_ms = run.at_ms
    arrivals = Arrivals("as asked", queued=True, trace=Trace(at_ms, float(at_ms[-1])))
    network = TracedNetwork(trace, *networks.find(trace), ROUND_TRIP_MS)
    models = ModelSet("served", Models.of(run.top1, run.profiles), run.top1, as_drawn(run.profiles))
    case = Case(models, network, run.limit_ms, "effective", arrivals, table=table, upload=run.upload)
    return case, SimulationSettings(len(at_ms), device=run.device, duplication=run.device is not None)


def played(case: Case, settings: SimulationSettings, streams: RandomStreams, sizes_bytes: FloatArray) -> UploadBatch:
    """All pictures, of these sizes."""
    truth = ground_truths(case, settings, streams)(0, settings.requests)
    return UploadingDevice(case, settings, streams).run(truth, sizes_bytes)


def off_ms(run: Real, trace: str) -> FloatArray:
    """[k]: of the k answers from the cloud, the real time less what the link makes of it."""
    link, off = SharedLink(TracedNetwork(trace, *networks.find(trace), ROUND_TRIP_MS)), []
    for one in run.asked:
        usual_ms = taken_ms(run, made=one.upload != FILE)
        sent_ms = one.at_ms + (one.client_ms if one.cloud else usual_ms)
        arrives_ms = link.send(sent_ms, one.sent_bytes + one.head_bytes).last_ms
        if not one.answer or not one.cloud:
            link.give_up(one.at_ms + run.limit_ms + patience_ms(run))
            continue
        leaves_ms = np.float64(arrives_ms + one.answer.invoke_ms + one.other_ms)
        link.keep(one.at_ms + one.answer.total_ms)
        off.append(one.answer.total_ms - float(leaves_ms + link.reply_ms(leaves_ms, run.down_bytes) - one.at_ms))
    return np.array(off or [np.nan])


class Share(NamedTuple):
    """What is compared, fractions. cloud: answers from there, on time. sent_kb: of a picture."""

    attainment: float
    effective: float
    cloud: float
    sent_kb: float


def really(run: Real) -> Share:
    """As it was."""
    return Share(
        statistics.fmean(one.on_time for one in run.asked),
        statistics.fmean(one.on_time and one.right for one in run.asked),
        statistics.fmean(one.on_time and one.cloud for one in run.asked),
        statistics.fmean(one.sent_bytes for one in run.asked) / 1e3,
    )


def supposedly(run: Real, batch: UploadBatch, sendable: Sendable) -> Share:
    """As one simulation has it."""
    found, count = batch.outcomes, len(sendable.table)
    sent = found.model < len(run.profiles) * count
    right = []
    for photo, (pair, fate) in enumerate(zip(found.model.tolist(), found.fate.tolist(), strict=True)):
        model, upload = divmod(pair, count)
        from_cloud = fate == ON_TIME and sent[photo]
        name = run.profiles[model].model if from_cloud else run.device.name if run.device else ""
        right.append(fate != LATE and sendable.right(name, photo, upload if from_cloud else count - 1))
    on_time = found.fate != LATE
    cloud = (found.fate == ON_TIME) & sent
    return Share(float(on_time.mean()), statistics.fmean(right), float(cloud.mean()), batch.sent_bytes.mean() / 1e3)


SIMULATIONS = {"stated": stated, "measured": measured}


def compare(run: Real, trace: str, sendable: Sendable) -> Iterator[Row]:
    """A row for the real run, then one for each simulation."""
    actual, cell = really(run), {"deadline_ms": run.sla_ms, "mode": run.mode}
    off = " ".join(f"{ms:.1f}" for ms in np.quantile(off_ms(run, trace), (0.05, 0.5, 0.95)))
    yield {**cell, "of": "real", **shown(actual), "models": usage(run), "off_ms": off}
    for name, simulate in SIMULATIONS.items():
        batches = [simulate(run, trace, sendable, seed) for seed in range(SEEDS)]
        mean = Share(*np.mean([supposedly(run, batch, sendable) for batch in batches], axis=0).tolist())
        yield {**cell, "of": name, **shown(mean, actual), "models": drawn(run, batches, sendable.table), "off_ms": ""}


def shown(share: Share, actual: Share | None = None) -> Row:
    """In %, with the differences in points."""
    row: Row = {name: 100 * value for name, value in share._asdict().items() if name != "sent_kb"}
    for name in ("attainment", "effective"):
        by = row[name] - 100 * getattr(actual, name) if actual else None
        row[f"{name} by"] = "" if by is None else f"{by:+.1f}{' !' if abs(by) > POINTS else ''}"
    return row | {"kB": share.sent_kb}


def usage(run: Real) -> str:
    """How many of the cloud's answers are of each model, in the endpoint's order."""
    counts = Counter(one.answer.model for one in run.asked if one.answer and one.cloud)
    return "/".join(str(counts[each.model]) for each in run.profiles)


def drawn(run: Real, batches: Sequence[UploadBatch], table: UploadTable) -> str:
    """How many of the simulated answers are of each model, in the mean of the batches."""
    answers = np.concatenate([each.outcomes.model[each.outcomes.fate == ON_TIME] // len(table) for each in batches])
    return "/".join(f"{np.sum(answers == m) / len(batches):.0f}" for m in range(len(run.profiles)))


def told(run: Real) -> Row:
    """What the simulation was given."""
    return {
        "deadline_ms": run.sla_ms,
        "mode": run.mode,
        "given up at": run.limit_ms,
        "down_bytes": run.down_bytes,
        "making_ms": taken_ms(run, made=True),
        "file_ms": taken_ms(run, made=False),
        "server_ms": run.of_cloud(lambda one: one.other_ms),
        "models_ms": "/".join(f"{each.mean_ms:.1f}" for each in run.profiles),
        "device_ms": float(run.device.times.quantiles_ms.mean()) if run.device else None,
    }


def sendables(models: Sequence[Path], photos: Photos, run: Real) -> Sendable:
    """The pictures, as the endpoint's ladder has them."""
    assert run.ladder
    sides = {runner.name: max(runner.input.height, runner.input.width) for runner in map(Runner, models)}
    facts = UploadFacts({each.model: sides[each.model] for each in run.profiles})
    file_bytes = round(statistics.fmean(Path(path).stat().st_size for path in photos.paths))
    names = [each.model for each in run.profiles]
    table = UploadTable.of(facts, PictureSettings(file_bytes), published=run.ladder.of(names))
    return Sendable(models, photos, table, run.ladder.crop)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("models", type=Path)
    parser.add_argument("photos", type=Path)
    parser.add_argument("trace")
    parser.add_argument("--upload", default="auto")
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--deadline", type=float, action="append")
    parser.add_argument("--mode", type=Mode, action="append")
    parser.add_argument("--keep", type=Path)
    arguments = parser.parse_args()
    models = sorted(arguments.models.glob("*.tflite"))
    fastest = min(models, key=lambda path: path.stat().st_size)
    found = labelled(arguments.photos, Runner(fastest).labels)
    step = max(1, len(found.paths) // arguments.count)
    photos = Photos(found.paths[::step][: arguments.count], found.truth[::step][: arguments.count])
    print(f"{host.current().cpu_model()}, {host.system.cores()} cores; {Path(arguments.trace).name}\n")
    if arguments.keep and arguments.keep.exists():
        runs: list[Real] = pickle.loads(arguments.keep.read_bytes())
    else:
        with serving(models) as port:
            stage = Stage(port, fastest, photos, arguments.trace, arguments.upload)
            runs = list(all_real(stage, arguments.mode or MODES, arguments.deadline or DEADLINES_MS))
        if arguments.keep:
            arguments.keep.write_bytes(pickle.dumps(runs))
            return
    with console.quiet_runtime():
        sendable = sendables(models, photos, runs[0])
        rows = [row for run in runs for row in compare(run, arguments.trace, sendable)]
    print(console.table(rows) + "\n\n" + console.table([told(run) for run in runs]))


def all_real(stage: Stage, modes: Sequence[Mode], deadlines_ms: Sequence[float]) -> Iterator[Real]:
    """One run after the other."""
    return (real(stage, mode, sla_ms) for sla_ms in deadlines_ms for mode in modes)


if __name__ == "__main__":
    main()
