"""How fast is the simulator? Requests a second on one core, for each policy; and a whole figure by the command line.

    python benchmarks/simulate.py MODELS [--requests 1000000] [--without PATTERN] [--only policies,load,figure]

MODELS is what `ondevice simulate --models` takes. All that `ondevice simulate` does for a request is counted: drawing
its legs and its inference, the choice, and the counting. policies: by what is known of the reply. load: one request
after the other, at 1.2 times what the most accurate model could carry. figure: 21 deadlines, all policies.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from time import perf_counter
from typing import Any

from ondevice.cli import console
from ondevice.lab.simulate import arrivals, device_model, legs, modelset
from ondevice.lab.simulate.estimates import ReplyEstimate
from ondevice.lab.simulate.modelset import ModelSet
from ondevice.lab.simulate.queueing import simulate
from ondevice.lab.simulate.simulation import DEVICE, ORACLE, Case, QueueView, SimulationSettings
from ondevice.selection.policies import POLICIES

NETWORK, SLA_MS = "normal:mean=50,std=25", 200.0
PHONE = device_model.given(0.414, 30)
# `effective` weighs as many replies as are known, so that it takes a multiple of the others' time.
SHARE = {"effective": 0.1}
# Learning the reply's distribution from each reply is a loop in Python, whatever the policy.
GIVEN_SHARE = 0.005
LOADED = 10_000

Row = dict[str, Any]


def main() -> None:
    """Run the parts that are asked for and print their tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("models")
    parser.add_argument("--requests", type=int, default=1_000_000)
    parser.add_argument("--without", action="append", default=[])
    parser.add_argument("--only", default=",".join(PARTS), help=f"of {','.join(PARTS)}")
    arguments = parser.parse_args()
    for part in arguments.only.split(","):
        print(console.table(list(PARTS[part](arguments)), ".2f") + "\n", flush=True)


def _set(arguments: argparse.Namespace) -> ModelSet:
    return modelset.find(arguments.models, modelset.ModelFilter((), modelset.patterns(arguments.without)))


def policies(arguments: argparse.Namespace) -> Iterator[Row]:
    """Without load."""
    models, network = _set(arguments), legs.find(NETWORK)
    for policy in (*POLICIES, ORACLE, DEVICE):
        row: Row = {"policy": policy, "models": len(models)}
        for estimate in ReplyEstimate:
            share = SHARE.get(policy, 1) * (GIVEN_SHARE if estimate is ReplyEstimate.GIVEN else 1)
            count = max(1, int(arguments.requests * share))
            case = Case(models, network, SLA_MS, policy)
            settings = SimulationSettings(count, estimate=estimate, device=PHONE)
            row[f"M/s, {estimate}"] = count / _seconds(case, settings) / 1e6
        yield row


def load(arguments: argparse.Namespace) -> Iterator[Row]:
    """With a queue."""
    models, network = _set(arguments), legs.find(NETWORK)
    for policy in ("mdinference", "cnnselect", "effective", ORACLE):
        row: Row = {"policy": policy}
        for queue in QueueView:
            case = Case(models, network, SLA_MS, policy, arrivals.find("poisson:load=1.2"), 2, queue)
            row[f"k/s, {queue}"] = LOADED / _seconds(case, SimulationSettings(LOADED)) / 1e3
        yield row


def _seconds(case: Case, settings: SimulationSettings) -> float:
    begun = perf_counter()
    simulate(case, settings)
    return perf_counter() - begun


def figure(arguments: argparse.Namespace) -> Iterator[Row]:
    """By the command line, start included."""
    for requests in (10_000, 100_000):
        with tempfile.TemporaryDirectory() as folder:
            command = [sys.executable, "-m", "ondevice", "simulate", "--models", arguments.models]
            command += [f"--without={pattern}" for pattern in arguments.without]
            command += ["--network", NETWORK, "--sla", "100-300:10", "--device-top1", "0.414", "--jobs", "2"]
            command += ["--requests", str(requests), "--figure", str(Path(folder) / "figure.svg")]
            begun = perf_counter()
            subprocess.run(command, check=True, capture_output=True)
            yield {"figure of": f"{requests} requests a case", "seconds": perf_counter() - begun}


PARTS: dict[str, Callable[[argparse.Namespace], Iterator[Row]]] = {"policies": policies, "load": load, "figure": figure}

if __name__ == "__main__":
    main()
