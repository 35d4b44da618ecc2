"""The search for the highest rate at which a server meets its latency bound.

By runs of our own: LoadGen's search stops at an absolute precision, after as many runs as that takes, and keeps the
last one's log alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from ondevice.bench.mlperf.result import ScenarioResult

# Rates are shares of one inference after the other: the first, and below which to give up; the steps until the peak
# lies between two; how near those must then come.
_FIRST, _LOWEST, _UP, _DOWN, _NEAR, _MAX_RUNS = 0.8, 0.12, 1.25, 0.5, 1.05, 14


def search(run_at: Callable[[float], ScenarioResult], latency_s: float, bound_ms: float) -> ScenarioResult:
    """The result of the highest rate (1/s) tried whose 99th percentile is within `bound_ms`, else of the lowest.

    run_at: runs the server at a rate. latency_s: what one inference alone takes.
    """
    low, high, rate = 0.0, math.inf, _FIRST / latency_s
    # Where one inference alone takes longer than the bound, no rate meets it.
    lowest = (_LOWEST if latency_s * 1e3 < bound_ms else 1.0) / latency_s
    tried: dict[float, ScenarioResult] = {}
    while len(tried) < _MAX_RUNS and high > low * _NEAR and (low or high >= lowest):
        tried[rate] = run_at(rate)
        met = tried[rate].details["result_99.00_percentile_latency_ns"] <= bound_ms * 1e6
        low, high = (rate, high) if met else (low, rate)
        rate = _next(low, high)
    return tried[low or high]


def _next(low: float, high: float) -> float:
    if math.isinf(high):
        return low * _UP
    return math.sqrt(low * high) if low else high * _DOWN
