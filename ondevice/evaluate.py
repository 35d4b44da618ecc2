"""How often a model is right: top-1 and top-5 on labelled pictures, with what each picture cost."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np

from ondevice.answer import Outcome
from ondevice.confusion import Confusion
from ondevice.dataset.labelled import Labelled
from ondevice.errors import UsageError
from ondevice.models.card import Accuracy
from ondevice.runner import Runner


@dataclass(frozen=True)
class Evaluation:
    """The result: fractions right of `n` pictures answered, the 95 % interval of top-1, and median times.

    failed: pictures that could not be read. skipped: other files. left_out: pictures that a limit left out.
    """

    model: str
    runtime: str
    threads: int
    n: int
    failed: int
    skipped: int
    top1: float
    top1_low: float
    top1_high: float
    top5: float
    decode_p50_ms: float
    invoke_p50_ms: float
    total_p50_ms: float
    left_out: int
    confusion: Confusion = field(repr=False)

    def record(self) -> dict[str, Any]:
        """The figures alone, flat."""
        return {each.name: getattr(self, each.name) for each in fields(self) if each.name != "confusion"}


def measured(result: Evaluation, folder: Path) -> Accuracy:
    """What a card says of it. folder: of the pictures. Raises UsageError where none was answered."""
    if not result.n:
        raise UsageError(f"{folder}: no picture could be read: the card stays as it was")
    data = described(folder, result.n, result.failed, result.left_out, result.runtime)
    return Accuracy(round(result.top1, 4), data, round(result.top5, 4), result.n)


def described(folder: Path, n: int, failed: int, left_out: int, runtime: str) -> str:
    """On what something was measured, in a card's words."""
    of = f"{n} of {n + failed + left_out}" if left_out else n
    return f"{of} pictures of {folder.resolve().name}, by `ondevice evaluate` with {runtime}"


def check_better(known: Accuracy | None, n: int) -> None:
    """Raise UsageError where a card's figure rests on more than `n` pictures, or it is not known on how many."""
    if known is not None:
        check_more(f"top1 {known.top1:g} ({known.data})", known.n, n)


def check_more(what: str, known: int | None, n: int) -> None:
    """Raise UsageError where what a card has may rest on more pictures, `known`, than `n`."""
    if known is not None and known <= n:
        return
    than = "which may rest on more than" if known is None else f"of {known} pictures, more than"
    raise UsageError(f"the card has {what}, {than} these {n}: --force replaces it")


def evaluate(runner: Runner, pictures: Labelled, on_outcome: Callable[[Outcome], None]) -> Evaluation:
    """Classify every one of `pictures`, in order, telling `on_outcome` of each.

    A picture that fails counts in `failed` alone.
    """
    ranks: list[int] = []
    counts: Counter[tuple[int, int]] = Counter()
    times: list[tuple[float, float, float]] = []
    for truth, outcome in zip(pictures.truth, runner.classify_each(pictures.paths, top=5), strict=True):
        on_outcome(outcome)
        if outcome.ok:
            answer = outcome.get()
            indexes = [p.index for p in answer.top]
            ranks.append(indexes.index(truth) if truth in indexes else len(indexes))
            counts[truth, answer.index] += 1
            times.append((answer.decode_ms, answer.invoke_ms, answer.total_ms))
    n = len(ranks)
    right, within = sum(r == 0 for r in ranks), sum(r < 5 for r in ranks)
    low, high = wilson(right, n)
    decode, invoke, total = (float(t) for t in np.median(times, axis=0)) if n else (math.nan,) * 3
    return Evaluation(
        runner.name, str(runner.model.runtime), runner.model.threads, n, len(pictures.paths) - n, pictures.skipped,
        right / n if n else math.nan, low, high, within / n if n else math.nan, decode, invoke, total,
        pictures.left_out, Confusion(runner.labels, counts),
    )  # fmt: skip


def wilson(right: int, n: int, z: float = 1.959964) -> tuple[float, float]:
    """The 95 % score interval for a proportion `right` of `n` (Wilson 1927); (nan, nan) for n = 0."""
    if not n:
        return math.nan, math.nan
    p = right / n
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return max(0.0, centre - half), min(1.0, centre + half)
