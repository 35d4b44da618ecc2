"""How many replicas: by the price of a worker's time, beside Ray's rule of the queue's length.

    python benchmarks/scaling.py [--minutes 12] [--jobs 2] [--figure docs/scaling.png]

What the endpoint does is its own code, on a simulated clock (`replicas.py`): four MobileNets, Poisson arrivals, the
same for each rule. step: half a minute of 20 requests a second, two of 200, two and a half of 20 again. even: 75 a
second, which one replica can just do with the best model. day: a day's course from 15 to 280 a second, squeezed into
--minutes, so that it rises and falls much faster than a day does. All with bounds of 1..4 and starts of 8 s.

price: `ondevice.cloud.ray.scaling`, told by each replica every two seconds. queue: Ray's own rule as it is, two
requests under way for each replica, means of 30 s, up after 30 s and down after 600. quick: the same with means of
4 s, up after one, and down after as long as `price` keeps a replica. one, four: so many all the time.

right: of all requests the share that is answered right and in time. refused: at once, or later. late: answered, but
too late. replica_s: seconds of replicas, from when each is asked for until it goes. starts: after the first.
"""

from __future__ import annotations

import argparse
import math
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
from replicas import CLOCK, Outcome, Worker, on_the_clock

from ondevice.cli import console
from ondevice.cloud.ray.scaling import WORTH, Fleet, ReplicaReport, ScalingRules, ScalingState, wanted
from ondevice.models import files
from ondevice.timing.arrays import FloatArray

RULES, START_S = ScalingRules(1, 4), 8.0
# How often a rule is asked, how often replicas report, s.
LOOK_S, REPORT_S = 0.5, 2.0
# For how long `price` keeps a replica that is not needed.
KEEP_S = ScalingState(0.0).keep_s(WORTH)


class Rule(Protocol):
    """Says how many replicas there are to be."""

    def __call__(self, fleet: SimulatedFleet) -> int:
        """Now, as `CLOCK` has it."""


class PriceRule:
    """Ours, told what replicas report."""

    def __init__(self, worth: float = WORTH) -> None:
        self._rules = ScalingRules(RULES.least, RULES.most, worth)
        self._state: ScalingState | None = None
        self._reports: dict[str, ReplicaReport] = {}
        self._next = 0.0

    def __call__(self, fleet: SimulatedFleet) -> int:
        """By the newest reports."""
        if CLOCK.now >= self._next:
            self._reports = {name: report(worker) for name, worker in fleet.serving.items()}
            self._next = CLOCK.now + REPORT_S
        there = Fleet(CLOCK.now, frozenset(fleet.serving), fleet.target, self._reports)
        count, self._state = wanted(self._state, there, self._rules)
        return count


def report(worker: Worker) -> ReplicaReport:
    """What a replica with this worker says of itself now."""
    sums = worker.selector.expectations.traffic
    return ReplicaReport(CLOCK.now, sums.admitted, sums.crowded_out, sums.price, sums.worked_s)


class QueueRule:
    """Ray's `replica_queue_length_autoscaling_policy` with its delays, as ray 2.60 has them. Times in s."""

    def __init__(self, mean_s: float = 30.0, up_s: float = 30.0, down_s: float = 600.0, each: float = 2.0) -> None:
        self._up_s, self._down_s, self._each = up_s, down_s, each
        self._seen: deque[int] = deque(maxlen=int(mean_s / LOOK_S))
        self._since, self._up = math.inf, False

    def __call__(self, fleet: SimulatedFleet) -> int:
        """By the mean of the requests under way."""
        self._seen.append(sum(worker.under_way for worker in fleet.serving.values()))
        desired = max(math.ceil(sum(self._seen) / len(self._seen) / self._each), 1)
        if desired == fleet.target or (desired > fleet.target) != self._up:
            self._since = CLOCK.now
        self._up = desired > fleet.target
        late = CLOCK.now - self._since >= (self._up_s if self._up else self._down_s)
        return RULES.within(desired if late else fleet.target)


@dataclass
class Counts:
    """What came of the requests of one stretch of time."""

    requests: int = 0
    refused: int = 0
    late: int = 0
    right: float = 0.0


@dataclass
class SimulatedFleet:
    """Replicas, those that serve and those that are being started. done: by the second, what came of requests.

    history: when, how many were to be, and how many served.
    """

    target: int
    sla_ms: float
    serving: dict[str, Worker] = field(default_factory=dict)
    starting: dict[str, float] = field(default_factory=dict)
    leaving: list[Worker] = field(default_factory=list)
    done: dict[int, Counts] = field(default_factory=dict)
    history: list[tuple[float, int, int]] = field(default_factory=list)
    replica_s: float = 0.0
    started: int = 0

    def __post_init__(self) -> None:
        for _ in range(self.target):
            self._join(f"first{len(self.serving)}")

    def at(self, second: float) -> Counts:
        """What came of the requests of this second."""
        return self.done.setdefault(int(second), Counts())

    def ask(self) -> None:
        """A request comes now, to the replica with the fewest."""
        now = CLOCK.now
        for worker in self.serving.values():
            worker.work_until(now)
        counts = self.at(now)
        counts.requests += 1
        if not min(self.serving.values(), key=lambda worker: worker.under_way).ask(self.sla_ms):
            counts.refused += 1

    def come_to(self, target: int) -> None:
        """There are to be so many from now on; those that were started in time serve."""
        now = CLOCK.now
        for name in [name for name, at in self.starting.items() if at <= now]:
            del self.starting[name]
            self._join(name)
        for _ in range(target - self.target):
            self.started += 1
            self.starting[f"r{self.started}"] = now + START_S
        for _ in range(self.target - target):
            if self.starting:
                self.starting.popitem()
            else:
                self.leaving.append(self.serving.popitem()[1])
        self.target = target
        self.replica_s += target * LOOK_S
        self.history.append((now, target, len(self.serving)))

    def finish(self) -> None:
        """Do what is left."""
        for worker in (*self.serving.values(), *self.leaving):
            worker.work_until(math.inf)

    def _join(self, name: str) -> None:
        self.serving[name] = Worker(len(self.done) + len(self.serving), self._told)

    def _told(self, came: float, outcome: Outcome) -> None:
        counts = self.at(came)
        counts.refused += outcome.refused
        counts.late += outcome.late
        counts.right += 0.0 if outcome.late else outcome.top1


class Course(NamedTuple):
    """What comes: requests a second, at each second, and their deadline."""

    name: str
    sla_ms: float
    rates: FloatArray

    def arrivals(self, seed: int = 0) -> FloatArray:
        """When, s: Poisson, with the rate of the second."""
        rng = np.random.default_rng(seed)
        counts = rng.poisson(self.rates)
        seconds = np.repeat(np.arange(len(counts)), counts)
        times: FloatArray = np.sort(seconds + rng.random(len(seconds)))
        return times

    @property
    def title(self) -> str:
        """Its name, and its deadline."""
        return f"{self.name}, {self.sla_ms:g} ms"


def courses(minutes: float) -> list[Course]:
    """All that are run; the day in so many minutes."""
    step = np.repeat([20.0, 200.0, 20.0], [30, 120, 150])
    steps = [Course("step", sla_ms, step) for sla_ms in (25.0, 100.0, 1000.0)]
    return [*steps, *(Course("even", sla_ms, np.full(180, 75.0)) for sla_ms in (25.0, 1000.0)), day(minutes)]


def day(minutes: float) -> Course:
    """A night, a noon and a higher evening."""
    hour = np.linspace(0, 24, int(60 * minutes), endpoint=False)
    noon, evening = (np.exp(-(((hour - at) / wide) ** 2)) for at, wide in ((12.5, 3.0), (20.0, 2.0)))
    return Course("day", 100.0, 15 + 265 * np.maximum(0.7 * noon, evening))


def so_many(count: int) -> Rule:
    """Always."""
    return lambda fleet: count


RULES_BY_NAME: Mapping[str, Callable[[], Rule]] = {
    "price": PriceRule,
    "queue": QueueRule,
    "quick": partial(QueueRule, mean_s=4.0, up_s=1.0, down_s=KEEP_S),
    "one": partial(so_many, RULES.least),
    "four": partial(so_many, RULES.most),
}
# What the figure shows: rules in their colours, and courses.
DRAWN = {"price": "tab:blue", "queue": "tab:orange", "quick": "tab:green"}
SHOWN = ("step, 25 ms", "step, 1000 ms", "even, 1000 ms")
# A point of the figure is the mean of so many seconds.
BIN_S = 5


def run(course: Course, name: str) -> SimulatedFleet:
    """All requests of a course by a rule."""
    rule = RULES_BY_NAME[name]()
    with on_the_clock():
        fleet, due = SimulatedFleet(RULES.most if name == "four" else RULES.least, course.sla_ms), 0.0
        for at in course.arrivals().tolist():
            while due <= at:
                CLOCK.now = due
                fleet.come_to(rule(fleet))
                due += LOOK_S
            CLOCK.now = at
            fleet.ask()
        fleet.finish()
    return fleet


class Result(NamedTuple):
    """What came of a course by a rule: the table's line, and for the figure by seconds what came of the requests."""

    course: Course
    rule: str
    row: dict[str, Any]
    done: dict[int, Counts]
    history: list[tuple[float, int, int]]


def result(case: tuple[Course, str]) -> Result:
    """Of one case."""
    course, name = case
    fleet = run(course, name)
    counts = list(fleet.done.values())
    requests, refused = sum(c.requests for c in counts), sum(c.refused for c in counts)
    row = {
        "course": course.title, "rule": name, "requests": requests, "right": sum(c.right for c in counts) / requests,
        "refused": refused / requests, "late": sum(c.late for c in counts) / max(requests - refused, 1),
        "replica_s": round(fleet.replica_s), "starts": fleet.started,
    }  # fmt: skip
    return Result(course, name, row, fleet.done, fleet.history)


def plot(results: Sequence[Result], path: Path) -> None:
    """What comes, how many replicas there are to be, and what is right and in time: a column a course."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(3, len(SHOWN), figsize=(3.1 * len(SHOWN), 6.2), sharex="col", layout="constrained")
    for column, title in zip(axes.T, SHOWN, strict=True):
        of_it = [r for r in results if r.course.title == title and r.rule in DRAWN]
        column[0].plot(of_it[0].course.rates, color="0.3")
        column[0].set(title=title, ylim=(0, 300))
        for one in of_it:
            _draw(column, one)
        column[1].set(ylim=(0, RULES.most + 0.3))
        column[2].set(ylim=(0.3, 0.75), xlabel="s")
    for axis, label in zip(axes[:, 0], ("requests a second", "replicas", "right and in time"), strict=True):
        axis.set_ylabel(label)
    figure.legend(*axes[1, 0].get_legend_handles_labels(), loc="outside upper center", ncols=len(DRAWN))
    with files.replacing(path) as out:
        figure.savefig(out, format=path.suffix[1:].lower(), dpi=100)
    plt.close(figure)


def _draw(column: Any, one: Result) -> None:
    at, target, _ = zip(*one.history, strict=True)
    # Drawn beside each other where they are the same.
    beside = 0.06 * list(DRAWN).index(one.rule)
    column[1].step(at, np.array(target) + beside, where="post", color=DRAWN[one.rule], label=one.rule)
    bins: dict[int, list[Counts]] = {}
    for second, counts in one.done.items():
        bins.setdefault(second // BIN_S, []).append(counts)
    share = {place: sum(c.right for c in of) / sum(c.requests for c in of) for place, of in sorted(bins.items())}
    column[2].plot([BIN_S * (place + 0.5) for place in share], list(share.values()), color=DRAWN[one.rule], lw=1)


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=12.0)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--figure", type=Path)
    arguments = parser.parse_args()
    cases = [(course, rule) for course in courses(arguments.minutes) for rule in RULES_BY_NAME]
    with ProcessPoolExecutor(arguments.jobs) as jobs:
        results = list(jobs.map(result, cases))
    print(console.table([r.row for r in results], ".3f"))
    if arguments.figure:
        plot(results, arguments.figure)


if __name__ == "__main__":
    main()
