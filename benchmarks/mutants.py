"""What becomes of mutated model files: each is given to a Runner in this process, which must survive them all.

    python benchmarks/mutants.py [FILE.tflite] [--count 500]

Prints how many gave an answer, how many an error, and how many would have crashed or hung the caller.
"""

from __future__ import annotations

import argparse
import collections
import concurrent.futures
import itertools
import os
import tempfile
from pathlib import Path

import numpy as np

from ondevice.errors import HostileModelError, ModelError
from ondevice.models import zoo
from ondevice.runner import Runner

KINDS = ("bytes flipped", "bits flipped", "truncated", "block zeroed", "offsets changed", "blocks swapped")


def mutant(good: bytes, kind: str, rng: np.random.Generator) -> bytes:
    """`good` with damage of one kind; never equal to it."""
    data = np.frombuffer(good, np.uint8).copy()
    at = int(rng.integers(8, len(data) - 512))
    if kind == "bytes flipped":
        spots = rng.integers(0, len(data), int(rng.integers(1, 65)))
        data[spots] ^= rng.integers(1, 256, len(spots), dtype=np.uint8)
    elif kind == "bits flipped":
        spots = rng.integers(0, len(data), int(rng.integers(1, 9)))
        data[spots] ^= np.uint8(1) << rng.integers(0, 8, len(spots), dtype=np.uint8)
    elif kind == "truncated":
        return good[: int(rng.integers(0, len(good)))]
    elif kind == "block zeroed":
        data[at : at + int(rng.integers(4, 512))] = 0
    elif kind == "offsets changed":
        # The tables that describe the graph stand at both ends of the file, the weights between them.
        spots = 4 * rng.integers(0, 512, 4) + (0 if rng.integers(2) else (len(data) - 2048) // 4 * 4)
        data.view()[spots[:, None] + np.arange(4)] = rng.integers(0, 256, (4, 4), dtype=np.uint8)
    else:
        data[at : at + 256], data[8:264] = data[8:264].copy(), data[at : at + 256].copy()
    return data.tobytes() if data.tobytes() != good else good[:-1]


def outcome(path: Path) -> str:
    """What a Runner makes of the file, in a word; an error's message must be one line."""
    try:
        Runner(path).classify(np.zeros((64, 64, 3), np.uint8))
    except (HostileModelError, ModelError) as error:
        if "\n" in str(error):
            return "error of several lines"
        return "stopped in the trial: crash or hang" if isinstance(error, HostileModelError) else "one-line error"
    return "answer"


def tally(source: Path, count: int, seed: int = 0) -> collections.Counter[tuple[str, str]]:
    """Outcomes of `count` mutants of `source`, by kind of damage and outcome."""
    good, rng = source.read_bytes(), np.random.default_rng(seed)
    with tempfile.TemporaryDirectory() as folder:
        kinds = list(itertools.islice(itertools.cycle(KINDS), count))
        paths = [Path(folder) / f"{i}.tflite" for i in range(count)]
        for path, kind in zip(paths, kinds, strict=True):
            path.write_bytes(mutant(good, kind, rng))
        # The trials are processes of their own: threads keep both cores busy.
        with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
            return collections.Counter(zip(kinds, pool.map(outcome, paths), strict=True))


def main() -> None:
    """Print the counts."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file", nargs="?", type=Path, default=zoo.find("digits_l_int8").path)
    parser.add_argument("--count", type=int, default=500)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as home:
        os.environ["ONDEVICE_HOME"] = home
        counts = tally(arguments.file, arguments.count)
    results = sorted({result for _, result in counts})
    print(f"{arguments.count} mutants of {arguments.file.name}; this process survived them all")
    for result in results:
        parts = [f"{kind} {counts[kind, result]}" for kind in KINDS if counts[kind, result]]
        print(f"{sum(counts[kind, result] for kind in KINDS):5}  {result}  ({', '.join(parts)})")


if __name__ == "__main__":
    main()
