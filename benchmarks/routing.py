"""Is the device's own confidence worth routing by? Against a choice of place that does not look at the picture.

    python benchmarks/routing.py MODELS PHOTOS [--shares 0.1,0.2,…] [--by score,margin,entropy] [--seed 0]

MODELS: a folder of .tflite classifiers of one label list, whose outputs are probabilities. PHOTOS: a folder for
`ondevice evaluate`. The most accurate model on these photos is the cloud's, each other one in turn the device's. Every
model runs once on every photo, the same file for both places. Nothing here is about time.

routing: the cloud answers where the device is less sure than a threshold. Two-fold: the photos are split in two halves
at random, and the threshold whose share of one half comes nearest to `wanted` is applied to the other half; `got` is
the share that the cloud then answers. 8-bit scores tie, so that not every share can be had. deadline-only: network and
deadline alone send the same share, any picture as likely as another: got · A_cloud + (1 - got) · A_device. oracle:
sends pictures that only the cloud gets right, until they or the share run out. possible: the share of the way from
deadline-only to the oracle. Intervals: 95 %, percentile bootstrap over photos, each resample at its own share; they
hold for the split and the thresholds found.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ondevice import OnDeviceError, Runner, host
from ondevice.cli import console
from ondevice.dataset.labelled import Labelled, labelled
from ondevice.timing.arrays import FloatArray

SHARES = "0.1,0.2,0.3,0.4,0.5,0.6,0.7,0.8"

Row = dict[str, Any]
Flags = np.ndarray[Any, np.dtype[np.bool_]]


def _score(p: FloatArray) -> float:
    return float(p.max())


def _margin(p: FloatArray) -> float:
    second, first = np.partition(p, -2)[-2:]
    return float(first - second)


def _entropy(p: FloatArray) -> float:
    """The negative entropy in nats, so that more is surer, as with the others; 8-bit scores may be 0."""
    positive = p[p > 0]
    return float((positive * np.log(positive)).sum())


MEASURES: dict[str, Callable[[FloatArray], float]] = {"score": _score, "margin": _margin, "entropy": _entropy}


class Ran(NamedTuple):
    """One model over the photos [n]: whether it was right, and how sure it was by each measure."""

    name: str
    right: Flags
    sure: dict[str, FloatArray]

    @property
    def top1(self) -> float:
        """The fraction right."""
        return float(self.right.mean())


def run(runner: Runner, data: Labelled, by: Sequence[str]) -> Ran:
    """Every photo once. Raises ImageError, ModelError."""
    right, sure = [], []
    for path, truth in zip(data.paths, data.truth, strict=True):
        stored = runner.model.invoke(runner.prepare(path))
        p = runner.model.dequantize(stored[int(runner.background) :]).astype(np.float64)
        right.append(int(p.argmax()) == truth)
        sure.append([MEASURES[name](p) for name in by])
    return Ran(runner.name, np.array(right), dict(zip(by, np.array(sure).T, strict=True)))


def threshold(sure: FloatArray, share: float) -> float:
    """Of the values seen and infinity, the one with a share below it that is nearest to `share`."""
    values = np.append(np.unique(sure), np.inf)
    below = np.searchsorted(np.sort(sure), values) / len(sure)
    return float(values[np.abs(below - share).argmin()])


def routed(sure: FloatArray, share: float, half: Flags) -> Flags:
    """Which photos [n] the cloud answers; each half by the threshold of the other."""
    return np.where(half, sure < threshold(sure[~half], share), sure < threshold(sure[half], share))


def interval(sent: Flags, gain: FloatArray, weights: FloatArray) -> str:
    """Of routing less deadline-only, which is the covariance of being sent and what that gains."""
    n = len(gain)
    differences = weights @ (sent * gain) / n - (weights @ sent / n) * (weights @ gain / n)
    low, high = np.percentile(differences, (2.5, 97.5))
    return f"{low:.3f} to {high:.3f}"


def rows(device: Ran, cloud: Ran, arguments: argparse.Namespace) -> Iterator[Row]:
    """Each measure at each share."""
    n = len(device.right)
    rng = np.random.default_rng(arguments.seed)
    half = rng.permutation(n) < n // 2
    weights = rng.multinomial(n, np.full(n, 1 / n), arguments.resamples).astype(np.float64)
    gain = cloud.right.astype(np.float64) - device.right
    for by, sure in device.sure.items():
        for wanted in arguments.shares:
            sent = routed(sure, wanted, half)
            got = float(sent.mean())
            routing, blind = (device.top1 + float(part) for part in ((sent * gain).mean(), got * gain.mean()))
            oracle = device.top1 + min(got, float((gain > 0).mean()))
            yield {
                "by": by, "wanted": wanted, "got": got, "routing": routing, "deadline-only": blind,
                "better by": routing - blind, "interval": interval(sent, gain, weights), "oracle": oracle,
                "possible": (routing - blind) / (oracle - blind) if oracle > blind else None,
            }  # fmt: skip


def main() -> None:
    """Print a table for each device's model."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("models", type=Path, help="a folder of two or more .tflite files")
    parser.add_argument("photos", type=Path)
    parser.add_argument("--shares", type=lambda text: [float(s) for s in text.split(",")], default=SHARES)
    parser.add_argument("--by", type=lambda text: text.split(","), default=",".join(MEASURES), help="%(default)s")
    parser.add_argument("--seed", type=int, default=0, help="of the halves and resamples")
    parser.add_argument("--resamples", type=int, default=10_000)
    arguments = parser.parse_args()
    paths = sorted(arguments.models.glob("*.tflite"))
    if len(paths) < 2 or not set(arguments.by) <= set(MEASURES) or not all(0 <= s <= 1 for s in arguments.shares):
        parser.error(f"it takes two .tflite files or more, shares from 0 to 1, and --by of {','.join(MEASURES)}")
    try:
        with console.quiet_runtime():
            runners = [Runner(path) for path in paths]
            data = labelled(arguments.photos, runners[0].labels)
            ran = sorted((run(runner, data, arguments.by) for runner in runners), key=lambda r: r.top1)
    except OnDeviceError as error:
        sys.exit(str(error))
    *devices, cloud = ran
    print(f"{host.current().cpu_model()}; {len(data.paths)} photos; in the cloud {cloud.name} {cloud.top1:.3f}")
    for device in devices:
        gained, lost = (float((a.right & ~b.right).mean()) for a, b in ((cloud, device), (device, cloud)))
        print(f"\n{device.name} {device.top1:.3f}; only the cloud is right {gained:.3f}, only the device {lost:.3f}\n")
        print(console.table(list(rows(device, cloud, arguments)), ".3f"), flush=True)


if __name__ == "__main__":
    main()
