"""Two versions of ondevice in turn: this environment's, and that of another Python (`--against PYTHON`).

Every round starts new processes for both sides, for what a process gets by chance (addresses, hash seeds, cores) stays
with it for life; in a round the sides take turns, A B B A, and each gives the median of its times. The ratio is the
geometric mean of the rounds' ratios; its 95 % interval is Student's, of their logarithms.
"""

from __future__ import annotations

import json
import math
import os
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from statistics import NormalDist
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import NamedTuple, TypeVar

# Below it Student's quantile is so wide that no difference can be seen, and the formula for it is not exact enough.
FEWEST_ROUNDS = 5
_WHO = "import ondevice, json, os; print(json.dumps([ondevice.__version__, os.path.realpath(ondevice.__file__)]))"

Item = TypeVar("Item")
Timing = TypeVar("Timing")


class Side(NamedTuple):
    """A version: its Python, the environment variables for it, and what it says of itself."""

    python: str
    environment: dict[str, str]
    version: str
    file: str

    def command(self, *arguments: str) -> list[str]:
        """The installed command; `-P` and PYTHONSAFEPATH keep the working folder out of what is imported."""
        return [str(Path(self.python).with_name("ondevice")), *arguments]


class Compared(NamedTuple):
    """One figure: the medians of each round, ours and theirs, in ms."""

    name: str
    rounds: Sequence[tuple[float, float]]

    def record(self) -> dict[str, object]:
        """As a line of the table."""
        ours, theirs = (statistics.median(side) for side in zip(*self.rounds, strict=True))
        ratio, low, high = interval([a / b for a, b in self.rounds])
        verdict = "slower" if low > 1 else "faster" if high < 1 else "no difference shown"
        return {
            "new / old": self.name, "new_ms": f"{ours:.3f}", "old_ms": f"{theirs:.3f}", "ratio": f"{ratio:.3f}",
            "95 %": f"{low:.3f} to {high:.3f}", "verdict": verdict,
        }  # fmt: skip


def difference(new: Sequence[float], old: Sequence[float]) -> tuple[float, float, float]:
    """The mean difference of the rounds' figures, and Student's 95 % interval for it: (mean, low, high)."""
    each = [a - b for a, b in zip(new, old, strict=True)]
    mean = statistics.fmean(each)
    half = student(len(each) - 1) * statistics.stdev(each) / math.sqrt(len(each))
    return mean, mean - half, mean + half


def share_difference(new: Sequence[bool], old: Sequence[bool]) -> tuple[float, float, float]:
    """By how much more often something is so, of items that both sides did, and the 95 % interval: (share, low, high).

    Bonett and Price's interval (2012) for paired shares: McNemar's comparison with an item more of each outcome, which
    holds for few differing items, too; 0 of 100 against 5 shows no difference, against 6 one, as in the exact test.
    """
    gained, lost = (sum(a and not b for a, b in zip(*both, strict=True)) for both in ((new, old), (old, new)))
    more, less = (gained + 1) / (len(new) + 2), (lost + 1) / (len(new) + 2)
    half = NormalDist().inv_cdf(0.975) * math.sqrt((more + less - (more - less) ** 2) / (len(new) + 2))
    return (gained - lost) / len(new), more - less - half, more - less + half


def interval(ratios: Sequence[float]) -> tuple[float, float, float]:
    """The geometric mean of ratios, and the 95 % interval for it: (mean, low, high)."""
    logs = [math.log(ratio) for ratio in ratios]
    mean = statistics.fmean(logs)
    half = student(len(logs) - 1) * statistics.stdev(logs) / math.sqrt(len(logs))
    return math.exp(mean), math.exp(mean - half), math.exp(mean + half)


def student(freedom: int) -> float:
    """Student's 97.5 % quantile, by its expansion around the normal one (Abramowitz and Stegun 26.7.5).

    Within 0.3 % from 4 degrees of freedom on.
    """
    z = NormalDist().inv_cdf(0.975)
    terms = (
        z,
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
    )
    return sum(term / freedom**power for power, term in enumerate(terms))


def sides(against: str) -> tuple[Side, Side]:
    """This environment and the other; ends the program where they are not two."""
    ours = _side(sys.executable, dict(os.environ))
    # What leads this environment's Python to a checkout would lead the other there, too.
    theirs = _side(against, {name: value for name, value in os.environ.items() if name != "PYTHONPATH"})
    if ours.file == theirs.file:
        sys.exit(f"--against {against}: both sides would run {ours.file}")
    return ours, theirs


def named(against: str | None) -> dict[str, Side | None]:
    """What is shown, by the name of its rows: this environment as it is, or both sides where there is another."""
    return dict(zip(("new", "old"), sides(against), strict=True)) if against else {"new": None}


def _side(python: str, environment: dict[str, str]) -> Side:
    # A checkout in an environment that writes no bytecode would compile at every start, an installed package never.
    environment = {k: v for k, v in environment.items() if k != "PYTHONDONTWRITEBYTECODE"} | {"PYTHONSAFEPATH": "1"}
    try:
        done = subprocess.run([python, "-c", _WHO], capture_output=True, text=True, check=False, env=environment)
    except OSError as error:
        sys.exit(f"--against {python}: {error.strerror}")
    if done.returncode:
        sys.exit(f"--against {python}: it has no ondevice: {done.stderr.strip().splitlines()[-1]}")
    return Side(python, environment, *json.loads(done.stdout))


def header(both: Sequence[Side], rounds: int) -> str:
    """What is compared, in words."""
    return f"{who(both)}; {rounds} rounds, new processes in each, in turn; medians of the rounds"


def who(both: Sequence[Side]) -> str:
    """Which version is the new one, and which the old."""
    ours, theirs = (f"{side.version} ({Path(side.file).parents[1]})" for side in both)
    return f"new: {ours}; old: {theirs}"


def in_turn(
    ours: Callable[[Item], Timing], theirs: Callable[[Item], Timing], items: Sequence[Item], rounds: int = 1
) -> Iterator[tuple[Timing, Timing]]:
    """Both sides of every item, `rounds` times; who goes first alternates over the items and over the rounds."""
    for round_ in range(rounds):
        for position, item in enumerate(items):
            if (round_ + position) % 2:
                second = theirs(item)
                yield ours(item), second
            else:
                first = ours(item)
                yield first, theirs(item)


def medians(pairs: Iterable[tuple[float, float]]) -> tuple[float, float]:
    """The median of each side."""
    ours, theirs = (statistics.median(side) for side in zip(*pairs, strict=True))
    return ours, theirs


# --- `ondevice run` as a whole process, and Runner.classify in one that has warmed up


def process(both: tuple[Side, Side], models: Path, model: str, photo: str, rounds: int) -> Iterator[Compared]:
    """From starting `ondevice run` to its end, for one photo; seven of each side a round."""
    with ExitStack() as stack:
        ours, theirs = (partial(_lasting_ms, *_pulled(side, models, model, stack)) for side in both)
        for once in (ours, theirs):
            once(photo)  # compiles
        found = [medians(in_turn(ours, theirs, [photo] * 7)) for _ in range(rounds)]
    yield Compared(f"ondevice run, whole process, {model}", found)


def _pulled(side: Side, models: Path, model: str, stack: ExitStack) -> tuple[list[str], dict[str, str]]:
    home = stack.enter_context(TemporaryDirectory())
    environment = {**side.environment, "ONDEVICE_HOME": home, "PYTHONPYCACHEPREFIX": f"{home}/bytecode"}
    run(side.command("models", "pull", model, "--from", str(models)), environment)
    return side.command("run", model), environment


def _lasting_ms(command: list[str], environment: dict[str, str], photo: str) -> float:
    start = perf_counter()
    run([*command, photo], environment)
    return (perf_counter() - start) * 1e3


def run(command: list[str], environment: dict[str, str] | None = None) -> None:
    """To its end, which must be a good one."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if done.returncode:
        sys.exit(f"{' '.join(command)}: exit status {done.returncode}: {done.stderr.strip()}")


class Classified(NamedTuple):
    """The time of a whole call and of the inference in it, ms, and the best class's index."""

    total_ms: float
    invoke_ms: float
    index: int


class Classifier:
    """A process of one version that classifies photos with one model: this file, run by that version's Python."""

    def __init__(self, side: Side, model: str) -> None:
        self._process = subprocess.Popen(
            [side.python, __file__, model],
            env=side.environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Classifier:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate()  # closes its input, at which it ends

    def classify(self, photo: str) -> Classified:
        """One photo."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(photo, file=self._process.stdin, flush=True)
        line = self._process.stdout.readline()
        if not line:
            sys.exit("a process that classifies has died")
        return Classified(*json.loads(line))


def classify(both: tuple[Side, Side], path: str, photos: Sequence[str], rounds: int) -> Iterator[Compared]:
    """Runner.classify of every photo, and the inference alone."""
    totals, invokes = [], []
    for _ in range(rounds):
        with Classifier(both[0], path) as ours, Classifier(both[1], path) as theirs:
            for _ in in_turn(ours.classify, theirs.classify, photos[:10]):
                pass  # warms up
            pairs = list(in_turn(ours.classify, theirs.classify, photos))
        totals.append(medians((a.total_ms, b.total_ms) for a, b in pairs))
        invokes.append(medians((a.invoke_ms, b.invoke_ms) for a, b in pairs))
    yield Compared(f"Runner.classify, {Path(path).stem}", totals)
    yield Compared(f"the inference in it, {Path(path).stem}", invokes)


def _serve_photos(model: str) -> None:
    """Classifies what is named on standard input, a photo a line, with whichever ondevice this Python has."""
    from ondevice import Runner

    # The runtime writes notes to descriptor 2; Python's own errors still go where they should.
    sys.stderr = os.fdopen(os.dup(2), "w")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    runner = Runner(model)
    for line in sys.stdin:
        start = perf_counter()
        answer = runner.classify(line.rstrip("\n"))
        print(json.dumps([(perf_counter() - start) * 1e3, answer.invoke_ms, answer.index]), flush=True)


if __name__ == "__main__":
    _serve_photos(sys.argv[1])
