"""Queues: against theory, against a recursion, and what policies know of them."""

from __future__ import annotations

import heapq
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from simulating import authors, small

from ondevice.lab.simulate import arrivals, device_model, legs
from ondevice.lab.simulate.arrivals import ALONE
from ondevice.lab.simulate.estimates import RequestEstimator
from ondevice.lab.simulate.legs import DEFAULT_SIZES
from ondevice.lab.simulate.modelset import ModelSet
from ondevice.lab.simulate.queueing import SimulatedServer, simulate
from ondevice.lab.simulate.simulation import (
    DEVICE,
    ORACLE,
    Case,
    GroundTruth,
    QueueView,
    RandomStreams,
    SimulationSettings,
    ground_truths,
)
from ondevice.selection.policies import POLICIES
from ondevice.selection.problem import Models, Requests
from ondevice.timing.arrays import FloatArray

FAST = legs.find("normal:mean=5,std=0")
STEADY = "model,top1,mean_ms,std_ms\nfast,0.5,10,0\nmiddle,0.7,20,0\nslow,0.8,40,0\n"


def case(models: ModelSet, policy: str, load: str, queue: QueueView = QueueView.BLIND, workers: int = 1) -> Case:
    return Case(models, FAST, 150, policy, arrivals.find(load), workers, queue)


def recursion(at_ms: FloatArray, times_ms: FloatArray, workers: int) -> list[float]:
    """What each waits, by the time at which each worker is free next (Kiefer and Wolfowitz, 1955)."""
    free_ms, waits_ms = [0.0] * workers, []
    for at, takes in zip(at_ms, times_ms, strict=True):
        begins = max(at, free_ms[0])
        heapq.heapreplace(free_ms, begins + takes)
        waits_ms.append(begins - at)
    return waits_ms


def served(given: Case, n: int, rule: Any) -> tuple[SimulatedServer, GroundTruth]:
    settings = SimulationSettings(n)
    truth = ground_truths(given, settings, RandomStreams.of(0))(0, n)
    requests = RequestEstimator(settings.estimate, given.network, DEFAULT_SIZES).requests(truth.legs, given.sla_ms, 0.0)
    server = SimulatedServer(given, truth, requests, rule)
    server.run()
    return server, truth


@pytest.mark.parametrize("load", [0.3, 0.8])
def test_one_worker_waits_as_theory_says(tmp_path: Path, load: float) -> None:
    """M/G/1: the mean wait is rate E[S^2] / (2 (1 - load)) (Pollaczek and Khinchine)."""
    found = simulate(case(small(tmp_path), "static-accuracy", f"poisson:load={load}"), SimulationSettings(40_000))
    assert found.wait_ms == pytest.approx(load / 40 * (40**2 + 4**2) / (2 * (1 - load)), rel=0.1)
    assert found.server_ms == pytest.approx(40, rel=0.01)


def test_exponential_service_waits_as_theory_says(tmp_path: Path) -> None:
    """M/M/1: load / (1 - load) times the mean service; its variance is that of the 21 quantiles that are kept."""
    from ondevice.lab.simulate import modelset
    from ondevice.timing import profile
    from ondevice.timing.profile import Profile

    samples = (-20 * np.log(1 - (np.arange(2000) + 0.5) / 2000)).tolist()
    path = tmp_path / "p.json"
    path.write_text(profile.dumps([Profile.of("digits_s_int8", samples, "here", "x", 1)]))
    models = modelset.find(str(path))
    drawn = models.times_ms((np.arange(20_000) + 0.5) / 20_000, np.array(0))
    found = simulate(case(models, "static-accuracy", "poisson:rate=25"), SimulationSettings(60_000))
    load = 25e-3 * drawn.mean()
    assert found.wait_ms == pytest.approx(25e-3 * (drawn**2).mean() / (2 * (1 - load)), rel=0.1)
    assert found.wait_ms == pytest.approx(20, rel=0.15)


@pytest.mark.parametrize("workers", [1, 2, 5])
@pytest.mark.parametrize("load", ["poisson:load=0.9", "poisson:load=1.3", "bursts:load=0.5,factor=4,length=0.5"])
def test_first_come_is_first_served(tmp_path: Path, load: str, workers: int) -> None:
    given = case(small(tmp_path), "random", load, workers=workers)
    rng = np.random.default_rng(1)
    server, truth = served(given, 800, lambda models, requests, total_ms: rng.integers(0, 3, len(requests)))
    times_ms = truth.times_ms(given.models, server.model, np.arange(800))
    assert server.wait_ms == pytest.approx(recursion(truth.legs.through_ms, times_ms, workers))


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_the_expected_wait_comes_true_where_nothing_varies(tmp_path: Path, workers: int) -> None:
    given = case(small(tmp_path, STEADY), "random", "poisson:load=1.0", QueueView.KNOWN, workers)
    told: list[float] = []

    def rule(models: Models, requests: Requests, total_ms: Any) -> Any:
        told.append(float(requests.wait_ms[0, 0]))
        return np.array([len(told) % 3])

    server, _ = served(given, 500, rule)
    assert max(told) > 20
    assert server.wait_ms == pytest.approx(told)


@pytest.mark.parametrize("queue", QueueView)
def test_the_oracle_sees_the_true_times(tmp_path: Path, queue: QueueView) -> None:
    given = case(small(tmp_path), ORACLE, "poisson:load=0.9", queue, 2)
    seen: list[FloatArray] = []

    def rule(models: Models, requests: Requests, total_ms: Any) -> Any:
        seen.append(total_ms())
        return np.arange(len(requests)) + len(seen) % 3 if len(requests) == 1 else np.arange(len(requests)) % 3

    server, truth = served(given, 200, rule)
    waits_ms = np.zeros(200) if queue is QueueView.BLIND else server.wait_ms
    times_ms = truth.times_ms(given.models, np.arange(3), np.arange(200)[:, None])
    assert np.concatenate(seen) == pytest.approx(10 + waits_ms[:, None] + times_ms)


def test_a_long_queue_is_reckoned_in_the_mean(tmp_path: Path) -> None:
    given = case(small(tmp_path, STEADY), "static-accuracy", "poisson:load=3", QueueView.KNOWN, 3)
    told: list[float] = []

    def rule(models: Models, requests: Requests, total_ms: Any) -> Any:
        told.append(float(requests.wait_ms[0, 0]))
        return np.array([2])

    server, _ = served(given, 600, rule)
    assert server.wait_ms[-1] > 3000
    assert np.abs(server.wait_ms - told).max() <= 40


@pytest.mark.parametrize("queue", [QueueView.KNOWN, QueueView.TURN])
def test_who_knows_the_queue_holds_the_deadline_under_overload(data: Path, queue: QueueView) -> None:
    models, settings = authors(data), SimulationSettings(3000)
    given = Case(models, legs.find("lognormal:mean=20,std=10"), 250, "effective", arrivals.find("poisson:load=1.5"), 2)
    assert simulate(given, settings).attainment.value < 0.2
    assert simulate(replace(given, queue=queue), settings).attainment.value > 0.95


@pytest.mark.parametrize("policy", [*POLICIES, ORACLE])
def test_a_server_that_is_never_busy_is_as_no_queue(tmp_path: Path, policy: str) -> None:
    (tmp_path / "seldom").write_text("\n".join(str(1000 * i) for i in range(1, 201)))
    given = case(small(tmp_path), policy, f"file:{tmp_path / 'seldom'}")
    alone = simulate(replace(given, arrivals=ALONE), SimulationSettings(200))
    for queue in QueueView:
        found = simulate(replace(given, queue=queue), SimulationSettings(200))
        assert found.wait_ms == 0
        if policy not in ("random", "budget-random", "budget-weighted", "cnnselect"):
            assert (found.counts == alone.counts).all()


def test_a_seed_makes_one_result_and_the_device_knows_no_queue(tmp_path: Path) -> None:
    given = case(small(tmp_path), "cnnselect", "bursts:load=1.1,length=0.2", QueueView.KNOWN)
    assert (simulate(given, SimulationSettings(500)).counts == simulate(given, SimulationSettings(500)).counts).all()
    settings = SimulationSettings(50, device=device_model.given(0.4, 30))
    assert simulate(replace(given, policy=DEVICE), settings).device_share.value == 1
    assert simulate(given, SimulationSettings(1)).counts.sum() == 1
