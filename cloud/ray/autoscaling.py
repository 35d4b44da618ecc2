"""The rule of `scaling` as Ray Serve's autoscaler has it: what replicas report, and what its controller calls.

In a file of Ray Serve's an operator writes `replicas: 1..4` among the application's `args`, or sets what
`autoscaling_config` gives by hand, `policy_kwargs: {worth: 20}` too.
"""

from __future__ import annotations

import warnings
from time import monotonic
from typing import TYPE_CHECKING, Any

from ondevice.cloud.ray.scaling import WORTH, Fleet, ReplicaReport, ScalingRules, wanted
from ondevice.cloud.select.traffic import Traffic

if TYPE_CHECKING:
    from ray.serve.config import AutoscalingConfig, AutoscalingContext

# Between two reports of a replica, s: short beside a start, and one small message.
_REPORT_S = 2.0
# For so long Ray keeps what was reported: it wants more than is between two reports, a fifth of it between two samples.
_KEPT_S = 10.0
# Ray hands back what is under a key that is not its own.
_KEY = "ondevice"


def reported(traffic: Traffic, workers: int) -> dict[str, float]:
    """What a replica with so many workers says of itself; Ray adds when."""
    sums = (traffic.admitted, traffic.crowded_out, traffic.price, traffic.worked_s / workers)
    return dict(zip(ReplicaReport._fields[1:], map(float, sums), strict=True))


class ReplicaScaling:
    """What Ray's controller calls, some ten times a second. worth: as `ScalingRules` has it."""

    def __init__(self, worth: float = WORTH) -> None:
        self._worth = worth

    def __call__(self, context: AutoscalingContext) -> tuple[int, dict[str, Any]]:
        """How many replicas there are to be, never none unless all of the application is to stop; and what to keep."""
        least, most = context.capacity_adjusted_min_replicas, context.capacity_adjusted_max_replicas
        kept = context.policy_state.get(_KEY)
        if most < 1:
            return most, {_KEY: kept}
        rules = ScalingRules(max(least, 1), most, self._worth)
        count, state = wanted(kept, _fleet(context), rules)
        return count, {_KEY: state}


def _fleet(context: AutoscalingContext) -> Fleet:
    running = frozenset(replica.unique_id for replica in context.running_replicas)
    # Reports have their machines' clocks, which are compared with themselves alone.
    return Fleet(monotonic(), running, context.target_num_replicas, _reports(context))


def _reports(context: AutoscalingContext) -> dict[str, ReplicaReport]:
    """The newest of each replica, of those that say all of it."""
    series = context.raw_metrics or {}
    names = ReplicaReport._fields[1:]
    whole = [
        replica for replica in series.get(names[0], {}) if all(series.get(name, {}).get(replica) for name in names)
    ]
    return {
        replica.unique_id: ReplicaReport(
            series[names[0]][replica][-1].timestamp, *(series[name][replica][-1].value for name in names)
        )
        for replica in whole
    }


def autoscaling_config(rules: ScalingRules) -> AutoscalingConfig:
    """By these rules alone, with none of Ray's own delays."""
    from ray.serve.config import AutoscalingConfig, AutoscalingPolicy

    with warnings.catch_warnings():
        # Ray would rather have it from the environment, and reads it from here.
        warnings.simplefilter("ignore", DeprecationWarning)
        return AutoscalingConfig(
            min_replicas=rules.least,
            max_replicas=rules.most,
            metrics_interval_s=_REPORT_S,
            look_back_period_s=_KEPT_S,
            upscale_delay_s=0.0,
            downscale_delay_s=0.0,
            policy=AutoscalingPolicy(
                policy_function=f"{__name__}:{ReplicaScaling.__name__}", policy_kwargs={"worth": rules.worth}
            ),
        )
