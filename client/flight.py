"""One request under way: here, there or both, until there is an answer."""

from __future__ import annotations

import asyncio
import dataclasses
import math
from collections.abc import Callable
from typing import NamedTuple

from ondevice.answer import Answer
from ondevice.client.executors.attempt import Attempt, AttemptOutcome, Executor, Task
from ondevice.client.executors.cloud import SendOptions
from ondevice.client.executors.device import RunOptions
from ondevice.client.planning.plan import Plan
from ondevice.errors import FailureKind, ImageError, OffloadError, OnDeviceError, UpstreamError

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


class Flight:
    """Carries a plan out. cloud, device: the attempts begun. failure: why the cloud failed, being late included.

    result: the answer, or why there is none, once it is over. held: whether the answer was held until the last moment.
    """

    def __init__(self, task: Task, plan: Plan, executors: Executors, options: FlightOptions) -> None:
        self.task, self.plan, self._executors, self.options = task, plan, executors, options
        self.cloud: Attempt | None = None
        self.device: Attempt | None = None
        self.failure: UpstreamError | None = None
        self.result: Answer | OnDeviceError | None = None
        self.held = False
        self._device_at_ms = 0.0 if plan.send and options.confident <= 1 else plan.device_at_ms
        self._best: AttemptOutcome | None = None
        self._pending: set[Attempt] = set()
        self._error: OnDeviceError | None = None

    async def run(self) -> None:
        """Until there is a result."""
        try:
            self.begin()
            while not self.over:
                try:
                    async with asyncio.timeout(self.wait_s):
                        outcome = await self.task.outcomes.get()
                except TimeoutError:
                    self.on_timeout()
                else:
                    self.receive(outcome)
            self.end()
        finally:
            self._give_up(keep_exploring=self.result is not None)

    # What happens

    def begin(self) -> None:
        """Send it, if that is the plan."""
        if self.plan.send and self._executors.cloud:
            self.cloud = self._executors.cloud.begin(self.task, self._send_options())
            self._pending.add(self.cloud)
            self._report("sent")

    def on_timeout(self) -> None:
        """The time has come for something. An answer that was held is handed over, however late this woke."""
        elapsed_ms = self.task.elapsed_ms
        if self._best:
            self.held = True
        elif self._may_begin and elapsed_ms >= self._device_at_ms:
            self._begin_device()
        elif self.cloud in self._pending and elapsed_ms >= self._patient_until_ms:
            self._pending.discard(self.cloud)
            self.cloud.cancel()
            self._failed(UpstreamError("no answer in time", FailureKind.LATE))

    def receive(self, outcome: AttemptOutcome) -> None:
        """Something has come of an attempt."""
        attempt, result = outcome.attempt, outcome.result
        if outcome.last:
            self._pending.discard(attempt)
        if isinstance(result, Answer):
            self._report(f"{attempt.where} answer", result.label)
            if self._best is None or outcome.top1 > self._best.top1:
                self._best = outcome
        elif attempt is self.cloud and isinstance(result, UpstreamError):
            self._failed(result)
        else:
            self._error = result
            self._fall_back()
        if attempt is self.device and self.cloud is None and self.options.replan:
            self.plan = self.options.replan(attempt)
            self.begin()

    @property
    def over(self) -> bool:
        """Whether nothing better can be waited for."""
        if self._best is None:
            return not self._pending and not self._may_begin
        if self._due or self._confident:
            return True
        return not any(attempt.top1 > self._best.top1 for attempt in self._pending)

    @property
    def wait_s(self) -> float | None:
        """Until the next thing to do; None: there is only the device to wait for."""
        if self._best:
            at_ms = self._hand_over_ms
        elif self._pending == {self.device}:
            return None
        elif self._may_begin and math.isfinite(self._device_at_ms):
            at_ms = self._device_at_ms
        else:
            at_ms = self._patient_until_ms
        return max(at_ms - self.task.elapsed_ms, 0.0) / 1e3

    def end(self) -> None:
        """Make the result of what there is."""
        if self._best is None:
            self.result = self._why_none()
            return
        assert isinstance(self._best.result, Answer)
        if self._is_late:
            self.failure = UpstreamError("no answer in time", FailureKind.LATE)
        sent_bytes = self.cloud.sent_bytes if self.cloud else 0
        self.result = dataclasses.replace(self._best.result, why=self._why(), sent_bytes=sent_bytes)
        self._report("answered", self.result.why)

    def _give_up(self, keep_exploring: bool) -> None:
        """End what nobody waits for any more."""
        for attempt in self._pending:
            if not (attempt is self.cloud and self.plan.explore and keep_exploring):
                attempt.cancel()

    # How it stands

    @property
    def _hand_over_ms(self) -> float:
        return self.task.sla_ms - self.options.guard_ms

    @property
    def _patient_until_ms(self) -> float:
        return self.task.sla_ms + self.options.patience_ms + _LAST_WORD_MS

    @property
    def _due(self) -> bool:
        """Whether it is time to hand over what there is."""
        return self.task.elapsed_ms >= self._hand_over_ms

    @property
    def _confident(self) -> bool:
        result = self._best.result if self._best and self._best.attempt is self.device else None
        return isinstance(result, Answer) and result.score >= self.options.confident

    @property
    def _is_late(self) -> bool:
        """Whether the cloud was waited for until the last moment, for its answer's sake, and in vain."""
        instead = self._best is not None and self._best.attempt is self.device and not self._confident
        return instead and self._due and self.cloud in self._pending and not self.plan.explore

    @property
    def _may_begin(self) -> bool:
        return self.device is None and self._best is None and self._executors.device is not None

    # What is done

    def _send_options(self) -> SendOptions:
        reserve = math.isfinite(self.plan.device_at_ms)
        patience_s = 0.0 if self._executors.device else self.options.patience_ms / 1e3
        return SendOptions(
            self.options.device_top1 if reserve else 0.0,
            self.options.guard_ms,
            _EXPLORING_REPLY_S if self.plan.explore else patience_s,
            self.options.anytime,
        )

    def _failed(self, error: UpstreamError) -> None:
        self.failure = error
        self._report("failed", str(error))
        self._fall_back()

    def _fall_back(self) -> None:
        """The cloud has nothing: the device is not kept in reserve any longer."""
        if self._may_begin:
            self._begin_device()

    def _begin_device(self) -> None:
        assert self._executors.device
        self.device = self._executors.device.begin(self.task, RunOptions(self.options.model))
        self._pending.add(self.device)
        self._report("device")

    def _report(self, what: str, detail: str = "") -> None:
        self.options.report(self.task.elapsed_ms, what, detail)

    def _why(self) -> str:
        """The plan's reason, and what became of it."""
        assert self._best
        if self._best.attempt.where == "cloud" or not self.plan.send or self.plan.explore:
            return self.plan.why
        if self._is_late:
            return "the cloud was late"
        if self.failure:
            return f"the cloud failed: {self.failure}"
        if self._confident and self.cloud in self._pending:
            return "the device was confident"
        return "the device's answer is worth more"

    def _why_none(self) -> OnDeviceError:
        if self._error and (self._executors.device or isinstance(self._error, ImageError)):
            return self._error
        if self.failure is None:
            return OffloadError("there is neither an endpoint nor a model on the device to ask", FailureKind.REFUSED)
        beside = "; no model on the device" if self._executors.device is None else ""
        return OffloadError(f"no answer from the cloud: {self.failure}{beside}", self.failure.failure)
