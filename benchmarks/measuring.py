"""Can `ondevice bench` be trusted? Against LiteRT's own benchmark, the CPU time it takes, emulated wall-clock.

    python benchmarks/measuring.py FOLDER [--only peer,cpu,emulated] [--rounds 15]

FOLDER holds the .tflite files that `benchmarks/devices.py FOLDER --build` makes. The machine should have nothing else
to do. peer: the two tools take turns, A B B A, each a fresh process; beside the ratio of their medians stands how far
LiteRT's tool is from itself, one round against the next. cpu: CPU seconds a wall second at one and two threads, and
under a quota. emulated: the wall-clock of 100 emulated inferences against what was predicted before them.
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from ondevice import Runner, host
from ondevice.cli import console

PEER_MODELS = ("mobilenet_v2_1.0_224_fp32", "mobilenet_v2_1.0_224_int8")
CPU_MODEL = "nasnet_mobile_fp32"
EMULATED = (
    ("mobilenet_v1_0.25_128_fp32", "pixel-3"),
    ("mobilenet_v2_1.0_224_fp32", "pixel-3"),
    ("mobilenet_v2_1.0_224_fp32", "raspberry-pi-4"),
    ("mobilenet_v1_0.25_128_int8", "pieslicer-phone"),
)
RUNS, WARM_UP, INFERENCES = 100, 10, 100

Row = dict[str, Any]


def main() -> None:
    """Run the parts that are asked for and print their tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--only", default=",".join(PARTS), help=f"of {','.join(PARTS)}")
    parser.add_argument("--rounds", type=int, default=15)
    arguments = parser.parse_args()
    print(f"{host.current().cpu_model()}, {host.system.cores()} cores\n")
    for part in arguments.only.split(","):
        print(console.table(list(PARTS[part](arguments.folder, arguments.rounds)), ".3f") + "\n", flush=True)


def peer(folder: Path, rounds: int) -> Iterator[Row]:
    """`ondevice bench` and `litert-benchmark`, in turn."""
    for model in PEER_MODELS:
        for threads in (1, 2):
            path = str(folder / f"{model}.tflite")
            pairs = []
            for i in range(rounds):
                sides: list[Callable[[str, int], float]] = [_ours, _theirs]
                order = sides if i % 2 else sides[::-1]
                taken = {side: side(path, threads) for side in order}
                pairs.append((taken[_ours], taken[_theirs]))
            ours, theirs = zip(*pairs, strict=True)
            # The tool against itself: one round over the one before, as far from 1 as in the middle of all rounds.
            itself = [abs(b / a - 1) for a, b in itertools.pairwise(theirs)]
            yield {
                "model": model,
                "threads": threads,
                "ondevice p50_ms": statistics.median(ours),
                "litert-benchmark p50_ms": statistics.median(theirs),
                "ratio": statistics.median(ours) / statistics.median(theirs),
                "median of paired ratios": statistics.median(a / b for a, b in pairs),
                "the tool against itself": f"± {statistics.median(itself):.1%} (up to {max(itself):.1%})",
            }


def _ours(path: str, threads: int) -> float:
    return float(_bench(path, "--threads", str(threads), "--runs", str(RUNS), "--min-secs", "0")["p50_ms"])


def _theirs(path: str, threads: int) -> float:
    with tempfile.NamedTemporaryFile(suffix=".json") as result:
        program = [sys.executable, "-m", "ai_edge_litert.tools.benchmark_litert_model", f"--model={path}"]
        flags = {"num_threads": threads, "num_runs": RUNS, "warmup_runs": WARM_UP, "result_json": result.name}
        _run([*program, *(f"--{flag}={value}" for flag, value in flags.items())])
        return float(json.loads(Path(result.name).read_text())["latency"]["median_ms"])


def cpu(folder: Path, rounds: int) -> Iterator[Row]:
    """CPU seconds a wall second while benchmarking: on one thread, on two, and on one under a quota."""
    path = str(folder / f"{CPU_MODEL}.tflite")
    for flags in (["--threads", "1"], ["--threads", "2"], ["--threads", "1", "--cpu-quota", "0.5"]):
        shares = [_bench(path, *flags, "--min-secs", "3")["cpu_per_wall"] for _ in range(max(3, rounds // 5))]
        yield {
            "model": CPU_MODEL,
            "flags": " ".join(flags),
            "CPU / wall": statistics.median(shares),
            "least": min(shares),
            "most": max(shares),
        }


def emulated(folder: Path, rounds: int) -> Iterator[Row]:
    """The wall-clock of emulated inferences, from outside, against the prediction made before them."""
    for model, device in EMULATED:
        with console.quiet_runtime():
            runner = Runner(folder / f"{model}.tflite", device=device)
        assert runner.emulation is not None
        predicted = runner.emulation.predicted_ms * INFERENCES
        ratios = [_inferences_ms(runner) / predicted for _ in range(max(1, rounds // 5))]
        yield {
            "model": model,
            "device": f"{device} (emulated)",
            "100 inferences, predicted_ms": predicted,
            "taken / predicted": statistics.median(ratios),
            "least": min(ratios),
            "most": max(ratios),
            "late": f"{runner.emulation.late:.1%}",
        }


def _inferences_ms(runner: Runner) -> float:
    tensor = np.zeros(runner.model.input.shape, runner.model.input.dtype)
    start = perf_counter()
    for _ in range(INFERENCES):
        runner.model.invoke(tensor)
    return (perf_counter() - start) * 1e3


def _bench(path: str, *flags: str) -> Row:
    with tempfile.TemporaryFile("w+") as out:
        _run([sys.executable, "-m", "ondevice", "bench", path, "--format", "json", *flags], out)
        out.seek(0)
        record: Row = json.load(out)[0]
        return record


def _run(command: list[str], out: Any = subprocess.DEVNULL) -> None:
    done = subprocess.run(command, stdout=out, stderr=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(command)}: exit status {done.returncode}: {done.stderr.strip()}")


PARTS: dict[str, Callable[[Path, int], Iterator[Row]]] = {"peer": peer, "cpu": cpu, "emulated": emulated}

if __name__ == "__main__":
    main()
