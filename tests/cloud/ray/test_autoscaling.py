"""The rule as Ray's autoscaler has it: with Ray's own types where it is installed, with others like them where not."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from clock import Clock

from ondevice.cloud.ray import autoscaling as module
from ondevice.cloud.ray.autoscaling import ReplicaScaling, autoscaling_config, reported
from ondevice.cloud.ray.scaling import ReplicaReport, ScalingRules
from ondevice.cloud.select.traffic import Traffic
from ondevice.errors import UsageError

NAMES = ReplicaReport._fields[1:]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(module, "monotonic", clock)
    return clock


class Replica(SimpleNamespace):
    """A replica as Ray names it."""

    def __hash__(self) -> int:
        return hash(self.unique_id)


A, B = Replica(unique_id="a"), Replica(unique_id="b")


def context(clock: Clock, *running: Replica, state: dict[str, Any] | None = None, **other: Any) -> Any:
    """What Ray tells at one look. The replicas' own clocks are an hour ahead."""
    given: dict[str, Any] = {
        "running_replicas": list(running),
        "target_num_replicas": 1,
        "capacity_adjusted_min_replicas": 1,
        "capacity_adjusted_max_replicas": 4,
        "policy_state": state or {},
        "raw_metrics": {},
    }
    return SimpleNamespace(**given | other)


def series(at: float, *each: tuple[Replica, tuple[float, ...]]) -> dict[str, dict[Replica, list[Any]]]:
    """Replicas and the sums that each reported last, as Ray keeps them: by name, with what it reported before."""
    return {
        name: {
            replica: [SimpleNamespace(timestamp=at - 2, value=-1.0), SimpleNamespace(timestamp=at, value=sums[place])]
            for replica, sums in each
        }
        for place, name in enumerate(NAMES)
    }


def test_a_replica_reports_its_sums_by_the_names_that_are_read() -> None:
    traffic = Traffic(admitted=12, crowded_out=3, price=2.5, worked_s=8.0)
    assert reported(traffic, workers=2) == {"admitted": 12.0, "crowded_out": 3.0, "price": 2.5, "worked_s": 4.0}
    # Ray takes nothing else, and stops asking where it is told anything else.
    assert {type(value) for value in reported(Traffic(), 1).values()} == {float}


def looks(clock: Clock, sums: Callable[[float], tuple[float, ...]], seconds: int) -> list[int]:
    """What is wanted as the seconds go by, of a replica that reports these sums every two."""
    scaling, state, counts = ReplicaScaling(), {}, []
    for _ in range(seconds):
        at = 3600.0 + clock() - clock() % 2
        told = context(clock, A, state=state, raw_metrics=series(at, (A, sums(at))))
        count, state = scaling(told)
        counts.append(count)
        clock.pass_ms(1000)
    return counts


def test_what_is_crowded_out_is_reason_for_one_more(clock: Clock) -> None:
    """With the second report, for in the second before it more was lost than a start takes."""
    counts = looks(clock, lambda at: (100 * at, 100 * at, 50 * at, at), 5)
    assert counts == [1, 1, 2, 2, 2]


def test_without_any_it_is_not(clock: Clock) -> None:
    assert looks(clock, lambda at: (100 * at, 0, 0, 0.5 * at), 60) == [1] * 60


@pytest.mark.parametrize("told", [{}, None, {"admitted": {A: []}}, {"ongoing": {A: [1.0]}}])
def test_who_says_nothing_or_half_is_waited_for(clock: Clock, told: Any) -> None:
    count, _ = ReplicaScaling()(context(clock, A, B, target_num_replicas=2, raw_metrics=told))
    assert count == 2


def test_who_does_not_serve_any_more_is_not_heard(clock: Clock) -> None:
    """Ray may still have the report of a replica that has gone."""
    told = series(100.0, (A, (1, 0, 0, 1)), (B, (1, 0, 0, 1)))
    _, state = ReplicaScaling()(context(clock, A, raw_metrics=told))
    assert set(state["ondevice"].reports) == {"a"}


def test_only_an_application_that_is_to_stop_has_no_replica(clock: Clock) -> None:
    none = {"capacity_adjusted_min_replicas": 0}
    assert ReplicaScaling()(context(clock, A, **none))[0] == 1
    assert ReplicaScaling()(context(clock, A, **none, capacity_adjusted_max_replicas=0))[0] == 0


# With Ray


def test_ray_asks_our_rule_and_adds_nothing_of_its_own() -> None:
    pytest.importorskip("ray.serve", reason="needs the extra: pip install 'ondevice-cnn[ray]'")
    from ray.serve._private.autoscaling_state import _resolve_policy_callable
    from ray.serve._private.common import DeploymentID, ReplicaID, TimeStampedValue
    from ray.serve.autoscaling_policy import _apply_autoscaling_config
    from ray.serve.config import AutoscalingContext

    config = autoscaling_config(ScalingRules(1, 3, worth=20.0))
    assert (config.min_replicas, config.max_replicas) == (1, 3)
    rule = _apply_autoscaling_config(_resolve_policy_callable(config.policy))
    name = DeploymentID("ondevice", "ondevice")
    one = ReplicaID("r", name)
    state: dict[str, Any] = {}
    for at in (10.0, 12.0):
        told = AutoscalingContext(
            deployment_id=name,
            deployment_name="ondevice",
            app_name="ondevice",
            current_num_replicas=1,
            target_num_replicas=3,
            running_replicas=[one],
            total_num_requests=0.0,
            total_queued_requests=0.0,
            aggregated_metrics=None,
            raw_metrics={key: {one: [TimeStampedValue(at, 10 * at)]} for key in NAMES},
            capacity_adjusted_min_replicas=1,
            capacity_adjusted_max_replicas=2,
            policy_state=state,
            last_scale_up_time=None,
            last_scale_down_time=None,
            current_time=at,
            config=config,
        )
        count, state = rule(told)
        # At once, without Ray's delays: other bounds hold.
        assert count == 2
    assert state["ondevice"].rates["r"].admitted == pytest.approx(10.0)


def test_bounds_among_the_arguments_of_an_application_are_its_deployments() -> None:
    pytest.importorskip("httptools", reason="needs the extra: pip install 'ondevice-cnn[serve]'")
    pytest.importorskip("ray.serve", reason="needs the extra: pip install 'ondevice-cnn[ray]'")
    from ondevice.cloud.ray.deployment import build

    bounded = build({"replicas": "1..3", "sla": "250"})._bound_deployment._deployment_config
    assert (bounded.autoscaling_config.min_replicas, bounded.autoscaling_config.max_replicas) == (1, 3)
    # YAML has a number for one number.
    fixed = build({"replicas": 2})._bound_deployment._deployment_config
    assert (fixed.num_replicas, fixed.autoscaling_config) == (2, None)
    with pytest.raises(UsageError, match=r"^replicas must be a number, or bounds such as 1\.\.4, not 'some'"):
        build({"replicas": "some"})
