"""Where each request goes, from what device and cloud are known to take, and what has become of the others."""

from __future__ import annotations

import math
from time import perf_counter

from ondevice.answer import Answer
from ondevice.client.executors.attempt import Attempt, Task
from ondevice.client.executors.cloud import CloudExecutor
from ondevice.client.executors.device import DeviceExecutor
from ondevice.client.planning import plan as plans
from ondevice.client.planning.exploration import Exploration
from ondevice.client.planning.plan import DeviceEstimate, Mode, Plan
from ondevice.timing.recent import Recent

# Waking up to hand an answer over takes so long until it is known better, then this more than the longest of late; of a
# deadline at most this share is given up for it. A phone's scheduler is a millisecond or two late, seldom more. Where
# two cores have more to do than they can, one in fourteen wakes up over 7.5 ms late, 5 % of 150 ms: the replies that
# come in the next 3 % are worth no more than the answers that they make late.
_WAKING_MS, _MORE_MS, _GUARD_SHARE = 3.0, 2.0, 0.08


class Planner:
    """confident: the score from which `cascade` takes the device's answer. device, cloud: None where there is none."""

    def __init__(
        self, mode: Mode, confident: float, device: DeviceExecutor | None, cloud: CloudExecutor | None
    ) -> None:
        self._mode, self._confident, self._device, self._cloud = mode, confident, device, cloud
        self._exploration = Exploration()
        self._waking, self._longest_ms = Recent([_WAKING_MS]), _WAKING_MS

    def guard_ms(self, task: Task) -> float:
        """So long before the deadline what there is is handed over. May be asked for on any thread."""
        return min(self._longest_ms + _MORE_MS, _GUARD_SHARE * task.sla_ms)

    def overslept(self, late_ms: float) -> None:
        """Learn how late somebody woke up to hand an answer over."""
        self._waking.add(late_ms)
        self._longest_ms = self._waking.distribution.longest_ms

    def model(self, task: Task) -> int:
        """Which of the device's models would run."""
        return self._device.best(self._within_ms(task)) if self._device else 0

    def plan(self, task: Task, model: int) -> Plan:
        """Where it goes. model: the device's."""
        device = self._device_estimate(self._device, task, model) if self._device else None
        if self._cloud is None or self._mode is Mode.DEVICE:
            return plans.fixed(Mode.DEVICE, device)
        self._cloud.link.discovery.maintain()
        if device and (why := self._unfit(self._cloud, task)):
            return Plan(False, 0.0, why)
        if self._mode is Mode.CASCADE and device and device.chance == 1:
            return Plan(False, 0.0, "device first")
        in_reserve = device.effective_top1 if device and self._mode is not Mode.CLOUD else 0.0
        estimate = self._cloud.estimate(task.picture, self._within_ms(task) - task.elapsed_ms, in_reserve)
        if device is None or self._mode in (Mode.CLOUD, Mode.HEDGE):
            return plans.fixed(self._mode, device, estimate)
        return self._explored(self._cloud, plans.auto(device, estimate, self._exploration.due(perf_counter())))

    def after_device(self, attempt: Attempt) -> Plan:
        """For `cascade`: the plan once the device has a result."""
        assert self._cloud
        cloud, task, result = self._cloud, attempt.task, attempt.result
        if isinstance(result, Answer) and result.score >= self._confident:
            return Plan(False, 0.0, f"the device was confident: {result.score:.3f}")
        if why := self._unfit(cloud, task):
            return Plan(False, 0.0, why)
        if not isinstance(result, Answer):
            return Plan(True, math.inf, f"the device failed: {result}")
        left_ms = self._within_ms(task) - task.elapsed_ms
        device, estimate = DeviceEstimate(attempt.top1, 1.0, 0.0), cloud.estimate(task.picture, left_ms, attempt.top1)
        exploring = self._exploration.due(perf_counter())
        return self._explored(cloud, plans.cascade(result.score, left_ms, device, estimate, exploring))

    def _unfit(self, cloud: CloudExecutor, task: Task) -> str:
        """Why the cloud is not asked now, whatever would come of it; empty: it may be."""
        if not cloud.link.health.breaker.closed:
            return f"the cloud fails: {cloud.problem}"
        if held_ms := cloud.link.health.held_ms(task.sla_ms):
            return f"the cloud asked not to be asked for another {held_ms:.0f} ms"
        return ""

    def _explored(self, cloud: CloudExecutor, plan: Plan) -> Plan:
        """The plan, with an exploring send taken out of it where too much has failed; a probe goes in its place."""
        self._exploration.planned(plan, perf_counter())
        if not plan.explore or cloud.link.health.budget.allows:
            return plan
        cloud.link.discovery.probe()
        return plan.unexplored()

    def _device_estimate(self, device: DeviceExecutor, task: Task, model: int) -> DeviceEstimate:
        within_ms = self._within_ms(task)
        free_ms = within_ms - device.wait_ms()
        known = device.models[model]
        chance = known.chance(free_ms)
        # Whoever begins it wakes up for that as late as whoever hands it over.
        latest_ms = max(free_ms - known.worst_ms - self.guard_ms(task), 0.0)
        # Where it cannot be in time, it is only for when nothing else has been.
        return DeviceEstimate(known.top1, chance, latest_ms if chance else within_ms)

    def _within_ms(self, task: Task) -> float:
        return task.sla_ms - self.guard_ms(task)
