"""Models to choose among, by their accuracies and times."""

from __future__ import annotations

import csv
from pathlib import Path
from statistics import NormalDist

import numpy as np

from ondevice.selection.problem import Models
from ondevice.timing.quantiles import LEVELS

_QUANTILES = [NormalDist().inv_cdf(level) for level in np.clip(LEVELS, 1e-3, 1 - 1e-3)]

# MDInference's simulation, as published: policy, deadline in ms, accuracy in percent, and the share that is on time.
PUBLISHED = [
    ("greedy", 150, 82.6, 0.08),
    ("greedy", 200, 82.6, 0.38),
    ("greedy", 250, 82.6, 0.77),
    ("mdinference", 150, 72.9, 0.83),
    ("mdinference", 200, 79.4, 0.97),
    ("mdinference", 250, 81.9, 1.0),
]


def normal(*rows: tuple[float, float, float]) -> Models:
    """Models of (top1, mean, deviation), their times normal."""
    top1, mean_ms, std_ms = np.array(rows, float).T
    quantiles_ms = np.maximum(mean_ms[:, None] + std_ms[:, None] * _QUANTILES, 0)
    return Models(tuple(f"m{i}" for i in range(len(rows))), top1, mean_ms, std_ms, quantiles_ms)


def zoo(data: Path) -> Models:
    """The authors' models on their GPU server, without the MobileNets V1 for small pictures."""
    with (data / "profiles" / "cnnselect_zoo.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if "mobilenet_v1" not in row["model"] or "_224" in row["model"]]
    figures = [[float(row[name]) for name in ("top1_percent", "gpu_mean_ms", "gpu_std_ms")] for row in rows]
    return normal(*((top1 / 100, mean_ms, std_ms) for top1, mean_ms, std_ms in figures))
