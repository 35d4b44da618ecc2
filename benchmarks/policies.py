"""How much of what a clairvoyant choice would gain do policies gain that learn the network as they go?

    python benchmarks/policies.py DATA [--requests 10000] [--bytes 20000] [--only grid,worst,change,drift,cost]

DATA has profiles/cnnselect_zoo.csv (the authors' models on their GPU server; without MobileNets V1 for small pictures)
and traces/. The device's answer, right in 41.4 %, stands in where none is in time. Ten drawn networks (five, with legs
that are independent or correlated) and three traces, at six deadlines each; every stream of requests begins with
nothing known, and a reply's time is learned once it has come. `published` is the best of the published rules in each
cell by itself; `closed` is the share of the gap from it to the oracle, summed over the cells; `x` is server time as a
multiple of that of `mdinference`. Intervals: 95 %, by bootstrap over blocks of 100 requests.

grid: by network, and in total. worst: the cells where `effective` does worst against the best published rule, and
where pairs cost most. change: what `effective` loses right after the network changed, against knowing its distribution.
drift: the same after the models' times changed, against knowing them. cost: of a decision, on this machine.
"""

from __future__ import annotations

import argparse
import timeit
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from streams import CORRELATIONS, DEVICE_TOP1, Stream, drawn, learned, lognormal, streams, zoo

from ondevice.cli import console
from ondevice.selection import policies
from ondevice.selection.anytime import Chains, choose
from ondevice.selection.policies import effective
from ondevice.selection.problem import Models, Requests
from ondevice.selection.replies import Replies
from ondevice.timing.arrays import FloatArray, IndexArray
from ondevice.timing.distribution import Distribution
from ondevice.timing.quantiles import LEVELS, normal
from ondevice.timing.recent import Recent

DEADLINES_MS = (100.0, 150.0, 200.0, 250.0, 300.0, 400.0)
PUBLISHED = (
    "static-latency", "static-accuracy", "greedy", "budget-random", "budget-weighted", "mdinference", "cnnselect",
    "cnnselect:reading=sigma", "layercake",
)  # fmt: skip
BLOCK, RESAMPLES = 100, 2000
CHANGES, EACH = 40, 500
# A model that has not run for so many requests is measured anew, so often.
STALE, RUNS = 200, 3

Row = dict[str, Any]


class Result(NamedTuple):
    """One policy in one cell: the accuracy of the answer that counts, and the server time, of each request [n]."""

    top1: FloatArray
    server_ms: FloatArray


def single(models: Models, stream: Stream, total_ms: FloatArray, sla_ms: float, model: IndexArray) -> Result:
    """With one model [n] for each request."""
    row = np.arange(len(model))
    on_time = total_ms[row, model] <= sla_ms
    return Result(np.where(on_time, models.top1[model], DEVICE_TOP1), stream.infer_ms[row, model])


def anytime(models: Models, stream: Stream, requests: Requests, chains: Chains) -> Result:
    """With a set of models for each; one after the other, none is begun after the deadline."""
    members = chains.members[choose(models, requests, chains)]
    row = np.arange(len(members))
    top1, server_ms, free_ms = np.full(len(row), DEVICE_TOP1), np.zeros(len(row)), np.zeros(len(row))
    for model in members.T:
        runs = (model >= 0) & (stream.upload_ms + free_ms < requests.sla_ms)
        took_ms = stream.infer_ms[row, model]
        ready_ms = free_ms + took_ms
        in_time = runs & (stream.upload_ms + ready_ms + stream.reply(ready_ms) <= requests.sla_ms)
        top1 = np.where(in_time, np.maximum(top1, models.top1[model]), top1)
        server_ms += np.where(runs, took_ms, 0)
        free_ms = free_ms if chains.side_by_side else np.where(runs, ready_ms, free_ms)
    return Result(top1, server_ms)


def cell(models: Models, stream: Stream, sla_ms: float, points_ms: FloatArray) -> dict[str, Result]:
    """What each policy gives."""
    total_ms, rng = stream.total_ms(), np.random.default_rng(0)
    requests = stream.requests(sla_ms, points_ms)
    one: Callable[[FloatArray], Result] = lambda p: single(models, stream, total_ms, sla_ms, policies.draw(p, rng))  # noqa: E731
    published = {text: one(policies.find(text)(models, requests)) for text in PUBLISHED}
    best = max(published, key=lambda text: float(published[text].top1.mean()))
    return {
        "mdinference": published["mdinference"],
        "published": published[best],
        "effective": one(effective(models, requests)),
        "in turn": anytime(models, stream, requests, Chains.of(models, side_by_side=False)),
        "pairs": anytime(models, stream, requests, Chains.of(models)),
        "threes": anytime(models, stream, requests, Chains.of(models, 3)),
        "oracle": one(policies.oracle(models, requests, total_ms)),
    }


Cells = dict[tuple[str, str, float], dict[str, Result]]


def cells(arguments: argparse.Namespace) -> Cells:
    """All of them, by group, stream and deadline; worked out once."""
    return _cells(arguments.data, arguments.requests, arguments.bytes)


@cache
def _cells(data: Path, requests: int, size_bytes: int) -> Cells:
    models = zoo(data)
    found: Cells = {}
    for group, stream in streams(models, data, requests, size_bytes):
        points_ms = cache(partial(learned, models, stream))
        for sla_ms in DEADLINES_MS:
            # On a drawn network the reply does not depend on what was chosen, nor on the deadline.
            points = points_ms(sla_ms if group == "traces" else DEADLINES_MS[0])
            found[group, stream.name, sla_ms] = cell(models, stream, sla_ms, points)
    return found


def blocks(values: FloatArray) -> FloatArray:
    """The means of blocks of requests."""
    means: FloatArray = values[: len(values) // BLOCK * BLOCK].reshape(-1, BLOCK).mean(axis=1)
    return means


def closed(chosen: list[dict[str, Result]], policy: str, rng: np.random.Generator) -> str:
    """The share of the gap, summed over cells, with its interval. A block is resampled in all cells at once."""
    gain, gap = (
        np.sum([blocks(results[name].top1 - results["published"].top1) for results in chosen], axis=0)
        for name in (policy, "oracle")
    )
    if gap.sum() <= 0:
        return "no gap"
    picked = rng.integers(len(gain), size=(RESAMPLES, len(gain)))
    low, high = np.quantile(gain[picked].sum(axis=1) / gap[picked].sum(axis=1), [0.025, 0.975])
    return f"{gain.sum() / gap.sum():.3f} ({low:.3f} to {high:.3f})"


def summary(name: str, chosen: list[dict[str, Result]], rng: np.random.Generator) -> Row:
    """A row of the grid's table."""
    percent = {key: float(np.mean([100 * results[key].top1.mean() for results in chosen])) for key in chosen[0]}
    server_ms = {key: float(np.mean([results[key].server_ms.mean() for results in chosen])) for key in chosen[0]}
    row: Row = {"network": name} | {k: f"{percent[k]:.2f}" for k in ("published", "effective", "pairs", "oracle")}
    for policy in ("effective", "in turn", "pairs", "threes"):
        row[f"closed by {policy}"] = closed(chosen, policy, rng)
        row[f"x {policy}"] = f"{server_ms[policy] / server_ms['mdinference']:.2f}"
    return row


def grid(arguments: argparse.Namespace) -> Iterator[Row]:
    """By network and in total."""
    found, rng = cells(arguments), np.random.default_rng(0)
    for name in dict.fromkeys(name for _, name, _ in found):
        yield summary(name, [results for key, results in found.items() if key[1] == name], rng)
    for title, groups in {
        "independent": ["independent"],
        "correlated": ["correlated"],
        "all drawn networks": ["independent", "correlated"],
        "all traces": ["traces"],
    }.items():
        yield summary(title, [results for key, results in found.items() if key[0] in groups], rng)


def worst(arguments: argparse.Namespace) -> Iterator[Row]:
    """The five cells with the least gain, paired by request, and the five where pairs take most server time."""
    rows = []
    for (_, name, sla_ms), results in cells(arguments).items():
        row: Row = {"network": name, "sla_ms": sla_ms}
        for policy in ("effective", "in turn", "pairs"):
            gain = 100 * (results[policy].top1 - results["published"].top1)
            row |= {policy: float(gain.mean()), f"± {policy}": float(1.96 * gain.std() / len(gain) ** 0.5)}
        server_ms = [float(results[name].server_ms.mean()) for name in ("pairs", "mdinference")]
        rows.append(row | {"x pairs": server_ms[0] / server_ms[1]})
    yield from sorted(rows, key=lambda row: float(row["effective"]))[:5]
    yield from sorted(rows, key=lambda row: -float(row["x pairs"]))[:5]


def change(arguments: argparse.Namespace) -> Iterator[Row]:
    """Legs of 46 ± 24 ms that double, halve, and halve and double again, every 500 requests; points of accuracy."""
    models = zoo(arguments.data)
    factors = [1, 2, 1, 0.5] * (CHANGES // 4)
    for correlation in CORRELATIONS:
        stream = drawn(models, [lognormal(46 * f, 24 * f) for f in factors], correlation, EACH, 7)
        total_ms, points_ms = stream.total_ms(), learned(models, stream, 200)
        factor = np.repeat(np.array(factors), EACH)
        known_ms = _known(stream.upload_ms / factor, correlation) * factor[:, None]
        lost: dict[str, list[FloatArray]] = {}
        for sla_ms in DEADLINES_MS[:4]:
            top1 = [
                single(models, stream, total_ms, sla_ms, effective(models, stream.requests(sla_ms, p)).argmax(axis=1))[
                    0
                ]
                for p in (known_ms, points_ms)
            ]
            by_place = (100 * (top1[0] - top1[1])).reshape(CHANGES, EACH)[1:]
            slower = np.diff(factors) > 0
            for name, which in (("slower", slower), ("faster", ~slower)):
                lost.setdefault(name, []).append(by_place[which])
        for name, parts in lost.items():
            yield {"network": f"twice as {name}", "correlation": correlation} | _by_place(np.mean(parts, axis=0))


def _known(upload_ms: FloatArray, correlation: float) -> FloatArray:
    """Points [n, 41] of the reply on legs of 46 ± 24 ms, its distribution and the upload being known."""
    variance = np.log(1 + (24 / 46) ** 2)
    z = (np.log(upload_ms / 46) + variance / 2) / variance**0.5
    points = normal((np.arange(41) + 0.5) / 41)
    return lognormal(46, 24)(correlation * z[:, None] + (1 - correlation**2) ** 0.5 * points)


def _by_place(lost: FloatArray) -> Row:
    """What was lost [changes, requests since], in stretches, with the interval over the changes."""
    row: Row = {}
    for begin, end in ((0, 20), (20, 50), (50, 100), (100, 200), (200, EACH)):
        means = lost[:, begin:end].mean(axis=1)
        row[f"{begin} to {end}"] = f"{means.mean():.2f} ± {1.96 * means.std(ddof=1) / len(means) ** 0.5:.2f}"
    return row


class Times:
    """What is known of the models' times while they are used. stale: after how many requests one is measured anew."""

    def __init__(self, models: Models, learning: bool, stale: int) -> None:
        self._models, self._learning, self._stale = models, learning, stale
        rows = zip(models.mean_ms.tolist(), models.std_ms.tolist(), models.quantiles_ms, strict=True)
        self._recent = [Recent.seeded(Distribution(*row), len(LEVELS)) for row in rows]
        self._ran = [0] * len(models)
        self.extra_ms = 0.0

    def models(self, i: int, now_ms: FloatArray) -> Models:
        """For request i, when the models' runs take now_ms [m]."""
        for model, ran in enumerate(self._ran):
            if self._learning and i - ran > self._stale:
                self._recent[model].renew([float(now_ms[model])] * RUNS)
                self.extra_ms += RUNS * float(now_ms[model])
                self._learned(i, model)
        return self._models

    def add(self, i: int, model: int, ms: float) -> None:
        """Request i took so long."""
        if self._learning:
            self._recent[model].add(ms)
            self._learned(i, model)

    def _learned(self, i: int, model: int) -> None:
        self._ran[model] = i
        self._models = self._models.learned(model, self._recent[model].distribution)


def drift(arguments: argparse.Namespace) -> Iterator[Row]:
    """The server is slower in the middle third; points of accuracy lost against knowing the models' times."""
    models, n = zoo(arguments.data), 6000
    best = np.arange(len(models)) == models.top1.argmax()
    slower = {"all take half as long again": np.full(len(models), 1.5), "the best takes 1.3 times": 1 + 0.3 * best}
    middle = (np.arange(n) // (n // 3) == 1)[:, None]
    stream = drawn(models, [lognormal(46, 24)], 0.0, n, 11)
    points_ms = learned(models, stream, 200)
    for name, factors in slower.items():
        changed = replace(stream, infer_ms=stream.infer_ms * np.where(middle, factors, 1.0))
        slow = replace(
            models, mean_ms=models.mean_ms * factors, std_ms=models.std_ms * factors,
            quantiles_ms=models.quantiles_ms * factors[:, None],
        )  # fmt: skip
        for title, (learning, stale) in {
            "as measured at first": (False, n),
            "learned from use": (True, n),
            f"and anew after {STALE} without": (True, STALE),
        }.items():
            lost, extra_ms = [], 0.0
            for sla_ms in DEADLINES_MS[1:4]:
                requests, total_ms = changed.requests(sla_ms, points_ms), changed.total_ms()
                knowing = np.where(middle, effective(slow, requests), effective(models, requests)).argmax(axis=1)
                times = Times(models, learning, stale)
                model = _one_by_one(changed, requests, times)
                extra_ms += times.extra_ms
                top1 = [single(models, changed, total_ms, sla_ms, m).top1 for m in (knowing, model)]
                lost.append(100 * (top1[0] - top1[1]).reshape(3, -1))
            row: Row = {"server": name, "times": title}
            for third, part in zip(("before", "slow", "after"), np.mean(lost, axis=0), strict=True):
                row[third] = f"{part.mean():.2f} ± {1.96 * part.std() / len(part) ** 0.5:.2f}"
            yield row | {"extra ms": extra_ms / len(lost) / n}


def _one_by_one(stream: Stream, requests: Requests, times: Times) -> IndexArray:
    """The choice [n] of `effective`, each model's time being learned from what was chosen before."""
    chosen = np.empty(len(requests), np.intp)
    reply_ms = requests.reply_ms
    assert reply_ms is not None
    for i, (sla_ms, upload_ms) in enumerate(zip(requests.sla_ms.tolist(), requests.upload_ms.tolist(), strict=True)):
        request = Requests.one(sla_ms, upload_ms, device_top1=DEVICE_TOP1, reply_ms=reply_ms[i])
        chosen[i] = model = int(effective(times.models(i, stream.infer_ms[i]), request)[0].argmax())
        times.add(i, model, float(stream.infer_ms[i, model]))
    return chosen


def cost(arguments: argparse.Namespace) -> Iterator[Row]:
    """Microseconds."""
    models, replies = zoo(arguments.data), Replies()
    pairs = np.random.default_rng(0).lognormal(4, 0.5, (200, 2)).tolist()
    for pair in pairs:
        replies.add(*pair)
    request = Requests.one(200, 50, device_top1=DEVICE_TOP1, reply_ms=replies.points_ms(50))
    again = iter(pairs * 10_000)

    def learn() -> None:
        replies.add(*next(again))
        replies.points_ms(50)

    rules: Mapping[str, Callable[[], object]] = {
        "learn a reply and foresee the next": learn,
        "foresee another": lambda: replies.points_ms(50),
        "mdinference": lambda: policies.mdinference(models, request),
        "effective": lambda: effective(models, request),
        "anytime, pairs": partial(choose, models, request, Chains.of(models)),
        "anytime, threes": partial(choose, models, request, Chains.of(models, 3)),
        "anytime, pairs in turn": partial(choose, models, request, Chains.of(models, side_by_side=False)),
    }
    for name, run in rules.items():
        yield {"what": name, "us": min(timeit.repeat(run, number=1000, repeat=7)) * 1e3}


PARTS: dict[str, Callable[[argparse.Namespace], Iterable[Row]]] = {
    "grid": grid, "worst": worst, "change": change, "drift": drift, "cost": cost
}  # fmt: skip


def main() -> None:
    """Print the tables of the parts that are asked for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--requests", type=int, default=10_000, help="for each network")
    parser.add_argument("--bytes", type=int, default=20_000, help="of a picture, on the traces")
    parser.add_argument("--only", default=",".join(PARTS), help=f"of {','.join(PARTS)}")
    arguments = parser.parse_args()
    for part in arguments.only.split(","):
        print(f"{part}: {PARTS[part].__doc__}\n\n{console.table(list(PARTS[part](arguments)), '.2f')}\n", flush=True)


if __name__ == "__main__":
    main()
