"""The simulator against real processes: the same trace, pictures, models, deadlines and times of asking, once in each.

    python benchmarks/replay.py MODELS PHOTOS TRACE [--runs 1]

MODELS: a folder of .tflite files of one label list that are in the zoo; an `ondevice serve` has all of them, and the
fastest is the device's too, on an emulated phone. PHOTOS: a folder for `ondevice evaluate`. TRACE: as `ondevice link`
takes it. Real: a client in mode `cloud` or `hedge` asks 100 pictures, one each 300 ms, through a link whose trace
begins with it. Then the same twice simulated, with the endpoint's policy, the times that the endpoint had learned by
the end, and the moments at which each request really began:

plain: as `ondevice simulate --network trace:TRACE,rtt=40 --knows given` has it: the pictures' mean bytes, each request
alone, and what is known of replies learned from the simulated ones.
shared: with all that was measured and that the simulator can be told. Each picture's bytes; what server and client
took beside inference and network; one link for all: what was given up still passes first, and a connection that was
given up is made anew; and what the endpoint was really told with each request, deadline and `reply`. Not told: which
requests were late. Not simulated: the link's buffer, behind which waiting connections are not served in their order.

attainment: answers on time. effective: answers that are right and on time; in the simulation a model is right where it
really is, for that picture as it was sent. off: requests' real time less the simulated one (`shared`), with the real
inference and what was really given up: 5th, 50th and 95th percentile. Differences are in points, simulated less real,
each simulation being the mean of 20 seeds; `!` marks more than 3 in attainment or 2 in effective accuracy.
"""

from __future__ import annotations

import argparse
import heapq
import math
import statistics
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from offload import COUNT, DEADLINES_MS, ROUND_TRIP_MS, serving
from replayed import Asked, Photos, Real, Stage, real

from ondevice import Runner, host
from ondevice.cli import console
from ondevice.client.executors.uploads import SCALED_QUALITY
from ondevice.client.planning.plan import Mode
from ondevice.dataset.labelled import labelled
from ondevice.lab.link import networks
from ondevice.lab.link.trace import PACKET_BYTES, Cursor, Trace
from ondevice.lab.simulate import legs, simulation
from ondevice.lab.simulate.arrivals import Arrivals
from ondevice.lab.simulate.estimates import ReplyEstimate, RequestEstimator
from ondevice.lab.simulate.legs import Legs, NetworkModel, Sizes
from ondevice.lab.simulate.modelset import ModelSet, as_drawn
from ondevice.lab.simulate.outcomes import LATE, ON_TIME, OutcomeBatch
from ondevice.lab.simulate.simulation import Case, RandomStreams, SimulationSettings
from ondevice.protocol.rung import Rung
from ondevice.selection.problem import Models, Requests
from ondevice.timing.arrays import FloatArray
from ondevice.timing.profile import Profile
from ondevice.timing.quantiles import POINTS
from ondevice.upload import compressed

SEEDS = 20
# What the end of a connection and the beginning of the next take of the link, and the answer to that.
MARKS_BYTES, MARK_BYTES = 80, 40
ATTAINMENT_POINTS, EFFECTIVE_POINTS = 3.0, 2.0
Row = dict[str, Any]


@dataclass(frozen=True, eq=False)
class Sent(NetworkModel):
    """A run's requests through its traces, one after the other on one link.

    up_bytes [n], client_ms [n]: of each. lost_ms [n]: when it was given up, after its call, and its connection with it;
    inf: never.
    """

    text: str
    up: Trace
    down: Trace
    up_bytes: FloatArray
    down_bytes: int
    client_ms: FloatArray
    lost_ms: FloatArray

    def sample(self, at_ms: FloatArray, rng: np.random.Generator, sizes: Sizes, first: int = 0) -> Legs:
        """See NetworkModel."""
        through_ms = self.arrived_ms(at_ms)[1]

        def reply(leaves_ms: FloatArray, part: slice) -> FloatArray:
            return self.down.passed_ms(leaves_ms, self.down_bytes) - leaves_ms + ROUND_TRIP_MS / 2

        return Legs(through_ms, through_ms - at_ms, reply)

    def reply_points(self, legs: Legs, sizes: Sizes, first: int = 0) -> FloatArray:
        """See NetworkModel."""
        return np.quantile(legs.reply_ms, np.linspace(0, 1, 21))[None]

    def link_ms(self, n: int, sizes: Sizes, first: int = 0) -> FloatArray:
        """See NetworkModel."""
        return np.full((1, 1), ROUND_TRIP_MS)

    def arrived_ms(self, at_ms: FloatArray) -> FloatArray:
        """[2, n]: when the endpoint has the first packet of each request that begins at at_ms [n], and the last.

        First come, first served: a new connection's beginning may overtake pictures that wait for theirs to be made.
        """
        cursor, arrived_ms, ready_ms = Cursor(self.up, 0.0), np.empty((2, len(at_ms))), at_ms + self.client_ms
        users = self._users()
        # What enters the link, and when: a picture, or the beginning of the connection that follows a request given up.
        entering = [(float(ready_ms[i]), i, False) for i in users.pop(-1)]
        entering += [(float(at_ms[i] + self.lost_ms[i]), i, True) for i in users]
        heapq.heapify(entering)
        while entering:
            enters_ms, i, begins = heapq.heappop(entering)
            if not begins:
                arrived_ms[:, i] = self._passed_ms(cursor, enters_ms, int(self.up_bytes[i]))
                continue
            open_ms = self._opened_ms(cursor, enters_ms)
            for user in users[i]:
                heapq.heappush(entering, (max(float(ready_ms[user]), open_ms), user, False))
        return arrived_ms + ROUND_TRIP_MS / 2

    def _users(self) -> dict[int, list[int]]:
        """The requests on the first connection (-1), and on each that follows a request given up."""
        users: dict[int, list[int]] = {-1: []}
        for i, lost_ms in enumerate(self.lost_ms.tolist()):
            users[max(users)].append(i)
            if lost_ms < math.inf:
                users[i] = []
        return users

    def _passed_ms(self, cursor: Cursor, enters_ms: float, size: int) -> tuple[float, float]:
        """When the first packet has passed, and the last."""
        first_ms = cursor.serve(enters_ms, min(size, PACKET_BYTES))
        return first_ms, cursor.serve(enters_ms, size - PACKET_BYTES) if size > PACKET_BYTES else first_ms

    def _opened_ms(self, cursor: Cursor, at_ms: float) -> float:
        """When a connection is there that is begun at at_ms."""
        there_ms = cursor.serve(at_ms, MARKS_BYTES) + ROUND_TRIP_MS / 2
        return float(self.down.passed_ms(there_ms, MARK_BYTES)) + ROUND_TRIP_MS / 2


def sent(run: Real, trace: str, lost_ms: FloatArray) -> Sent:
    """The network of a run; lost_ms: as in `Sent`."""
    client_ms = run.each(lambda one: one.client_ms)
    return Sent("sent", *networks.find(trace), run.up_bytes, run.down_bytes, client_ms, lost_ms)


def plain(run: Real, trace: str, seed: int) -> OutcomeBatch:
    """As `ondevice simulate` has it."""
    network = legs.find(f"trace:{trace},rtt={ROUND_TRIP_MS:g}")
    case, settings = stated(run, network, 0.0, seed)
    sampled = network.sample(run.at_ms, np.random.default_rng(0), settings.sizes)  # there is no chance in a trace
    estimator = RequestEstimator(settings.estimate, network, settings.sizes)
    return played(case, settings, estimator.requests(sampled, case.sla_ms, settings.device_top1))


def shared(run: Real, trace: str, seed: int) -> OutcomeBatch:
    """With all that is known: which requests are given up follows from a first look without, and then again."""
    lost_ms = np.full(len(run.asked), math.inf)
    for _ in range(3):
        network = sent(run, trace, lost_ms)
        case, settings = stated(run, network, run.of_cloud(lambda one: one.other_ms), seed)
        batch = played(case, settings, told(run, network))
        lost_ms = np.where(batch.fate == ON_TIME, math.inf, run.limit_ms)
    return batch


def told(run: Real, network: Sent) -> Requests:
    """What the endpoint really was told with each request, and the uploads as it sees them in the simulation."""
    first_ms, last_ms = network.arrived_ms(run.at_ms)
    upload_ms = last_ms - first_ms
    rows = [known(run, one, ms) for one, ms in zip(run.asked, upload_ms.tolist(), strict=True)]
    sla_ms, return_ms, reply_ms = map(np.array, zip(*rows, strict=True))
    return Requests(sla_ms, upload_ms, return_ms, device_top1=np.array([run.device_top1]), reply_ms=reply_ms)


def known(run: Real, one: Asked, upload_ms: float) -> tuple[float, float, FloatArray]:
    """Of one request the deadline, the reply in the mean, and its points [21]. One that was not sent asks nothing."""
    if one.context is None:
        return run.limit_ms, ROUND_TRIP_MS, np.full(POINTS, ROUND_TRIP_MS)
    left_ms, return_ms, reply = one.context.left_ms, one.context.return_ms, one.context.reply
    return left_ms, return_ms, reply.given(upload_ms) if reply else np.full(POINTS, return_ms)


def stated(run: Real, network: NetworkModel, other_ms: float, seed: int) -> tuple[Case, SimulationSettings]:
    """A run as the simulator takes it. other_ms: what the server takes beside the inference."""
    at_ms = run.at_ms
    arrivals = Arrivals("as asked", queued=False, trace=Trace(at_ms, float(at_ms[-1])))
    case = Case(model_set(run, other_ms), network, run.limit_ms, "effective", arrivals)
    sizes = Sizes(round(float(run.up_bytes.mean())), run.down_bytes)
    return case, SimulationSettings(
        len(at_ms), seed, ReplyEstimate.GIVEN, sizes, run.device, duplication=run.device is not None
    )


def played(case: Case, settings: SimulationSettings, requests: Requests) -> OutcomeBatch:
    """All of them. requests: what the policy has to go by."""
    streams = RandomStreams.of(settings.seed)
    truth = simulation.ground_truths(case, settings, streams)(0, settings.requests)
    choose = simulation.chooser(case.policy, streams.choice)
    model = choose(case.models.models, requests, lambda: truth.all_ms(case.models))
    return simulation.cloud_batch(case, settings, truth, model)


def model_set(run: Real, other_ms: float) -> ModelSet:
    """The endpoint's models, each taking other_ms more."""
    longer = [
        Profile(each.model, *each.distribution.shifted(other_ms).figures, each.n, each.host, each.runtime, each.threads)
        for each in run.profiles
    ]
    return ModelSet("served", Models.of(run.top1, longer), run.top1, as_drawn(longer))


def off_ms(run: Real, trace: str) -> FloatArray:
    """[k]: of the k answers from the cloud, the real time less what `shared` says."""
    cloud = np.array([one.cloud for one in run.asked])
    network = sent(run, trace, np.where(cloud, math.inf, run.limit_ms))
    legs_ = network.sample(run.at_ms, np.random.default_rng(0), Sizes())
    server_ms = np.array([one.answer.invoke_ms + one.other_ms if one.answer else 0.0 for one in run.asked])
    total_ms = np.array([one.answer.total_ms if one.answer else 0.0 for one in run.asked])
    off: FloatArray = (total_ms - (legs_.upload_ms + server_ms + legs_.reply_after(server_ms)))[cloud]
    return off


class Judge:
    """Which model is right of which picture. files: the models' files, by name."""

    def __init__(self, models: Sequence[Path], photos: Photos) -> None:
        self.runners = {runner.name: runner for runner in map(Runner, models)}
        self._photos = photos
        self._right = cache(self._look)

    def right(self, run: Real, model: int, photo: int) -> bool:
        """Of a picture as it was sent; a model beyond the endpoint's is the device's, which has the file."""
        if model == len(run.profiles):
            assert run.device
            return self._right(run.device.name, photo, 0)
        whole = Path(self._photos.paths[photo]).stat().st_size == run.asked[photo].sent_bytes
        return self._right(run.profiles[model].model, photo, 0 if whole else run.side)

    def _look(self, model: str, photo: int, side: int) -> bool:
        path = self._photos.paths[photo]
        source = compressed(path, Rung(side, SCALED_QUALITY), 1.0) if side else path
        return self.runners[model].classify(source).index == self._photos.truth[photo]


class Share(NamedTuple):
    """What is compared, fractions. cloud: answers from there, on time."""

    attainment: float
    effective: float
    cloud: float


def really(run: Real) -> Share:
    """As it was."""
    return Share(*(
        statistics.fmean(values)
        for values in (
            [one.on_time for one in run.asked],
            [one.on_time and one.right for one in run.asked],
            [one.on_time and one.cloud for one in run.asked],
        )
    ))  # fmt: skip


def supposedly(run: Real, batch: OutcomeBatch, judge: Judge) -> Share:
    """As one simulation has it."""
    answers = np.where(batch.fate == ON_TIME, batch.model, len(run.profiles))
    right = [
        f != LATE and judge.right(run, int(m), i) for i, (m, f) in enumerate(zip(answers, batch.fate, strict=True))
    ]
    return Share(float((batch.fate != LATE).mean()), statistics.fmean(right), float((batch.fate == ON_TIME).mean()))


SIMULATIONS = {"plain": plain, "shared": shared}


def compare(run: Real, trace: str, judge: Judge) -> Iterator[Row]:
    """A row for the real run, then one for each simulation."""
    actual, cell = really(run), {"deadline_ms": run.sla_ms, "mode": run.mode}
    off = " ".join(f"{ms:.1f}" for ms in np.quantile(off_ms(run, trace), (0.05, 0.5, 0.95)))
    yield {**cell, "of": "real", **shown(actual), "models": usage(run), "off_ms": off}
    for name, simulate in SIMULATIONS.items():
        batches = [simulate(run, trace, seed) for seed in range(SEEDS)]
        shares = [supposedly(run, batch, judge) for batch in batches]
        mean = Share(*np.mean(shares, axis=0).tolist())
        yield {**cell, "of": name, **shown(mean, actual), "models": drawn(run, batches), "off_ms": ""}


def shown(share: Share, actual: Share | None = None) -> Row:
    """In %, with the differences in points."""
    row: Row = {name: 100 * value for name, value in share._asdict().items()}
    limits = {"attainment": ATTAINMENT_POINTS, "effective": EFFECTIVE_POINTS}
    for name, limit in limits.items():
        by = row[name] - 100 * getattr(actual, name) if actual else None
        row[f"{name} by"] = "" if by is None else f"{by:+.1f}{' !' if abs(by) > limit else ''}"
    return row


def usage(run: Real) -> str:
    """How many of the cloud's answers are of each model, in the endpoint's order."""
    counts = Counter(one.answer.model for one in run.asked if one.answer and one.cloud)
    return "/".join(str(counts[each.model]) for each in run.profiles)


def drawn(run: Real, batches: Sequence[OutcomeBatch]) -> str:
    """How many of the simulated answers are of each model, in the mean of the batches."""
    answers = np.concatenate([batch.model[batch.fate == ON_TIME] for batch in batches])
    return "/".join(f"{np.sum(answers == m) / len(batches):.0f}" for m in range(len(run.profiles)))


def conditions(run: Real) -> Row:
    """What the simulation was given."""
    return {
        "deadline_ms": run.sla_ms,
        "mode": run.mode,
        "given up at": run.limit_ms,
        "up_bytes": float(run.up_bytes.mean()),
        "down_bytes": run.down_bytes,
        "client_ms": run.of_cloud(lambda one: one.client_ms),
        "server_ms": run.of_cloud(lambda one: one.other_ms),
        "models_ms": "/".join(f"{each.mean_ms:.1f}" for each in run.profiles),
        "device_ms": float(run.device.times.quantiles_ms.mean()) if run.device else None,
    }


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("models", type=Path)
    parser.add_argument("photos", type=Path)
    parser.add_argument("trace")
    parser.add_argument("--runs", type=int, default=1)
    arguments = parser.parse_args()
    models = sorted(arguments.models.glob("*.tflite"))
    fastest = min(models, key=lambda path: path.stat().st_size)
    found = labelled(arguments.photos, Runner(fastest).labels)
    step = max(1, len(found.paths) // COUNT)
    photos = Photos(found.paths[::step][:COUNT], found.truth[::step][:COUNT])
    print(f"{host.current().cpu_model()}, {host.system.cores()} cores; {Path(arguments.trace).name}\n")
    with serving(models) as port:
        cells = [(mode, ms) for _ in range(arguments.runs) for ms in DEADLINES_MS for mode in (Mode.CLOUD, Mode.HEDGE)]
        stage = Stage(port, fastest, photos, arguments.trace)
        runs = [real(stage, mode, sla_ms) for mode, sla_ms in cells]
    judge = Judge(models, photos)
    with console.quiet_runtime():
        rows = [row for run in runs for row in compare(run, arguments.trace, judge)]
    print(console.table(rows) + "\n\n" + console.table([conditions(run) for run in runs]))


if __name__ == "__main__":
    main()
