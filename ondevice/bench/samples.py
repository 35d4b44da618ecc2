"""Statistics of a list of times."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ondevice.timing.arrays import FloatArray

# With fewer samples a 99th percentile is the maximum under another name.
P99_NEEDS = 100


class Summary(NamedTuple):
    """Times in ms; percentiles interpolated linearly, `std_ms` with n - 1. NaN where there are too few samples."""

    avg_ms: float
    std_ms: float
    min_ms: float
    max_ms: float
    p50_ms: float
    p90_ms: float
    p95_ms: float
    p99_ms: float


def summary(samples_ms: Sequence[float]) -> Summary:
    """The summary of samples in ms; all NaN for none, p99 NaN below P99_NEEDS samples, std NaN below two."""
    if not samples_ms:
        return Summary(*(math.nan,) * 8)
    values = np.asarray(samples_ms, float)
    p50, p90, p95, p99 = np.percentile(values, (50, 90, 95, 99)).tolist()
    std = float(values.std(ddof=1)) if len(values) > 1 else math.nan
    if len(values) < P99_NEEDS:
        p99 = math.nan
    return Summary(float(values.mean()), std, float(values.min()), float(values.max()), p50, p90, p95, p99)


def ratio_of_medians(
    a_ms: Sequence[float], b_ms: Sequence[float], rounds: int = 2000, seed: int = 0
) -> tuple[float, float, float]:
    """median(b) / median(a) and its 95 % interval, by the percentile bootstrap in blocks.

    Neighbouring samples are alike (the clock, the caches, other programs), so blocks of about n^(1/2) consecutive
    samples are drawn, not single ones (moving block bootstrap, Künsch 1989).
    """
    rng = np.random.default_rng(seed)
    ratios = _medians(np.asarray(b_ms, float), rounds, rng) / _medians(np.asarray(a_ms, float), rounds, rng)
    low, high = np.percentile(ratios, (2.5, 97.5)).tolist()
    return float(np.median(b_ms) / np.median(a_ms)), low, high


def _medians(values: FloatArray, rounds: int, rng: np.random.Generator) -> FloatArray:
    n = len(values)
    block = max(1, math.isqrt(n))
    starts = rng.integers(0, n - block + 1, (rounds, -(-n // block)))
    drawn = values[(starts[:, :, None] + np.arange(block)).reshape(rounds, -1)[:, :n]]
    return np.asarray(np.median(drawn, axis=1))
