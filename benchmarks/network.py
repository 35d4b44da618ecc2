"""How well does the client foresee what a request takes, of sizes that it has not sent of late, and what is that worth?

    python benchmarks/network.py [TRACE...] [--requests 100] [--only foreseen,chosen,quarter,cost]

TRACE is what `ondevice link --trace` takes, best FILE for FILE.up and FILE.down; without any, the synthetic networks.
At four places in each, so many requests of one device go over a link that carries their bytes, one each 300 ms or
deadline, in virtual time; what is not answered
in time is given up. 20 ms each way, 12 ms at the server. Beside what the client has now: what 0.1.0 had, which took a
request for fixed + bytes * rate, by the last 32 of them, and the rate from uploads of over 14.6 kB alone.

foreseen: the chance to be done within 60 to 300 ms of each size from 2.6 to 20 kB, against what each would have come
to: Brier's score, in hundredths (0: always sure and right; 25: always even), and the mean surprise (log loss), after
uploads of any of these sizes, of the three smallest, or of the largest alone, with deadlines of 150, 250 and 500 ms.
`whole`: as if behind a proxy that hands on what is whole, so that the server sees nothing of the sending. chosen: the
effective accuracy of sending what promises most by that (and a device right in 0.49), the same where one in twenty is
of any size, for what that tells, of always the same size, and of the best size for each in hindsight. quarter: how
many requests of 2 to 10 kB it takes after a steady link has fallen to a quarter, and after it is back, until the median
for 7.5 kB stays within a quarter of the truth. cost: of foreseeing 12 sizes, and of learning, on this machine.
"""

from __future__ import annotations

import argparse
import timeit
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple, Protocol

import numpy as np

from ondevice.cli import console
from ondevice.client.network import CENSORED, NetworkEstimates, NetworkSample
from ondevice.lab.link.networks import NETWORKS
from ondevice.lab.simulate import legs
from ondevice.lab.simulate.legs import TracedNetwork
from ondevice.lab.simulate.shared_link import SharedLink
from ondevice.timing.arrays import BoolArray, FloatArray
from ondevice.timing.quantiles import MEDIAN, POINTS, weighted_quantiles

# What 500 photos take as sent, and how often a good model is right on them (MobileNet V2 1.0 224).
SIZES = np.array([2_600.0, 3_600, 4_700, 6_000, 7_700, 10_000, 14_000, 20_000])
TOP1, DEVICE_TOP1 = np.array([0.58, 0.692, 0.784, 0.80, 0.828, 0.856, 0.88, 0.91]), 0.49
WITHIN_MS, DEADLINES_MS = np.array([60.0, 80, 100, 150, 200, 300]), (150.0, 250.0, 500.0)
EVERY_MS, RTT_MS, INFER_MS, HEAD_BYTES, REPLY_BYTES = 300.0, 40.0, 10.0, 350, 600
# What the server takes besides: its median, ms, and the deviation of its logarithm.
OTHER_MS, OTHER_SPREAD = 2.0, 0.3
SENT = {"any": range(8), "small": range(3), "large": range(7, 8)}
# The first requests are not scored, for nobody can know anything then.
FIRST = 3
# Places in each trace at which requests begin.
STARTS = 4
EXPLORED, FIXED = 0.05, (2, 5, 7)
CHANGES_MBPS, AFTER, WITHIN, ASKED = (0.8, 2.0, 8.0), 40, 0.25, 7_500
_OLD_KEPT, _OLD_HALF_LIFE, _OLD_TELLING_BYTES = 32, 6, 14_600

Row = dict[str, Any]


class Estimates(Protocol):
    """What is learned of a network, as `NetworkEstimates` has it."""

    def add(self, sample: NetworkSample) -> None:
        """Learn from a request that was answered."""

    def add_late(self, size_bytes: int, elapsed_ms: float) -> None:
        """Learn from one that was given up."""

    def points_ms(self, size_bytes: FloatArray) -> FloatArray:
        """[u, 21] for these sizes [u]."""


class Linear:
    """What 0.1.0 learned."""

    def __init__(self) -> None:
        self._rows = [(60.0, 8 / 10e3, 0.0)]

    def add(self, sample: NetworkSample) -> None:
        """See Estimates."""
        size_bytes, network_ms, upload_ms, other_ms = sample
        if size_bytes < _OLD_TELLING_BYTES:
            per_byte = min(self._medians()[1], network_ms / size_bytes)
        else:
            per_byte = (network_ms if upload_ms is None else upload_ms) / size_bytes
        self._rows.append((network_ms - per_byte * size_bytes, per_byte, other_ms))

    def add_late(self, size_bytes: int, elapsed_ms: float) -> None:
        """See Estimates."""
        fixed_ms, per_byte, other_ms = self._medians()
        longer = CENSORED * elapsed_ms / (fixed_ms + per_byte * size_bytes + other_ms)
        if longer > CENSORED:
            self._rows.append((fixed_ms * longer, per_byte * longer, other_ms))

    def points_ms(self, size_bytes: FloatArray) -> FloatArray:
        """See Estimates."""
        (fixed_ms, per_byte, other_ms), weights = self._kept()
        return np.array([weighted_quantiles(fixed_ms + per_byte * size + other_ms, weights) for size in size_bytes])

    def _medians(self) -> tuple[float, float, float]:
        columns, weights = self._kept()
        fixed_ms, per_byte, other_ms = (float(weighted_quantiles(column, weights)[MEDIAN]) for column in columns)
        return fixed_ms, per_byte, other_ms

    def _kept(self) -> tuple[FloatArray, FloatArray]:
        kept = np.array(self._rows[1:][-_OLD_KEPT:] or self._rows).T
        return kept, 0.5 ** (np.arange(kept.shape[1] - 1, -1, -1) / _OLD_HALF_LIFE)


COMPARED: dict[str, Callable[[], Estimates]] = {"0.1.0": Linear, "now": NetworkEstimates}


class Awaited(NamedTuple):
    """What a request of each size [u] would come to: what its server sees of its sending, all on the network, and what
    the server takes beside the inference.
    """

    upload_ms: FloatArray
    network_ms: FloatArray
    other_ms: float

    @property
    def beside_ms(self) -> FloatArray:
        """[u]: all but the inference."""
        return self.network_ms + self.other_ms

    def in_time(self, sla_ms: float) -> BoolArray:
        """[u]: whether its answer would be there."""
        return self.beside_ms + INFER_MS <= sla_ms


class Stage(NamedTuple):
    """Where requests are made: their deadline, how many, and which of the places in the traces they begin at. whole:
    the server sees no sending.
    """

    network: TracedNetwork
    sla_ms: float
    requests: int
    start: int
    whole: bool = False


class Device:
    """A client on such a stage."""

    def __init__(self, stage: Stage, estimates: Estimates) -> None:
        self.estimates, self._sla_ms, self._whole = estimates, stage.sla_ms, stage.whole
        network = stage.network
        self._link, self._rng = SharedLink(network), np.random.default_rng(stage.start)
        self._at_ms = float(self._rng.uniform(0, network.up.period_ms))

    def ahead(self) -> Awaited:
        """What the next request would come to."""
        passed = self._link.foresee(self._at_ms, [int(size) + HEAD_BYTES for size in SIZES])
        first_ms, last_ms = np.array(passed).T
        other_ms = OTHER_MS * float(np.exp(OTHER_SPREAD * self._rng.normal()))
        leaves_ms = last_ms + other_ms + INFER_MS
        back_ms = leaves_ms + self._link.reply_ms(leaves_ms, REPLY_BYTES)
        return Awaited(last_ms - first_ms, back_ms - self._at_ms - INFER_MS - other_ms, other_ms)

    def send(self, chosen: int, awaited: Awaited) -> None:
        """Send one of that size, and learn from it."""
        size_bytes = int(SIZES[chosen])
        self._link.send(self._at_ms, size_bytes + HEAD_BYTES)
        if awaited.in_time(self._sla_ms)[chosen]:
            upload_ms = 0.0 if self._whole else float(awaited.upload_ms[chosen])
            network_ms = float(awaited.network_ms[chosen])
            self.estimates.add(NetworkSample(size_bytes, network_ms, upload_ms, awaited.other_ms))
            self._link.keep(self._at_ms + network_ms + awaited.other_ms + INFER_MS)
        else:
            self.estimates.add_late(size_bytes, self._sla_ms)
            self._link.give_up(self._at_ms + self._sla_ms)
        self._at_ms += max(EVERY_MS, self._sla_ms)


def foreseen(networks: dict[str, TracedNetwork], requests: int) -> Iterator[Row]:
    """Of each network, and what was sent: the scores."""
    for name, network in networks.items():
        for sent, whole in [*((sent, False) for sent in SENT), ("any", True)]:
            row: Row = {"network": name, "sent": sent + ", whole" * whole}
            stages = [
                Stage(network, sla_ms, requests, start, whole) for sla_ms in DEADLINES_MS for start in range(STARTS)
            ]
            for label, make in COMPARED.items():
                scored = [_scored(stage, SENT[sent], make()) for stage in stages]
                row |= {f"{what}, {label}": text for what, text in _scores(scored)}
            yield row


def _scored(stage: Stage, sent: Sequence[int], estimates: Estimates) -> tuple[FloatArray, BoolArray]:
    """The chance of each request, size and time [n, u, t], and whether it was within it."""
    device, rng, chances, came = Device(stage, estimates), np.random.default_rng(1), [], []
    for number in range(stage.requests):
        awaited = device.ahead()
        if number >= FIRST:
            chances.append(_chances(estimates.points_ms(SIZES), WITHIN_MS))
            came.append(awaited.beside_ms[:, None] <= WITHIN_MS)
        device.send(int(rng.choice(sent)), awaited)
    return np.array(chances), np.array(came)


def _scores(scored: Sequence[tuple[FloatArray, BoolArray]]) -> list[tuple[str, str]]:
    chance, came = (np.concatenate(parts) for parts in zip(*scored, strict=True))
    # One of 21 points cannot say more than so much.
    bounded = np.clip(chance, 0.5 / POINTS, 1 - 0.5 / POINTS)
    surprise = -float(np.log(np.where(came, bounded, 1 - bounded)).mean())
    return [("Brier", f"{100 * float(np.square(chance - came).mean()):.1f}"), ("surprise", f"{surprise:.3f}")]


def _chances(points_ms: FloatArray, within_ms: FloatArray) -> FloatArray:
    """[u, t]: the share of each size's points [u, 21] that are within each of these times [t]."""
    shares: FloatArray = (points_ms[:, None, :] <= within_ms[:, None]).mean(axis=-1)
    return shares


def chosen(networks: dict[str, TracedNetwork], requests: int) -> Iterator[Row]:
    """Of each network and deadline: the effective accuracy."""
    ways: dict[str, Callable[[], Rule]] = {f"{SIZES[size] / 1e3:.1f} kB": partial(Always, size) for size in FIXED}
    ways |= {label: partial(_promising, make) for label, make in COMPARED.items()}
    ways["1 in 20"] = partial(_promising, NetworkEstimates, EXPLORED)
    for name, network in networks.items():
        for sla_ms in DEADLINES_MS:
            stages = [Stage(network, sla_ms, requests, start) for start in range(STARTS)]
            row: Row = {"network": name, "deadline": f"{sla_ms:.0f}"}
            for label, way in ways.items():
                got, hindsight = np.mean([_worth(stage, way()) for stage in stages], axis=0)
                row[label] = f"{got:.3f}"
            yield row | {"hindsight": f"{hindsight:.3f}"}


def _promising(make: Callable[[], Estimates], explored: float = 0.0) -> Rule:
    return Rule(make(), explored)


class Rule:
    """What is sent is what promises most. explored: the share that is of any size."""

    def __init__(self, estimates: Estimates, explored: float = 0.0) -> None:
        self.estimates, self._explored, self._rng = estimates, explored, np.random.default_rng(2)

    def choose(self, within_ms: float) -> int:
        """The size, for a request that must be done so soon."""
        if self._rng.random() < self._explored:
            return int(self._rng.integers(len(SIZES)))
        chance = _chances(self.estimates.points_ms(SIZES), np.array([within_ms]))[:, 0]
        return int((chance * (TOP1 - DEVICE_TOP1)).argmax())


class Always(Rule):
    """The same size every time."""

    def __init__(self, size: int) -> None:
        super().__init__(Linear())
        self._size = size

    def choose(self, within_ms: float) -> int:
        """See Rule."""
        return self._size


def _worth(stage: Stage, rule: Rule) -> tuple[float, float]:
    """The effective accuracy of a rule, and of the best size for each of its requests."""
    device, got, best = Device(stage, rule.estimates), 0.0, 0.0
    for _ in range(stage.requests):
        awaited, size = device.ahead(), rule.choose(stage.sla_ms - INFER_MS)
        worth = np.where(awaited.in_time(stage.sla_ms), TOP1, DEVICE_TOP1)
        got, best = got + float(worth[size]), best + float(worth.max())
        device.send(size, awaited)
    return got / stage.requests, best / stage.requests


def quarter(networks: dict[str, TracedNetwork], requests: int) -> Iterator[Row]:
    """Of links with a steady rate, and either change: how many requests it takes. The networks are not used."""
    for mbps in CHANGES_MBPS:
        row: Row = {"Mbit/s": f"{mbps:g}"}
        for label, make in COMPARED.items():
            rng, estimates = np.random.default_rng(3), make()
            for part, rate in (("", mbps), ("fallen", mbps / 4), ("back", mbps)):
                followed = _followed(estimates, 8 / (rate * 1e3), rng)
                if part:
                    row[f"{part}, {label}"] = f"{followed}" if followed < AFTER else f"not in {AFTER}"
        yield row


def _followed(estimates: Estimates, ms_per_byte: float, rng: np.random.Generator) -> int:
    """After how many requests the median stays near the truth; all are in time."""
    near = []
    for size in rng.integers(2_000, 10_000, AFTER).tolist():
        fixed_ms = RTT_MS + ms_per_byte * (1_500 - HEAD_BYTES) + float(rng.uniform(0, 5))
        upload_ms = ms_per_byte * (size - 1_500 + HEAD_BYTES)
        estimates.add(NetworkSample(size, fixed_ms + upload_ms, upload_ms, OTHER_MS))
        truth_ms = RTT_MS + ms_per_byte * ASKED + OTHER_MS
        found_ms = float(estimates.points_ms(np.array([float(ASKED)]))[0, MEDIAN])
        near.append(abs(found_ms / truth_ms - 1) <= WITHIN)
    return AFTER - next((i for i, yes in enumerate(reversed(near)) if not yes), AFTER)


def cost(networks: dict[str, TracedNetwork], requests: int) -> Iterator[Row]:
    """The fastest of many runs, µs. The networks are not used."""
    sizes, sample = np.linspace(2e3, 2e4, 12), NetworkSample(5_000, 80.0, 10.0, 2.0)
    for label, make in COMPARED.items():
        estimates = make()

        def learned(estimates: Estimates = estimates) -> None:
            estimates.add(sample)

        def both(estimates: Estimates = estimates) -> None:
            estimates.add(sample)
            estimates.points_ms(sizes)

        for _ in range(_OLD_KEPT):
            learned()
        adding, all_of_it = (1e6 * min(timeit.repeat(run, number=20, repeat=100)) / 20 for run in (learned, both))
        yield {"": label, "learning": f"{adding:.0f} µs", "and 12 sizes": f"{all_of_it:.0f} µs"}


PARTS: dict[str, Callable[[dict[str, TracedNetwork], int], Iterator[Row]]] = {
    "foreseen": foreseen, "chosen": chosen, "quarter": quarter, "cost": cost,
}  # fmt: skip


def traced(name: str) -> TracedNetwork:
    """The network of a trace."""
    found = legs.find(f"trace:{name},rtt={RTT_MS:g}")
    assert isinstance(found, TracedNetwork)
    return found


def main() -> None:
    """Run the parts that are asked for and print their tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("traces", nargs="*", metavar="TRACE")
    parser.add_argument("--requests", type=int, default=100)
    parser.add_argument("--only", default=",".join(PARTS), help=f"of {','.join(PARTS)}")
    arguments = parser.parse_args()
    networks = {name.rpartition("/")[2]: traced(name) for name in arguments.traces or NETWORKS}
    for part in arguments.only.split(","):
        print(f"\n{part}")
        print(console.table(list(PARTS[part](networks, arguments.requests))))


if __name__ == "__main__":
    main()
