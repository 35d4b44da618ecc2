"""One request under way: here, there or both, until there is an answer."""

from __future__ import annotations

import asyncio
import dataclasses
import math
from collections.abc import Callable
from typing import NamedTuple

from ondevice.answer import Answer
from ondevice.client import endings
from ondevice.client.executors.attempt import Attempt, AttemptOutcome, Ending, Executor, Task
from ondevice.client.executors.device import RunOptions
from ondevice.client.executors.request import SendOptions
from ondevice.client.planning.plan import Plan
from ondevice.client.progress import Progress
from ondevice.errors import FailureKind, UpstreamError

# A reply that is late but wanted for what it tells of the network is waited for so long: longer than any deadline that
# makes sense for a camera, short enough to hold no connection for good.
_EXPLORING_REPLY_S = 3.0
# When patience ends, the cloud itself knows best what was waited for; a busy device takes a moment to say so.
_LAST_WORD_MS = 20.0


class Event(NamedTuple):
    """Something that happened to a request. at_ms: after its call.

    what: `sent`, `device` (it begins), `cloud answer`, `device answer`, `failed` (the cloud), `answered`.
    """

    request: int
    at_ms: float
    what: str
    detail: str


class Executors(NamedTuple):
    """Where a request can be begun; None where it never is."""

    device: Executor[RunOptions] | None
    cloud: Executor[SendOptions] | None


class FlightOptions(NamedTuple):
    """How a request is carried out.

    guard_ms: so long before the deadline an answer is handed over. patience_ms: how long after the deadline the
    cloud is waited for where there is nothing else. confident: the device's score that ends a request at once.
    model: the device's. device_top1: that model's accuracy. anytime: how many answers the endpoint may give.
    replan: what is planned once the device has a result, where nothing was sent; None: the plan stands. report: called
    with each event: when, ms after the call, what, and a detail.
    """

    guard_ms: float
    patience_ms: float
    confident: float
    report: Callable[[float, str, str], None]
    model: int = 0
    device_top1: float = 0.0
    anytime: int = 1
    replan: Callable[[Attempt], Plan] | None = None

    def hand_over_ms(self, task: Task) -> float:
        """When, after its call, what there is is handed over."""
        return task.sla_ms - self.guard_ms

    def patient_until_ms(self, task: Task) -> float:
        """When, after its call, the cloud is given up where there is nothing else."""
        return task.sla_ms + self.patience_ms + _LAST_WORD_MS

    def sending(self, task: Task, plan: Plan, alone: bool) -> SendOptions:
        """How the cloud is asked by a plan. alone: whether there is nothing else to wait for."""
        reserve = math.isfinite(plan.device_at_ms)
        keep_s = self.patience_ms / 1e3 if alone else 0.0
        return SendOptions(
            self.device_top1 if reserve else 0.0,
            self.guard_ms,
            _EXPLORING_REPLY_S if plan.explore else keep_s,
            self.anytime,
            plan.upload,
            lasts_ms=task.sla_ms if reserve else task.sla_ms + self.patience_ms,
        )


class Flight:
    """Carries a plan out. progress: what has come of it so far."""

    def __init__(self, task: Task, plan: Plan, executors: Executors, options: FlightOptions) -> None:
        self.task, self.plan, self.options = task, plan, options
        self._executors = executors
        self.progress = Progress()
        self._taken = False
        self._device_at_ms = 0.0 if plan.send and options.confident <= 1 else plan.device_at_ms

    async def run(self) -> Ending:
        """What it came to, once nothing better can be waited for."""
        ending = None
        try:
            self._send()
            while not self._over:
                try:
                    async with asyncio.timeout(self._wait_s):
                        outcome = await self.task.outcomes.get()
                except TimeoutError:
                    self._on_timeout()
                else:
                    self._receive(outcome)
            ending = self._ending(self._due or self._taken)
            if isinstance(ending.result, Answer):
                self.options.report(self._answered_ms, "answered", ending.result.why)
            return ending
        finally:
            for attempt in self.progress.pending:  # nobody waits for them any more
                if not (attempt.where == "cloud" and self.plan.explore and ending):
                    attempt.cancel()

    # What happens

    def _send(self) -> None:
        if self.plan.send and self._executors.cloud:
            options = self.options.sending(self.task, self.plan, alone=self._executors.device is None)
            self.progress.begun(self._executors.cloud.begin(self.task, options))
            self._report("sent")

    def _on_timeout(self) -> None:
        """The time has come for something."""
        elapsed_ms, cloud = self.task.elapsed_ms, self.progress.cloud
        if self.progress.best:
            self._taken = True
        elif self._may_begin and elapsed_ms >= self._device_at_ms:
            self._begin_device()
        elif cloud in self.progress.pending and cloud and elapsed_ms >= self.options.patient_until_ms(self.task):
            cloud.cancel()
            late = UpstreamError("no answer in time", FailureKind.LATE)
            self._receive(AttemptOutcome(cloud, late, 0.0, last=True))

    def _receive(self, outcome: AttemptOutcome) -> None:
        """Something has come of an attempt."""
        self.progress.take(outcome)
        if isinstance(outcome.result, Answer):
            self._report(f"{outcome.attempt.where} answer", outcome.result.label)
        else:
            if isinstance(outcome.result, UpstreamError):
                self._report("failed", str(outcome.result))
            if self._may_begin:  # it is not kept in reserve any longer
                self._begin_device()
        if outcome.attempt.where == "device" and self.progress.cloud is None and self.options.replan:
            self.plan = self.options.replan(outcome.attempt)
            self._send()
        if self.progress.best:
            self.task.reserve = self._ending(due=True)

    def _begin_device(self) -> None:
        assert self._executors.device
        self.progress.begun(self._executors.device.begin(self.task, RunOptions(self.options.model)))
        self._report("device")

    def _ending(self, due: bool) -> Ending:
        """What it comes to with what there is. due: whether the last moment has come."""
        progress, best, cloud = self.progress, self.progress.best, self.progress.cloud
        sent_bytes, both = cloud.sent_bytes if cloud else 0, bool(cloud and progress.device)
        if best is None or not isinstance(best.result, Answer):
            error = endings.why_none(progress, self._executors.device is not None)
            return Ending(error, sent_bytes, both, progress.failure)
        confident = progress.device_score >= self.options.confident
        in_vain = due and not confident and endings.waited_in_vain(progress, self.plan)
        failure = UpstreamError("no answer in time", FailureKind.LATE) if in_vain else progress.failure
        why = endings.why(progress, self.plan, in_vain, confident)
        upload = cloud.upload if cloud else ""
        result = dataclasses.replace(best.result, why=why, sent_bytes=sent_bytes, upload=upload)
        return Ending(result, sent_bytes, both, failure, held=due and progress.may_improve)

    def _report(self, what: str, detail: str = "") -> None:
        self.options.report(self.task.elapsed_ms, what, detail)

    @property
    def _answered_ms(self) -> float:
        """When, after its call, whoever asked has the answer; a reserve they took before this woke."""
        if self._taken and self.task.late_ms is not None:
            return self.options.hand_over_ms(self.task) + self.task.late_ms
        return self.task.elapsed_ms

    # How it stands

    @property
    def _over(self) -> bool:
        """Whether nothing better can be waited for."""
        if self.progress.best is None:
            return not self.progress.pending and not self._may_begin
        confident = self.progress.device_score >= self.options.confident
        return self._taken or self._due or confident or not self.progress.may_improve

    @property
    def _wait_s(self) -> float | None:
        """Until the next thing to do; None: there is only the device to wait for."""
        if self.progress.best:
            # Whoever asked has taken the reserve by then: through this thread it would have taken two wake-ups, each of
            # which may be milliseconds late, and one that came with theirs would be in its way.
            at_ms = self.options.hand_over_ms(self.task) + _LAST_WORD_MS
        elif self.progress.pending == {self.progress.device}:
            return None
        elif self._may_begin and math.isfinite(self._device_at_ms):
            at_ms = self._device_at_ms
        else:
            at_ms = self.options.patient_until_ms(self.task)
        return max(at_ms - self.task.elapsed_ms, 0.0) / 1e3

    @property
    def _due(self) -> bool:
        """Whether it is time to hand over what there is."""
        return self.task.elapsed_ms >= self.options.hand_over_ms(self.task)

    @property
    def _may_begin(self) -> bool:
        return self.progress.device is None and self.progress.best is None and self._executors.device is not None
