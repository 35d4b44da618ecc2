"""Streams of requests for policies.py: drawn networks and traces, and what is learned of the replies on the way."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from heapq import heappop, heappush
from pathlib import Path
from statistics import NormalDist

import numpy as np

from ondevice.lab.link.trace import Trace
from ondevice.selection.policies import effective
from ondevice.selection.problem import Models, Requests
from ondevice.selection.replies import Replies
from ondevice.timing.arrays import FloatArray
from ondevice.timing.quantiles import LEVELS, POINTS, normal

DEVICE_TOP1 = 0.414
TRACES = ("ATT-LTE-driving-2016", "TMobile-UMTS-driving", "Verizon-LTE-short")
CORRELATIONS = (0.0, 0.8)
ROUND_TRIP_MS, REPLY_BYTES = 40.0, 600
# Between two pictures on a trace: never less, and that much more in the mean (exponential).
LEAST_GAP_MS, MORE_GAP_MS = 200.0, 1000.0
# LayerCake's estimate of the network: so much of the newest.
EWMA = 0.1

Leg = Callable[[FloatArray], FloatArray]


def _normal_shares(z: FloatArray) -> FloatArray:
    return np.array([NormalDist().cdf(value) for value in z.ravel().tolist()]).reshape(z.shape)


def lognormal(mean_ms: float, std_ms: float) -> Leg:
    """A leg's time from a standard normal z."""
    variance = np.log(1 + (std_ms / mean_ms) ** 2)
    return lambda z: mean_ms * np.exp(variance**0.5 * z - variance / 2)


def positive_normal(z: FloatArray) -> FloatArray:
    """50 ± 25 ms, what is at most 0 drawn again."""
    never = NormalDist().cdf(-2)
    return 50 + 25 * normal(never + (1 - never) * _normal_shares(z))


def floor_and_tail(z: FloatArray) -> FloatArray:
    """At least 30 ms, and above it a Pareto tail (Lomax, shape 1.5, mean 20) without a variance."""
    beyond: FloatArray = _normal_shares(-z) ** (-1 / 1.5) - 1
    return 30 + 10 * beyond


NETWORKS: dict[str, Leg] = {
    "lognormal 46±24": lognormal(46, 24),
    "lognormal 92±48": lognormal(92, 48),
    "lognormal 23±12": lognormal(23, 12),
    "normal 50±25": positive_normal,
    "floor 30 + tail": floor_and_tail,
}


@dataclass(frozen=True, eq=False)
class Stream:
    """Requests on a network: at_ms [n] they begin, upload_ms [n], infer_ms [n, m] at the server.

    reply(later_ms [n]) -> [n]: what a reply takes that leaves so long after the upload's end.
    """

    name: str
    at_ms: FloatArray
    upload_ms: FloatArray
    infer_ms: FloatArray
    reply: Callable[[FloatArray], FloatArray]

    def total_ms(self) -> FloatArray:
        """[n, m]: from the request's begin to the answer."""
        columns = [infer_ms + self.reply(infer_ms) for infer_ms in self.infer_ms.T]
        total_ms: FloatArray = self.upload_ms[:, None] + np.array(columns).T
        return total_ms

    def requests(self, sla_ms: float, points_ms: FloatArray | None = None) -> Requests:
        """As the server sees them, with what was learned of the replies."""
        seen_ms = self.upload_ms + self.reply(self.infer_ms[:, 0])
        return Requests(
            np.full(len(seen_ms), sla_ms), self.upload_ms, self.upload_ms, device_top1=np.array([DEVICE_TOP1]),
            reply_ms=points_ms, link_ms=_smoothed(seen_ms)[:, None],
        )  # fmt: skip


def _smoothed(seen_ms: FloatArray) -> FloatArray:
    """The exponential average of what came before each."""
    out, average = np.empty(len(seen_ms)), float(seen_ms[0])
    for i, ms in enumerate(seen_ms.tolist()):
        out[i] = average
        average += EWMA * (ms - average)
    return out


def zoo(data: Path) -> Models:
    """The 11 models."""
    with (data / "profiles" / "cnnselect_zoo.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if "mobilenet_v1" not in row["model"] or "_224" in row["model"]]
    columns = ("top1_percent", "gpu_mean_ms", "gpu_std_ms")
    top1, mean_ms, std_ms = np.array([[float(row[name]) for name in columns] for row in rows]).T
    quantiles_ms = mean_ms[:, None] + std_ms[:, None] * normal(np.clip(LEVELS, 1e-3, 1 - 1e-3))
    return Models(tuple(row["model"] for row in rows), top1 / 100, mean_ms, std_ms, np.maximum(quantiles_ms, 0))


def inference(models: Models, n: int, rng: np.random.Generator) -> FloatArray:
    """Normal draws [n, m]; none of these models comes near 0."""
    return np.maximum(rng.normal(models.mean_ms, models.std_ms, (n, len(models))), 1e-3)


def drawn(models: Models, legs: Sequence[Leg], correlation: float, n: int, seed: int) -> Stream:
    """n requests on each of the legs' networks, one network after the other."""
    rng = np.random.default_rng(seed)
    z = rng.normal(size=(2, len(legs), n))
    z[1] = correlation * z[0] + (1 - correlation**2) ** 0.5 * z[1]
    upload_ms, reply_ms = (np.concatenate([leg(part) for leg, part in zip(legs, side, strict=True)]) for side in z)
    infer_ms = inference(models, n * len(legs), rng)
    return Stream("", 1e9 * np.arange(float(len(upload_ms))), upload_ms, infer_ms, lambda _: reply_ms)


def traced(models: Models, up: Trace, down: Trace, n: int, size_bytes: int) -> Stream:
    """n pictures of one size through a trace, and replies back through the other."""
    rng = np.random.default_rng(len(up.stamps_ms))
    at_ms: FloatArray = np.cumsum(LEAST_GAP_MS + rng.exponential(MORE_GAP_MS, n))
    upload_ms = up.passed_ms(at_ms, size_bytes) - at_ms + ROUND_TRIP_MS / 2
    there_ms = at_ms + upload_ms
    reply: Callable[[FloatArray], FloatArray] = lambda later_ms: (  # noqa: E731
        down.passed_ms(there_ms + later_ms, REPLY_BYTES) - (there_ms + later_ms) + ROUND_TRIP_MS / 2
    )
    return Stream("", at_ms, upload_ms, inference(models, n, rng), reply)


def streams(models: Models, data: Path, n: int, size_bytes: int) -> Iterator[tuple[str, Stream]]:
    """Those of the grid and those of the traces, each with the group that it counts to."""
    for seed, (name, leg) in enumerate(NETWORKS.items()):
        for correlation in CORRELATIONS:
            stream = drawn(models, [leg], correlation, n, 2 * seed + (correlation > 0))
            kind = "correlated" if correlation else "independent"
            yield kind, replace(stream, name=f"{name}, {kind}")
    for name in TRACES:
        up, down = (Trace.load(data / "traces" / f"{name}.{way}") for way in ("up", "down"))
        yield "traces", replace(traced(models, up, down, n, size_bytes), name=name)


def learned(models: Models, stream: Stream, sla_ms: float) -> FloatArray:
    """The points [n, k] of each reply as foreseen with `effective`, from the replies that had come before it began."""
    replies, coming = Replies(), list[tuple[float, float, float]]()
    total_ms, points_ms = stream.total_ms(), np.empty((len(stream.at_ms), POINTS))
    network_ms = total_ms - stream.infer_ms
    for i, (at_ms, upload_ms) in enumerate(zip(stream.at_ms.tolist(), stream.upload_ms.tolist(), strict=True)):
        while coming and coming[0][0] <= at_ms:
            replies.add(*heappop(coming)[1:])
        points_ms[i] = points = replies.points_ms(upload_ms)
        request = Requests.one(sla_ms, upload_ms, device_top1=DEVICE_TOP1, reply_ms=points)
        model = int(effective(models, request)[0].argmax())
        heappush(coming, (at_ms + float(total_ms[i, model]), upload_ms, float(network_ms[i, model]) - upload_ms))
    return points_ms
