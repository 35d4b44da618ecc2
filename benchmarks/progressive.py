"""A bet: one progressive JPEG, of which the endpoint decodes what has come at the last moment for an answer on time.

    python benchmarks/progressive.py --models FOLDER --photos FOLDER --cache FOLDER [--trace TRACE …] [--rate KBPS …]

--models: .tflite files of the zoo, the smallest for the device, the largest for the endpoint; --photos: as `ondevice
evaluate` takes them; --cache: where `cuts.py` keeps what it measured of them. Simulated in virtual time (`partial.py`):
requests at fixed times over one link; the device's answer counts where no other is there in time. All policies get the
same pictures at the same moments of the same link. What is tuned (quantiles, and which progressive JPEG) is tuned on
the first half of a trace, or other draws of a steady link, and what is shown is of the second half.

joint: of JPEGs and WebPs the one with the greatest expected effective accuracy, as the client chooses, by its own
estimates; one that turns out of another size than was expected is chosen anew. both: of those, and of progressive JPEGs
or their beginnings, what is expected to be best; of the latter the endpoint answers what has come at the last moment,
by what was learned of replies, told by the client's clock when the request began. known: as both, and the endpoint
knows when its reply will be there, as nobody can. jpeg, jpeg both, jpeg known: without WebP, which is never cut.
progressive: always the same progressive JPEG. hindsight: for each request the largest of joint's that is there in time.
Making a progressive JPEG takes no longer here than another one; decoding it does.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from cuts import PACKET_BYTES, SHARES, Bench, Option, Pictures, Receiver, front, measure
from partial import (
    JITTER_MS,
    LATENCY_MS,
    PROGRESSIVE_MS,
    SERVICE_MS,
    Knowledge,
    Link,
    Network,
    Outcome,
    Request,
    upload,
)

from ondevice.cli import console
from ondevice.lab.link import networks
from ondevice.lab.link.trace import Trace
from ondevice.selection.uploads import UploadCandidates, best
from ondevice.timing.arrays import BoolArray, FloatArray
from ondevice.timing.quantiles import MEDIAN

DEADLINES_MS = (100.0, 150.0, 250.0, 500.0)
# How far apart requests begin, and by how much more than the deadline at least: as in `offload.py modes`.
EVERY_MS, APART_MS = 300.0, 50.0
RATES_KBPS = (100, 200, 300, 500, 1000)
# Of steady links down is so much faster, as subscriptions have it.
DOWN_TIMES = 4
# What waits in a link, packets: 64 kB, as much as a phone's modem holds, and as `offload.py` has it.
BUFFER_PACKETS = 43
# Pictures of some 20 kB at most, and of 50 and 100, as networks with larger inputs want them.
TIMES = (1.0, 2.5, 5.0)
# Requests that are not counted, while nothing is known; and so many are scored, and a third of them used for tuning.
SETTLE, SCORED = 10, 1500
# Of a steady link, as long as a recording; longer recordings are used up to here.
STEADY_MS, LONGEST_MS = 300e3, 900e3
# What is tuned: the share of replies that must be in time.
QUANTILES = (0.5, 0.8, 0.9, 0.95)
# Beginnings of progressive JPEGs that may be sent in place of the whole.
BEGINNINGS = (0.3, 0.5, 0.75, 1.0)
# A picture whose size is off by less is not chosen anew, as in the client.
AS_EXPECTED = 0.1
# So many neighbours in time are drawn together for an interval, for they met the same state of the link; and draws.
BLOCK, DRAWS = 10, 2000
# What the bet would add.
COMPARED = (("both", "joint"), ("known", "joint"), ("jpeg both", "jpeg"), ("jpeg known", "jpeg"))
Row = dict[str, Any]


class Policy(NamedTuple):
    """How uploads are chosen: of `options`, and of beginnings of `files`, which are progressive. hindsight: by what
    comes of it. quantile: of replies, that must be in time; known: the endpoint knows when its reply will be there.
    """

    options: Sequence[Option]
    files: Sequence[Option] = ()
    quantile: float = QUANTILES[1]
    hindsight: bool = False
    known: bool = False


class Cell(NamedTuple):
    """Requests over a link from begin_ms to end_ms, several times over, each a little later and of other pictures."""

    network: Network
    sla_ms: float
    begin_ms: float
    end_ms: float
    passes: int
    seed: int

    @classmethod
    def two(cls, network: Network, sla_ms: float) -> tuple[Cell, Cell]:
        """To tune on and to score."""
        span_ms = min(network.up.period_ms if network.up.period_ms > EVERY_MS else STEADY_MS, LONGEST_MS)
        passes = SCORED * max(EVERY_MS, sla_ms + APART_MS) / (span_ms / 2)
        tune, score = max(1, round(passes / 3)), max(1, round(passes))
        return cls(network, sla_ms, 0.0, span_ms / 2, tune, 1), cls(network, sla_ms, span_ms / 2, span_ms, score, 2)

    @property
    def every_ms(self) -> float:
        """From request to request."""
        return max(EVERY_MS, self.sla_ms + APART_MS)

    @property
    def count(self) -> int:
        """Requests in a pass."""
        return int((self.end_ms - self.begin_ms) / self.every_ms)


class Chooser:
    """Chooses an option by what is known of the link."""

    def __init__(self, cell: Cell, policy: Policy, pictures: Pictures) -> None:
        self._policy, self._sla_ms = policy, cell.sla_ms
        self._options = [*policy.options, *(replace(file, share=part) for file in policy.files for part in BEGINNINGS)]
        self._mean_bytes = np.array([option.mean_bytes for option in self._options])
        parts = [file.mean_bytes * share for file in policy.files for share in SHARES[1:]]
        self._sizes = np.array([*(option.mean_bytes for option in policy.options), *parts])
        self._gains = np.maximum([option.top1 - pictures.top1 for option in policy.options], 0.0)
        self._gains_of_parts = np.maximum([file.curve - pictures.top1 for file in policy.files], 0.0)

    def back_ms(self, known: Knowledge) -> tuple[float, float]:
        """What the endpoint keeps for the reply, and the median of it, given as long an upload as there can be."""
        points = known.back.points_ms(max(self._sla_ms - SERVICE_MS - 2 * LATENCY_MS, 1.0))
        return float(points[round(self._policy.quantile * (len(points) - 1))]), float(points[MEDIAN])

    def choose(self, known: Knowledge, photo: int) -> Option:
        """The option with the greatest expected effective accuracy; anew, if the picture is of another size."""
        if len(self._options) == 1:
            return self._options[0]
        option = self._chosen(known, 1.0)
        share = option.body_bytes(photo) / option.mean_bytes
        return option if abs(share - 1) < AS_EXPECTED else self._chosen(known, share)

    def _chosen(self, known: Knowledge, share: float) -> Option:
        """share: how large this picture is beside the usual one."""
        points_ms = known.network.points_ms(self._sizes * share)
        n = len(self._policy.options)
        expected = (points_ms[:n] <= self._sla_ms - SERVICE_MS).mean(axis=1) * self._gains
        if self._policy.files:
            of_files = points_ms[n:].reshape(len(self._policy.files), -1, points_ms.shape[1])
            expected = np.append(expected, self._of_parts(of_files, self.back_ms(known)))
        candidates = UploadCandidates(self._mean_bytes * share, np.zeros((0, 0)), np.ones((1, 1)))
        return self._options[best(candidates, expected)]

    def _of_parts(self, points_ms: FloatArray, back_ms: tuple[float, float]) -> FloatArray:
        """[files, beginnings]: what is gained by sending that. points_ms [files, 20, 21]: when each twentieth of a file
        is answered.
        """
        left_ms = self._sla_ms - SERVICE_MS - PROGRESSIVE_MS * self._policy.files[0].times
        sure, kept_ms = (1.0, 0.0) if self._policy.known else (self._policy.quantile, back_ms[0] - back_ms[1])
        steps = np.round(np.array(BEGINNINGS) * points_ms.shape[1]).astype(int)
        came = (points_ms + kept_ms <= left_ms).sum(axis=1)[:, None, :]
        files = np.arange(len(points_ms))[:, None, None]
        of_part = sure * self._gains_of_parts[files, np.minimum(came, steps[:, None])]
        whole = points_ms[:, steps - 1] <= left_ms
        gained: FloatArray = np.where(whole, self._gains_of_parts[:, steps, None], of_part).mean(axis=2)
        return gained


class Found(NamedTuple):
    """What came of a cell, each [passes, requests]: right in time; the share it was answered from; kB sent."""

    effective: BoolArray
    share: FloatArray
    sent: FloatArray


def simulate(cell: Cell, policy: Policy, pictures: Pictures) -> Found:
    """All passes."""
    passes = [list(_pass(cell, policy, pictures, number))[SETTLE:] for number in range(cell.passes)]
    return Found(*(np.array([[each[i] for each in one] for one in passes]) for i in range(3)))


def _pass(cell: Cell, policy: Policy, pictures: Pictures, number: int) -> Iterator[tuple[bool, float, float]]:
    # One row holds a reply beside its packets.
    most = max(option.packets(int(option.sizes.argmax())) for option in pictures.all) + 1
    jitter_ms, order = _drawn(cell.seed, number, cell.count, most), _order(cell.seed, number, len(pictures.device))
    client = Client(Link(cell.network, jitter_ms), cell, policy, pictures)
    for i in range(cell.count):
        at_ms = cell.begin_ms + (i + number / cell.passes) * cell.every_ms
        photo = order[i % len(order)]
        option, came = client.ask(i, at_ms, photo)
        right = option.is_right(photo, came.packets) if came.packets else bool(pictures.device[photo])
        yield right, came.packets / option.packets(photo), came.sent * PACKET_BYTES / 1e3


@lru_cache
def _drawn(seed: int, number: int, count: int, packets: int) -> FloatArray:
    """[count, packets]: the same for all policies."""
    return np.random.default_rng([seed, number]).uniform(-JITTER_MS, JITTER_MS, [count, packets])


@lru_cache
def _order(seed: int, number: int, count: int) -> list[int]:
    return np.random.default_rng([seed, number, 1]).permutation(count).tolist()


class Client:
    """Asks pictures over a link, and learns from what comes of it."""

    def __init__(self, link: Link, cell: Cell, policy: Policy, pictures: Pictures) -> None:
        self._link, self._sla_ms, self._policy, self._top1 = link, cell.sla_ms, policy, pictures.top1
        self._known, self._chooser = Knowledge(), Chooser(cell, policy, pictures)

    def ask(self, number: int, at_ms: float, photo: int) -> tuple[Option, Outcome]:
        """What was sent of a picture, and what came of it."""
        if self._policy.hindsight:
            return self._best(number, at_ms, photo)
        self._known.learn_until(at_ms)
        option = self._chooser.choose(self._known, photo)
        request = Request(number, (at_ms, self._sla_ms), photo, option)
        came = upload(self._link, request, self._decide_ms(request), self._top1)
        if came.lesson:
            self._known.add(came.lesson)
        return option, came

    def _decide_ms(self, request: Request) -> float:
        """When the endpoint begins its answer at the latest."""
        if not request.option.anytime:
            return np.inf
        if self._policy.known:
            return self._link.last_leaves_ms(request.due_ms, request.number) - request.service_ms
        return request.due_ms - self._chooser.back_ms(self._known)[0] - request.service_ms

    def _best(self, number: int, at_ms: float, photo: int) -> tuple[Option, Outcome]:
        """The largest that is there in time; if none is that is better than the device, nothing is sent."""
        for option in reversed(self._policy.options):
            if option.top1 <= self._top1:
                break
            link = self._link.tried()
            came = upload(link, Request(number, (at_ms, self._sla_ms), photo, option), np.inf, self._top1)
            if came.packets:
                self._link = link
                return option, came
        return self._policy.options[0], Outcome(0, 0, None)


def tuned(cell: Cell, pictures: Pictures) -> dict[str, Policy]:
    """All policies, as they are best in this cell."""

    def best_of(policies: Sequence[Policy]) -> Policy:
        return max(policies, key=lambda policy: float(simulate(cell, policy, pictures).effective.mean()))

    jpegs, wholes = front(pictures.jpegs), front([*pictures.jpegs, *pictures.webps])
    both, jpeg_both = (best_of([Policy(each, pictures.progressive, q) for q in QUANTILES]) for each in (wholes, jpegs))
    return {
        "joint": Policy(wholes), "both": both, "known": both._replace(known=True),
        "jpeg": Policy(jpegs), "jpeg both": jpeg_both, "jpeg known": jpeg_both._replace(known=True),
        "progressive": best_of([Policy([each], quantile=q) for each in pictures.progressive for q in QUANTILES]),
        "hindsight": Policy(wholes, hindsight=True),
    }  # fmt: skip


# --- Tables


def cells(given: argparse.Namespace) -> Iterator[tuple[Network, float, float]]:
    """Of all links, sizes and deadlines."""
    for network in links(given):
        for times in given.times or TIMES:
            for sla_ms in given.deadline or DEADLINES_MS:
                yield network, times, sla_ms


def links(given: argparse.Namespace) -> Iterator[Network]:
    """Recordings, and steady ones."""
    for name in given.trace:
        yield Network(Path(name).name, *networks.find(name), given.buffer)
    for kbps in filter(None, given.rate or RATES_KBPS):
        ways = Trace.constant(kbps * 1e3), Trace.constant(kbps * 1e3 * DOWN_TIMES)
        yield Network(f"{kbps:g} kbit/s", *ways, given.buffer)


def drawn(new: Found, old: Found) -> FloatArray:
    """[1 + DRAWS]: by how much more often it is right in time, and that for other draws of the moments."""
    each = (new.effective.astype(float) - old.effective).mean(axis=0)
    blocks = np.array([part.mean() for part in np.array_split(each, max(len(each) // BLOCK, 1))])
    draws = np.random.default_rng(0).integers(0, len(blocks), [DRAWS, len(blocks)])
    return np.append(each.mean(), blocks[draws].mean(axis=1))


def told(draws: FloatArray) -> str:
    """A difference with its 95 % interval."""
    return "{:+.3f} ({:+.3f} to {:+.3f})".format(draws[0], *np.quantile(draws[1:], [0.025, 0.975]))


def row(found: dict[str, Found]) -> Row:
    """Of a cell, what stands in the table."""
    shares = found["both"].share
    return {name: float(each.effective.mean()) for name, each in found.items()} | {
        "in part": float(((shares > 0) & (shares < 1)).mean()),
        "kB joint": float(found["joint"].sent.mean()), "kB both": float(found["both"].sent.mean()),
    }  # fmt: skip


def show(pictures: Pictures, given: argparse.Namespace) -> None:
    """Print the table of all cells."""
    rows = []
    for network, times, sla_ms in cells(given):
        sizes, (tune, score) = pictures.enlarged(times), Cell.two(network, sla_ms)
        found = {name: simulate(score, policy, sizes) for name, policy in tuned(tune, sizes).items()}
        gains = {f"{new} - {old}": told(drawn(found[new], found[old])) for new, old in COMPARED}
        rows.append({"link": network.name, "times": times, "ms": sla_ms} | row(found) | gains)
        print("  ".join(f"{v:.3f}" if isinstance(v, float) else str(v) for v in rows[-1].values()), file=sys.stderr)
    print(console.table(rows, ".3f"))


def main() -> None:
    """Measure what is not measured yet, and simulate."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--models", type=Path, required=True)
    parser.add_argument("--photos", type=Path, required=True)
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--trace", action="append", default=[])
    parser.add_argument("--rate", action="append", type=float, help="of a steady link, kbit/s; several times; 0: none")
    parser.add_argument("--times", action="append", type=float, help="how much larger pictures are; several times")
    parser.add_argument("--deadline", action="append", type=float, metavar="MS")
    parser.add_argument("--buffer", type=int, default=BUFFER_PACKETS, help="packets that wait in a link (43)")
    given = parser.parse_args()
    models = sorted(given.models.glob("*.tflite"), key=lambda path: path.stat().st_size)
    measure(Bench(Receiver(models[0]), Receiver(models[-1])), given.photos, given.cache)
    show(Pictures.read(given.cache), given)


if __name__ == "__main__":
    main()
