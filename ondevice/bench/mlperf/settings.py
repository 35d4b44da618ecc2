"""What LoadGen is to do: the scenarios that it knows, and the settings of one run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from ondevice.bench.spec import LONGEST_S
from ondevice.errors import UsageError
from ondevice.timing.bounds import LONGEST_MS


class LoadGenScenario(NamedTuple):
    """How LoadGen spells a scenario, and where its detail log has the figure that MLPerf reports."""

    spelling: str
    metric: str
    key: str
    unit: str


LOADGEN = {
    "single-stream": LoadGenScenario(
        "SingleStream", "90th percentile latency", "result_90.00_percentile_latency_ns", "ms"
    ),
    "multi-stream": LoadGenScenario(
        "MultiStream", "99th percentile latency", "result_99.00_percentile_per_query_latency_ns", "ms"
    ),
    "server": LoadGenScenario("Server", "queries per second", "result_completed_samples_per_sec", "1/s"),
    "offline": LoadGenScenario("Offline", "samples per second", "result_samples_per_second", "1/s"),
}
SCENARIOS = tuple(LOADGEN)


@dataclass(frozen=True)
class ScenarioSettings:
    """What LoadGen is asked for.

    A run goes on until `min_queries` and `min_duration_s` are both reached; offline asks for its samples in one query,
    and `min_queries` are its least samples. A server that is 5 s behind (twice the bound, if that is more) ends early
    and INVALID. LoadGen calls a run VALID only from a number of queries that bears out its percentile: 64 in
    single-stream, 662 in multi-stream, 459 in server and more with each that was late.

    target_qps: server's mean rate of Poisson arrivals, 1/s; None: search the highest at which the 99th percentile
    meets `latency_bound_ms`. samples_per_query: multi-stream's. seed: the order of samples and the times of arrival
    follow from it; MLPerf prescribes seeds of its own. Raises UsageError for what cannot be run.
    """

    scenario: str
    min_queries: int = 100
    min_duration_s: float = 10.0
    target_qps: float | None = None
    latency_bound_ms: float = 100.0
    samples_per_query: int = 8
    seed: int = 0

    def __post_init__(self) -> None:
        if self.scenario not in LOADGEN:
            raise UsageError(f"no scenario '{self.scenario}': choose {', '.join(SCENARIOS)}")
        for number, low, high, name in (
            (self.min_queries, 1, 10**7, "the least queries"),
            (self.min_duration_s, 0, LONGEST_S, "the least duration in seconds"),
            (1.0 if self.target_qps is None else self.target_qps, 0.001, 10**6, "the queries per second"),
            (self.latency_bound_ms, 0.001, LONGEST_MS, "the latency bound in ms"),
            (self.samples_per_query, 1, 10**4, "the samples per query"),
            (self.seed, 0, 2**32 - 1, "the seed"),
        ):
            if not low <= number <= high:
                raise UsageError(f"{name} must be from {low} to {high}, not {number:g}")
