"""`ondevice demo`: the bundled family on the bundled pictures."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from ondevice.cli import console

if TYPE_CHECKING:
    from ondevice.runner import Runner
    from ondevice.sources import Labelled

_THREADS = (1, 2)
_BLOCK = 50


def demo() -> None:
    """Classify the bundled pictures with the bundled CNNs on one and two threads; nothing is downloaded."""
    from ondevice import host
    from ondevice.models import labels, zoo
    from ondevice.runner import Runner
    from ondevice.sources import labelled

    cards = [entry.card for entry in zoo.entries() if entry.origin == "bundled"]
    data = labelled(zoo.samples_dir(), labels.load("digits"))
    with console.quiet_runtime():
        runners = [Runner(card.name, threads) for card in cards for threads in _THREADS]
    print(f"{len(data.paths)} held-out pictures of handwritten digits, small, turned and cluttered; {len(cards)} CNNs")
    machine = host.current()
    print(f"{runners[0].model.runtime} on {machine.cpu_model()}; {machine.usable_cores()} cores\n")
    right, times = _measure(runners, data)
    print(console.table(_rows(runners, right, times, len(data.paths)), numbers=".2f"))
    print(_next_steps(os.path.relpath(zoo.samples_dir())))


def _measure(runners: list[Runner], data: Labelled) -> tuple[list[int], list[list[float]]]:
    """How often each runner was right, and its inference times. They take turns: drift hits all alike.

    A turn is a block of pictures: an idle thread pool needs some inferences to spread over the cores again.
    """
    right = [0] * len(runners)
    times: list[list[float]] = [[] for _ in runners]
    pictures = list(zip(data.paths, data.truth, strict=True))
    with console.progress(len(pictures) * len(runners), "classifying") as step:
        for first in range(0, len(pictures), _BLOCK):
            for i, runner in enumerate(runners):
                for path, truth in pictures[first : first + _BLOCK]:
                    answer = runner.classify(path, top=1)
                    right[i] += answer.index == truth
                    times[i].append(answer.invoke_ms)
                step(len(pictures[first : first + _BLOCK]))
    return right, times


def _rows(runners: list[Runner], right: list[int], times: list[list[float]], n: int) -> list[dict[str, Any]]:
    """A row a model: its size, accuracy here and on all held-out drawings, and median inference time by threads."""
    from statistics import median

    rows: dict[str, dict[str, Any]] = {}
    for runner, correct, spent in zip(runners, right, times, strict=True):
        card = runner.card
        assert card is not None  # a bundled model always has one
        row = rows.setdefault(
            card.name,
            {"model": card.name, "input": f"{card.input.height}x{card.input.width}", "size_bytes": card.size_bytes},
        )
        row["top1 here"] = correct / n
        row["top1 card"] = card.accuracy.top1 if card.accuracy else None
        row[f"{runner.model.threads} thread{'s' * (runner.model.threads > 1)} p50_ms"] = median(spent)
    return sorted(rows.values(), key=lambda row: row["1 thread p50_ms"])


def _next_steps(samples: str) -> str:
    ondevice = _command()
    return f"""
Each step up is more accurate and slower: which CNN is best depends on the time there is. Next, some sevens:
  {ondevice} run digits_m_int8 {samples}/7
Your own photos, with a CNN that knows ImageNet's 1000 classes (3.6 MB):
  {ondevice} models pull mobilenet_v2_1.0_224_quant
  {ondevice} run mobilenet_v2_1.0_224_quant PHOTO.jpg"""


def _command() -> str:
    """How to call this program from here: by name where that is on the path, else by its path."""
    import shutil
    import sys
    from pathlib import Path

    return "ondevice" if shutil.which("ondevice") else os.path.relpath(Path(sys.executable).with_name("ondevice"))
