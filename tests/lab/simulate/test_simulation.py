"""The simulator: published figures, a plain loop beside it, and what must hold for every policy."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from model_sets import PUBLISHED
from simulating import authors, small

from ondevice.errors import UsageError
from ondevice.lab.simulate import device_model, legs
from ondevice.lab.simulate.estimates import WINDOW, ReplyEstimate
from ondevice.lab.simulate.modelset import ModelSet
from ondevice.lab.simulate.simulation import (
    CHUNK,
    DEVICE,
    ORACLE,
    Case,
    RandomStreams,
    SimulationSettings,
    check_policy,
    ground_truths,
    simulate,
)
from ondevice.selection import policies
from ondevice.selection.policies import POLICIES
from ondevice.selection.problem import Requests

ALL = [*POLICIES, "mdinference:gamma=2", "cnnselect:reading=sigma", ORACLE, DEVICE]
SHARED, INDEPENDENT = "normal:mean=50,std=25", "lognormal:mean=46,std=24"
PHONE = device_model.given(0.414, 30)


def case(models: ModelSet, policy: str, network: str = SHARED, sla_ms: float = 150.0) -> Case:
    return Case(models, legs.find(network), sla_ms, policy)


@pytest.mark.parametrize(("policy", "sla_ms", "percent", "attainment"), PUBLISHED)
def test_the_authors_simulation(data: Path, policy: str, sla_ms: float, percent: float, attainment: float) -> None:
    found = simulate(case(authors(data), policy, SHARED, sla_ms), SimulationSettings(10_000))
    assert 100 * found.top1_chosen.value == pytest.approx(percent, abs=0.5)
    assert found.attainment.value == pytest.approx(attainment, abs=0.02)


@pytest.mark.parametrize(
    ("network", "sla_ms", "percent"),
    [
        (INDEPENDENT, 150, {"mdinference": 66.7, "layercake": 49.2, "effective": 72.6, "oracle": 76.1}),
        (INDEPENDENT, 200, {"mdinference": 73.2, "layercake": 73.3, "effective": 78.1, "oracle": 80.7}),
        (INDEPENDENT, 250, {"mdinference": 80.2, "layercake": 79.6, "effective": 80.7, "oracle": 82.3}),
        (
            "lognormal:mean=92,std=48",
            250,
            {"mdinference": 62.2, "layercake": 48.4, "effective": 69.4, "oracle": 73.5},
        ),
    ],
)
def test_effective_accuracy_with_the_true_distributions(
    data: Path, network: str, sla_ms: float, percent: dict[str, float]
) -> None:
    models, settings = authors(data), SimulationSettings(20_000, estimate=ReplyEstimate.TRUE, device=PHONE)
    found = {
        policy: 100 * simulate(case(models, policy, network, sla_ms), settings).effective_top1.value
        for policy in percent
    }
    assert found == pytest.approx(percent, abs=0.6)


@pytest.mark.parametrize("duplication", [True, False])
@pytest.mark.parametrize("policy", ["greedy", "mdinference", "layercake", "effective", ORACLE])
def test_a_plain_loop_gives_the_same(tmp_path: Path, policy: str, duplication: bool) -> None:
    models, n, sla_ms = small(tmp_path), 300, 120.0
    given, settings = (
        case(models, policy, INDEPENDENT, sla_ms),
        SimulationSettings(n, 3, device=PHONE, duplication=duplication),
    )
    found = simulate(given, settings)
    truth, history = ground_truths(given, settings, RandomStreams.of(3))(0, n), []
    chosen, effective, on_time, answer_ms = [], [], [], []
    for i in range(n):
        upload_ms, reply_ms = truth.legs.upload_ms[i], truth.legs.reply_ms[i]
        seen = ([(upload_ms, 2 * upload_ms)] * WINDOW if i == 0 else history)[-WINDOW:]
        history = [*(history or seen), (reply_ms, upload_ms + reply_ms)]
        request = Requests.one(
            sla_ms, upload_ms, device_top1=0.414 * duplication, reply_ms=[r for r, _ in seen],
            link_ms=[float(np.mean([t for _, t in seen]))],
        )  # fmt: skip
        times_ms = np.array([models.times_ms(truth.noise[i + j * n // 3], np.array(j)) for j in range(3)])
        total_ms = upload_ms + times_ms + reply_ms
        p = (
            policies.oracle(models.models, request, total_ms[None])
            if policy == ORACLE
            else policies.find(policy)(models.models, request)
        )
        model = int(p[0].argmax())
        chosen.append(model)
        on_time.append(total_ms[model] <= sla_ms)
        late = 0.414 if duplication else 0.0
        effective.append(models.models.top1[model] if on_time[-1] else late)
        answer_ms.append(min(total_ms[model], sla_ms) if duplication else total_ms[model])
    assert found.shares[:3] == pytest.approx(np.bincount(chosen, minlength=3) / n)
    assert found.attainment.value == pytest.approx(np.mean(on_time))
    assert found.effective_top1.value == pytest.approx(np.mean(effective))
    assert found.answer_times.mean_ms == pytest.approx(np.mean(answer_ms))
    assert found.device_share.value == pytest.approx(np.mean(np.logical_not(on_time)) if duplication else 0)


@pytest.mark.parametrize("network", [SHARED, "floor:min=20,tail=15", "trace:cellular,rtt=30"])
@pytest.mark.parametrize("policy", ALL)
def test_what_holds_for_every_policy(tmp_path: Path, policy: str, network: str) -> None:
    given, settings = case(small(tmp_path), policy, network), SimulationSettings(2000, device=PHONE)
    found, again, other = (simulate(given, each) for each in (settings, settings, replace(settings, seed=1)))
    assert (found.counts == again.counts).all()
    assert found.answer_times.mean_ms == again.answer_times.mean_ms != other.answer_times.mean_ms or policy == DEVICE
    assert found.shares.sum() == pytest.approx(1)
    bound = simulate(replace(given, policy=ORACLE), settings)
    assert found.attainment.value <= bound.attainment.value or policy == DEVICE
    assert found.effective_top1.value <= bound.effective_top1.value + 1e-9
    # Its device is faster than the deadline: there is always an answer.
    assert found.answer_times.quantile_ms(1) <= 150 * 1.003


@pytest.mark.parametrize("n", [1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK + 5])
def test_any_number_of_requests(tmp_path: Path, n: int) -> None:
    found = simulate(case(small(tmp_path), "mdinference"), SimulationSettings(n))
    assert found.counts.sum() == n


def test_the_first_requests_do_not_depend_on_how_many_follow(tmp_path: Path) -> None:
    given, settings = case(small(tmp_path), "mdinference"), SimulationSettings(CHUNK)
    first = ground_truths(given, settings, RandomStreams.of(0))(0, CHUNK)
    following = ground_truths(given, replace(settings, requests=3 * CHUNK), RandomStreams.of(0))
    assert (following(0, CHUNK).legs.upload_ms == first.legs.upload_ms).all()
    assert (following(CHUNK, 9).legs.upload_ms != first.legs.upload_ms[:9]).all()


def test_policies_and_deadlines_meet_the_same_requests(tmp_path: Path) -> None:
    models = small(tmp_path)
    slow = [
        simulate(case(models, policy, SHARED, 1e6), SimulationSettings(3000))
        for policy in ("static-accuracy", "greedy")
    ]
    assert slow[0].answer_times.mean_ms == slow[1].answer_times.mean_ms
    attainments = [
        simulate(case(models, "greedy", SHARED, sla), SimulationSettings(3000)).attainment.value
        for sla in (60, 120, 180)
    ]
    assert attainments == sorted(attainments)


def test_each_model_has_a_draw_of_its_own(tmp_path: Path) -> None:
    models, n = small(tmp_path), 4000
    truth = ground_truths(case(models, ORACLE), SimulationSettings(n), RandomStreams.of(0))(0, n)
    times_ms = truth.times_ms(models, np.arange(3), np.arange(n)[:, None])
    assert np.abs(np.corrcoef(times_ms.T) - np.eye(3)).max() < 0.05
    assert times_ms.mean(axis=0) == pytest.approx([10, 20, 40], rel=0.01)
    assert times_ms.std(axis=0) == pytest.approx([1, 2, 4], rel=0.05)
    assert (truth.times_ms(models, np.full(n, 2), np.arange(n)) == times_ms[:, 2]).all()


def test_what_the_device_does_for_a_late_answer(tmp_path: Path) -> None:
    models = small(tmp_path)
    slow_device = device_model.given(0.6, 400.0)

    def found(**settings: Any) -> Any:
        return simulate(
            case(models, "static-accuracy", "normal:mean=200,std=0", 300), SimulationSettings(50, **settings)
        )

    assert found().effective_top1.value == 0
    assert found(device=PHONE).effective_top1.value == pytest.approx(0.414)
    assert found(device=PHONE, duplication=False).effective_top1.value == 0
    assert found(device=PHONE).answer_times.mean_ms == 300
    # Neither is in time: what comes first is taken.
    assert found(device=slow_device).effective_top1.value == 0
    assert found(device=slow_device).answer_times.mean_ms == pytest.approx(400)
    assert found(device=slow_device, duplication=False).answer_times.mean_ms == pytest.approx(440, abs=3)


def test_on_the_device_alone(tmp_path: Path) -> None:
    found = simulate(case(small(tmp_path), DEVICE), SimulationSettings(100, device=PHONE))
    assert (found.attainment.value, found.device_share.value, found.answer_times.mean_ms) == (1, 1, 30)
    assert found.shares.tolist() == [0, 0, 0, 1]
    late = simulate(case(small(tmp_path), DEVICE, sla_ms=20), SimulationSettings(100, device=PHONE))
    assert (late.attainment.value, late.effective_top1.value) == (0, 0)


def test_a_change_of_the_network_is_learned_within_the_window(tmp_path: Path) -> None:
    models, text = small(tmp_path), "lognormal:mean=20,std=2,drift=3@1000"
    given, settings = Case(models, legs.find(text), 110, "effective"), SimulationSettings(2000)
    counts = simulate(given, settings).counts.sum(axis=2)
    # 10 requests a block: before the change the slow one always, and from the second block after it never.
    assert (counts[:100, 2] == 10).all()
    assert (counts[103:, 2] == 0).all()


def test_policies_are_known_by_name() -> None:
    for text in ALL:
        check_policy(text)
    for text, said in (
        ("orcale", "did you mean oracle"),
        ("mdinferense", "did you mean mdinference"),
        ("greedy:x=1", "no setting"),
    ):
        with pytest.raises(UsageError, match=said):
            check_policy(text)
