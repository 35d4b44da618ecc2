"""Breaker, retry budget and pushback together: a smaller herd than `benchmarks/herd.py` has, through its functions."""

from __future__ import annotations

import random
from typing import Any

import pytest
from project import ROOT

CLIENTS = 1000
# Of a thousand clients each second gets 182 probes, give or take 12: by chance alone never 70 more.
MOST = 250


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    import herd

    return herd


@pytest.mark.parametrize("over_s", [0.0, 1.0])
def test_after_one_outage_clients_ask_evenly_and_rarely(bench: Any, over_s: float) -> None:
    scenario = bench.Scenario(CLIENTS, over_s)
    traffic = bench.herd(scenario)
    found = bench.figures(traffic, scenario)
    assert found.requests <= MOST
    assert found.ratio <= bench.MOST_RATIO
    assert not found.besides
    assert len(traffic.found) == CLIENTS
    assert found.found_s[1] <= 11
    assert found.in_vain <= 3, "it is told three times at most to come back in five seconds"


@pytest.mark.parametrize("over_s", [0.0, 1.0])
def test_with_doubling_pauses_all_ask_at_once(bench: Any, over_s: float) -> None:
    scenario = bench.Scenario(CLIENTS, over_s)
    found = bench.figures(bench.herd(scenario, now=False), scenario)
    assert found.requests >= 0.9 * CLIENTS
    assert found.in_vain > 8


def test_a_client_whose_budget_is_spent_sends_each_request_once_and_then_probes_alone(bench: Any) -> None:
    traffic = bench.Traffic()
    client = bench.Client(random.Random(0), 60.0, traffic, now=True)
    for _ in range(5):
        client.budget.failed()
    client.request(0.0)  # on the connection that it had
    assert traffic.requests == [0.0]
    client.request(1.0)
    assert traffic.requests == [0.0, 1.0]
    for at in range(2, 60):
        client.request(float(at))
        client.probe(float(at))
    assert traffic.requests == [0.0, 1.0]
    assert 5 <= len(traffic.probes) <= 10


def test_its_figures_are_of_the_outage_and_count_any_second_after_the_first(bench: Any) -> None:
    scenario = bench.Scenario(10, 0.0, outage_s=4)
    traffic = bench.Traffic(
        requests=[0.05] * 50 + [1.55, 2.45, 5.0],
        probes=[0.25, 1.65, 1.65, 2.35, 3.95, 9.0],
        besides=[3.0, 7.0],
        in_vain=[4.5, 5.5],
        found=[5.0, 6.0, 9.0],
    )
    assert bench.figures(traffic, scenario) == (5, 10.0, 1, (2.0, 5.0), 0.2)
    assert list(bench.ratios(bench.tenths(traffic.probes, scenario))) == [10, 10, 10, 10]
    assert bench.seconds(traffic, scenario).splitlines()[2:4] == [
        "| 0 | 50 | 1 | 1 | 10.00 |",
        "| 1 | 1 | 2 | 2 | 10.00 |",
    ]
