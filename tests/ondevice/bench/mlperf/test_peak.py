"""The search for the peak, on servers that are formulas."""

from __future__ import annotations

import pytest

from ondevice.bench.mlperf.peak import search
from ondevice.bench.mlperf.result import ScenarioResult

LATENCY_S = 0.01


class Server:
    """Meets the bound up to a rate."""

    def __init__(self, peak: float, bound_ms: float = 100.0) -> None:
        self.peak, self.bound_ms = peak, bound_ms
        self.rates: list[float] = []

    def __call__(self, rate: float) -> ScenarioResult:
        self.rates.append(rate)
        p99_ns = (0.5 if rate <= self.peak else 2.0) * self.bound_ms * 1e6
        details = {"result_99.00_percentile_latency_ns": p99_ns}
        return ScenarioResult("server", "queries per second", rate, "1/s", True, (), 100, "", details)


@pytest.mark.parametrize("peak", [14.0, 30.0, 79.0, 80.0, 95.0, 140.0, 300.0])
def test_the_peak_is_found_within_a_step_of_five_percent(peak: float) -> None:
    server = Server(peak)
    found = search(server, LATENCY_S, 100.0).value
    assert found <= peak < found * 1.06
    assert min(rate for rate in server.rates if rate > found) <= found * 1.06


def test_where_no_rate_meets_the_bound_the_lowest_is_given() -> None:
    server = Server(0.0)
    assert search(server, LATENCY_S, 100.0).value == min(server.rates) < 0.25 / LATENCY_S


def test_a_bound_below_one_inference_is_not_searched_for() -> None:
    server = Server(0.0, bound_ms=5.0)
    search(server, LATENCY_S, 5.0)
    assert len(server.rates) == 1


def test_a_server_without_a_peak_is_given_up_after_some_runs() -> None:
    server = Server(float("inf"))
    assert search(server, LATENCY_S, 100.0).value == max(server.rates)
    assert len(server.rates) == 14
