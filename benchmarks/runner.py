"""What ondevice costs, and what it saves: against the same steps by hand, MediaPipe Tasks and LiteRT's own benchmark.

Each part times two sides in turn, A B B A, so that what else the machine does falls on both: trust the ratios, not the
milliseconds. Models and photos come from the folder that ONDEVICE_TEST_DATA names, with tflite/ and imagenet/ in it.

    python benchmarks/runner.py --only process,hand,mediapipe,litert --rounds 21

With `--against PYTHON` the other side is the ondevice of another environment, and the parts are `process` and `hand`:

    python benchmarks/runner.py --against ../ondevice-0.1.0/.venv/bin/python --rounds 7
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import json
import multiprocessing
import os
import platform
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib import metadata
from multiprocessing.connection import Connection
from pathlib import Path
from time import perf_counter, process_time

import numpy as np
import versions
from by_hand import ByHand
from PIL import Image
from versions import in_turn, run

from ondevice import host
from ondevice.cli import console
from ondevice.runner import Runner
from ondevice.runtime import Model

SMALL, LARGE = "mobilenet_v1_0.25_128_quant", "mobilenet_v2_1.0_224_quant"
PHOTOS = 100
BLOCK = 10  # photos that a worker classifies in a row, about 20 ms: the sides stay close in time, their caches warm
INVOCATIONS, WARM_UP = 100, 10

Classify = Callable[[str], int]


@dataclass(frozen=True)
class Setup:
    """What all parts share."""

    models: Path
    photos: list[str]
    rounds: int

    def model(self, name: str) -> str:
        """The model's file."""
        return str(self.models / f"{name}.tflite")


@dataclass(frozen=True)
class Row:
    """One comparison: pairs of seconds, ours and theirs, each taken close together in time."""

    name: str
    pairs: Sequence[tuple[float, float]]
    limit: float | None = None  # the goal: ours / theirs is at most this

    def record(self) -> dict[str, object]:
        """As a line of the table."""
        ours, theirs = (statistics.median(side) * 1e3 for side in zip(*self.pairs, strict=True))
        ratio = ours / theirs
        goal = "" if self.limit is None else f"<= {self.limit:.3f}: {'met' if ratio <= self.limit else 'missed'}"
        return {"ours / theirs": self.name, "ours_ms": ours, "theirs_ms": theirs, "ratio": ratio, "goal": goal}


def main() -> None:
    """Run the parts that are asked for and print their table."""
    arguments = _arguments()
    setup = find_setup(arguments.rounds)
    print(_versions())
    if arguments.against:
        against(setup, arguments.against, arguments.only)
        return
    print(f"{len(setup.photos)} photos, {setup.rounds} rounds, one thread; medians; the two sides in turn, A B B A\n")
    rows = [row for part in arguments.only for row in PARTS[part](setup)]
    if rows:
        print("\n" + console.table([row.record() for row in rows], ".2f"))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--only", metavar="PARTS", type=_parts, default=list(PARTS), help=f"of {','.join(PARTS)}")
    parser.add_argument("--against", metavar="PYTHON", help="compare with the ondevice of this environment instead")
    parser.add_argument("--rounds", metavar="N", type=_rounds, default=21, help="times everything is timed (21)")
    arguments = parser.parse_args()
    if arguments.against and arguments.rounds < versions.FEWEST_ROUNDS:
        parser.error(f"--against: give --rounds {versions.FEWEST_ROUNDS} or more: fewer show nothing")
    return arguments


def _parts(text: str) -> list[str]:
    names = text.split(",")
    if unknown := set(names) - set(PARTS):
        raise argparse.ArgumentTypeError(f"no part '{min(unknown)}': choose of {','.join(PARTS)}")
    return names


def _rounds(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError("give a whole number, 1 or more")
    return int(text)


def find_setup(rounds: int) -> Setup:
    """The models and photos that there are; ends the program where there are none."""
    folder = Path(os.environ.get("ONDEVICE_TEST_DATA") or Path(__file__).parents[2] / "shared" / "data")
    for needed in (folder / "tflite" / f"{SMALL}.tflite", folder / "tflite" / f"{LARGE}.tflite", folder / "imagenet"):
        if not needed.exists():
            sys.exit(f"{needed} is missing: set ONDEVICE_TEST_DATA to the folder with tflite/ and imagenet/")
    photos = sorted(str(path) for path in (folder / "imagenet").glob("*.JPEG"))
    if not photos:
        sys.exit(f"{folder / 'imagenet'} holds no .JPEG files")
    return Setup(folder / "tflite", photos[:: max(len(photos) // PHOTOS, 1)][:PHOTOS], rounds)


def _versions() -> str:
    packages = ("ondevice-cnn", "ai-edge-litert", "numpy", "pillow", "mediapipe")
    machine = host.current()
    return (
        f"{machine.cpu_model()}, {host.system.usable_cores()} cores; Python {platform.python_version()}, "
        f"{', '.join(f'{package} {_version(package)}' for package in packages)}"
    )


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "(not installed)"


def _timed(classify: Classify, photo: str) -> tuple[float, int]:
    start = perf_counter()
    best = classify(photo)
    return perf_counter() - start, best


# --- Another version of ondevice


def against(setup: Setup, python: str, parts: Sequence[str]) -> None:
    """This version over the other one: whole processes, calls in a process that has warmed up, inferences."""
    both = versions.sides(python)
    print(versions.header(both, setup.rounds) + "\n", flush=True)
    rows: list[versions.Compared] = []
    if "process" in parts:
        rows += versions.process(both, setup.models, SMALL, setup.photos[0], setup.rounds)
    if "hand" in parts:
        for name in (SMALL, LARGE):
            rows += versions.classify(both, setup.model(name), setup.photos, setup.rounds)
    print(console.table([row.record() for row in rows]))


# --- Runner.classify against the same steps by hand


def hand(setup: Setup) -> Iterator[Row]:
    """What Runner.classify adds to the steps that it takes."""
    with console.quiet_runtime():
        runner = Runner(setup.model(SMALL))
        by_hand = ByHand(setup.model(SMALL), list(runner.labels.names))
    print(f"hand: Runner.classify(path) against the same steps by hand (by_hand.py), {SMALL}", flush=True)
    pairs = []
    for ours, theirs in in_turn(
        lambda photo: _timed(lambda p: runner.classify(p).index, photo),
        lambda photo: _timed(lambda p: by_hand.classify(p)[0][0], photo),
        setup.photos,
        setup.rounds + 1,  # the first warms up
    ):
        if ours[1] != theirs[1]:
            sys.exit(f"hand: classes {ours[1]} and {theirs[1]} of the same photo: the two sides do not do the same")
        pairs.append((ours[0], theirs[0]))
    print("hand: the same best class for every photo")
    yield Row(f"classify / by hand, {SMALL}", pairs[len(setup.photos) :], 1.05)


# --- Runner.classify against MediaPipe Tasks


@dataclass(frozen=True)
class Block:
    """A worker's report on some photos: seconds and best class of each, and the whole block's CPU and wall seconds."""

    photos: list[tuple[float, int]]
    cpu: float
    wall: float


class Worker:
    """A process that classifies blocks of photos, on one core if asked."""

    def __init__(self, load: Callable[[str], Classify], model: str, core: int | None) -> None:
        # Forked processes would share what the parent has loaded.
        context = multiprocessing.get_context("spawn")
        self._pipe, end = context.Pipe()
        context.Process(target=_work, args=(end, load, model, core), daemon=True).start()
        end.close()

    def classify(self, photos: list[str]) -> Block:
        """Time a block."""
        try:
            self._pipe.send(photos)
            block: Block = self._pipe.recv()
        except (EOFError, OSError):
            sys.exit("mediapipe: a worker process failed")
        return block

    def close(self) -> None:
        """End the process."""
        self._pipe.close()


def _work(pipe: Connection, load: Callable[[str], Classify], model: str, core: int | None) -> None:
    if core is not None:
        os.sched_setaffinity(0, {core})
    classify = load(model)
    with contextlib.suppress(EOFError):  # the parent has closed its end
        while True:
            photos = pipe.recv()
            start, cpu = perf_counter(), process_time()
            timed = [_timed(classify, photo) for photo in photos]
            pipe.send(Block(timed, process_time() - cpu, perf_counter() - start))


def load_ours(model: str) -> Classify:
    """Runner, for a worker."""
    with console.quiet_runtime():
        runner = Runner(model)
    return lambda photo: runner.classify(photo).index


def load_mediapipe(model: str) -> Classify:
    """MediaPipe's ImageClassifier, for a worker."""
    # Its native code writes notes on its graph to descriptor 2; Python's errors still go where they should.
    sys.stderr = os.fdopen(os.dup(2), "w")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    import mediapipe
    from mediapipe.tasks.python import BaseOptions, vision

    options = vision.ImageClassifierOptions(base_options=BaseOptions(model_asset_path=model), max_results=5)
    classifier = vision.ImageClassifier.create_from_options(options)

    def classify(photo: str) -> int:
        result = classifier.classify(mediapipe.Image.create_from_file(photo))
        return int(result.classifications[0].categories[0].index) - 1  # its 0 is the background

    return classify


def mediapipe(setup: Setup) -> Iterator[Row]:
    """From the file to the five best, against MediaPipe Tasks."""
    if not importlib.util.find_spec("mediapipe"):
        print("mediapipe: skipped, it is not installed: pip install mediapipe")
        return
    photos = [photo for photo in setup.photos if is_colour(photo)]
    print(
        f"mediapipe: Runner.classify(path) against Image.create_from_file + ImageClassifier.classify, {len(photos)} "
        f"photos; {len(setup.photos) - len(photos)} greyscale ones left out, on which MediaPipe fails\n"
        "mediapipe: its Tasks have no option for threads; CPU / wall time says how many were at work",
        flush=True,
    )
    cores: list[int | None] = [None]
    if hasattr(os, "sched_setaffinity"):
        cores.append(max(os.sched_getaffinity(0)))
    for name in (SMALL, LARGE):
        for core in cores:
            yield against_mediapipe(setup, photos, name, core, 1.0)


def is_colour(photo: str) -> bool:
    """Whether MediaPipe takes the photo."""
    with Image.open(photo) as image:
        return image.mode == "RGB"


def against_mediapipe(setup: Setup, photos: list[str], name: str, core: int | None, limit: float | None) -> Row:
    """Both sides' times for these photos with one model, on one core if asked."""
    blocks = [photos[i : i + BLOCK] for i in range(0, len(photos), BLOCK)]
    sides = [Worker(load, setup.model(name), core) for load in (load_ours, load_mediapipe)]
    reports = list(in_turn(sides[0].classify, sides[1].classify, blocks, setup.rounds + 1))[len(blocks) :]
    for side in sides:
        side.close()
    both = [pair for ours, theirs in reports for pair in zip(ours.photos, theirs.photos, strict=True)]
    agreed = statistics.fmean(ours[1] == theirs[1] for ours, theirs in both)
    where = "" if core is None else ", one core"
    ours, theirs = (_cpu_share(reports_of) for reports_of in zip(*reports, strict=True))
    spent = statistics.median(ours.cpu / theirs.cpu for ours, theirs in reports)
    print(
        f"mediapipe: {name}{where}: CPU / wall time {ours:.2f} ours, {theirs:.2f} theirs; "
        f"CPU time, ours / theirs {spent:.3f}; the same best class for {agreed:.0%}",
        flush=True,
    )
    return Row(f"Runner / MediaPipe, {name}{where}", [(a[0], b[0]) for a, b in both], limit)


def _cpu_share(blocks: Iterable[Block]) -> float:
    return statistics.median(block.cpu / block.wall for block in blocks)


# --- invoke against litert-benchmark


def litert(setup: Setup) -> Iterator[Row]:
    """The inference alone, against the benchmark that comes with LiteRT."""
    print(
        f"litert: Model.invoke against litert-benchmark (to 0.01 ms), medians of {INVOCATIONS} invocations after "
        f"{WARM_UP}, the model loaded anew each round",
        flush=True,
    )
    for name in (SMALL, LARGE):
        pairs = list(in_turn(_invoke, _litert_benchmark, [setup.model(name)], setup.rounds))
        yield Row(f"invoke / litert-benchmark, {name}", pairs)


def _invoke(path: str) -> float:
    with console.quiet_runtime():
        model = Model(path)
    tensor = np.random.default_rng(0).integers(0, 255, model.input.shape).astype(model.input.dtype)
    times = []
    for _ in range(WARM_UP + INVOCATIONS):
        start = perf_counter()
        model.invoke(tensor)
        times.append(perf_counter() - start)
    return statistics.median(times[WARM_UP:])


def _litert_benchmark(path: str) -> float:
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder) / "result.json"
        flags = {
            "model": path,
            "num_threads": 1,
            "num_runs": INVOCATIONS,
            "warmup_runs": WARM_UP,
            "result_json": result,
        }
        program = [sys.executable, "-m", "ai_edge_litert.tools.benchmark_litert_model"]
        run([*program, *(f"--{flag}={value}" for flag, value in flags.items())])
        return float(json.loads(result.read_text())["latency"]["median_ms"]) / 1e3


# --- `ondevice run` against a bare script, as whole processes


def process(setup: Setup) -> Iterator[Row]:
    """From starting the process to its end, for one photo."""
    ondevice = str(Path(sys.executable).with_name("ondevice"))
    bare, photo = str(Path(__file__).with_name("by_hand.py")), setup.photos[0]
    with console.quiet_runtime():
        labels = Runner(setup.model(SMALL)).labels.source
    print(f"process: `ondevice run {SMALL} PHOTO` against `python by_hand.py`, one photo", flush=True)
    with tempfile.TemporaryDirectory() as home:
        # Installed packages have their bytecode, an editable install in an environment that writes none has not.
        environment = {**os.environ, "ONDEVICE_HOME": home, "PYTHONPYCACHEPREFIX": f"{home}/bytecode"}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        run([ondevice, "models", "pull", SMALL, "--from", str(setup.models)], environment)
        commands = [ondevice, "run", SMALL, photo], [sys.executable, bare, setup.model(SMALL), labels, photo]
        ours, theirs = (lambda _, command=command: _lasting(command, environment) for command in commands)
        pairs = list(in_turn(ours, theirs, [photo], setup.rounds + 1))[1:]  # the first compiles
    yield Row(f"ondevice run / bare script, {SMALL}", pairs, 1.35)


def _lasting(command: list[str], environment: dict[str, str]) -> float:
    start = perf_counter()
    run(command, environment)
    return perf_counter() - start


PARTS: dict[str, Callable[[Setup], Iterator[Row]]] = {
    "process": process,
    "hand": hand,
    "mediapipe": mediapipe,
    "litert": litert,
}

if __name__ == "__main__":
    main()
