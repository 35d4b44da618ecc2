"""One request under way: here, there or both, until there is an answer."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from queue import Empty
from typing import NamedTuple

from ondevice.answer import Answer
from ondevice.client.executors.attempt import Attempt, AttemptOutcome, Task
from ondevice.client.executors.cloud import CloudAttempt
from ondevice.client.planning.plan import Plan
from ondevice.errors import FailureKind, ImageError, OffloadError, OnDeviceError, UpstreamError


class Event(NamedTuple):
    """Something that happened to a request. at_ms: after its call.

    what: `sent`, `device` (it begins), `cloud answer`, `device answer`, `failed` (the cloud), `answered`.
    """

    request: int
    at_ms: float
    what: str
    detail: str


class Executors(NamedTuple):
    """How a request is begun on the device and at the cloud; None where it never is.

    after_device: what is planned once the device has a result; None: the plan stands.
    """

    cloud: Callable[[Task, Plan], CloudAttempt] | None
    device: Callable[[Task], Attempt] | None
    after_device: Callable[[Attempt], Plan] | None = None


class FlightOptions(NamedTuple):
    """How a request is carried out.

    guard_ms: so long before the deadline an answer is handed over. patience_ms: how long after the deadline the
    cloud is waited for where there is nothing else. confident: the device's score that ends a request at once.
    report: called with each event: when, ms after the call, what, and a detail.
    """

    guard_ms: float
    patience_ms: float
    confident: float
    report: Callable[[float, str, str], None]


class Flight:
    """Carries a plan out. cloud, device: the attempts begun. failure: why the cloud failed.

    overslept_ms: where an answer was held until the last moment, by how much that was missed.
    """

    def __init__(self, task: Task, plan: Plan, executors: Executors, options: FlightOptions) -> None:
        self._task, self._plan, self._executors, self._options = task, plan, executors, options
        self.cloud: CloudAttempt | None = None
        self.device: Attempt | None = None
        self.failure: UpstreamError | None = None
        self.overslept_ms: float | None = None
        self._device_at_ms = 0.0 if plan.send and options.confident <= 1 else plan.device_at_ms
        self._best: AttemptOutcome | None = None
        self._was_held = False
        self._pending: set[Attempt] = set()
        self._error: OnDeviceError | None = None

    def run(self) -> Answer:
        """The answer. Raises ImageError, OffloadError, and what the device's model raises."""
        self._send()
        while not self._done():
            try:
                self._receive(self._task.done.get(timeout=self._wait_s()))
            except Empty:
                self._on_timeout()
        return self._finish()

    # What ends it

    def _done(self) -> bool:
        if self._best is None:
            return not self._pending and not self._may_begin()
        if self._due or self._confident:
            return True
        return not any(attempt.top1 > self._best.top1 for attempt in self._pending)

    @property
    def _due(self) -> bool:
        """Whether it is time to hand over what there is."""
        return self._task.elapsed_ms >= self._task.sla_ms - self._options.guard_ms

    @property
    def _confident(self) -> bool:
        result = self._best.result if self._best and self._best.attempt is self.device else None
        return isinstance(result, Answer) and result.score >= self._options.confident

    # What happens

    def _wait_s(self) -> float | None:
        """Until the next thing to do; None: there is only the device to wait for."""
        if self._best is None and self._pending == {self.device}:
            return None
        at_ms = self._task.sla_ms - self._options.guard_ms
        if self._best is None:
            at_ms = self._device_at_ms if self._may_begin() else self._task.sla_ms + self._options.patience_ms
            if math.isinf(at_ms) or self.device in self._pending:
                at_ms = self._task.sla_ms + self._options.patience_ms
        return max(at_ms - self._task.elapsed_ms, 0.0) / 1e3

    def _send(self) -> None:
        if self._plan.send and self._executors.cloud:
            self.cloud = self._executors.cloud(self._task, self._plan)
            self._pending.add(self.cloud)
            self._report("sent")

    def _on_timeout(self) -> None:
        """The time has come for something. An answer that was held is handed over, however late this woke."""
        elapsed_ms = self._task.elapsed_ms
        if self._best:
            self._was_held = True
        elif self._may_begin() and elapsed_ms >= self._device_at_ms:
            self._begin_device()
        elif self.cloud in self._pending and elapsed_ms >= self._task.sla_ms + self._options.patience_ms:
            self._pending.discard(self.cloud)
            self.cloud.cancel()
            self._failed(UpstreamError("no answer in time", FailureKind.LATE))

    def _receive(self, outcome: AttemptOutcome) -> None:
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
        if attempt is self.device and self.cloud is None and self._executors.after_device:
            self._plan = self._executors.after_device(attempt)
            self._send()

    def _failed(self, error: UpstreamError) -> None:
        self.failure = error
        self._report("failed", str(error))
        self._fall_back()

    def _fall_back(self) -> None:
        """The cloud has nothing: the device is not kept in reserve any longer."""
        if self._may_begin():
            self._begin_device()

    def _may_begin(self) -> bool:
        return self.device is None and self._best is None and self._executors.device is not None

    def _begin_device(self) -> None:
        assert self._executors.device
        self.device = self._executors.device(self._task)
        self._pending.add(self.device)
        self._report("device")

    def _report(self, what: str, detail: str = "") -> None:
        self._options.report(self._task.elapsed_ms, what, detail)

    # The end

    def _finish(self) -> Answer:
        for attempt in self._pending:
            if not (attempt is self.cloud and self._plan.explore):
                attempt.cancel()
        if self._best is None:
            raise self._why_none()
        assert isinstance(self._best.result, Answer)
        total_ms = self._task.elapsed_ms
        if self._was_held:
            self.overslept_ms = max(total_ms - (self._task.sla_ms - self._options.guard_ms), 0.0)
        answer = dataclasses.replace(
            self._best.result,
            total_ms=total_ms,
            on_time=total_ms <= self._task.sla_ms,
            why=self._why(),
            sent_bytes=self.cloud.sent_bytes if self.cloud else 0,
        )
        self._report("answered", answer.why)
        return answer

    def _why(self) -> str:
        """The plan's reason, and what became of it."""
        assert self._best
        if self._best.attempt.where == "cloud" or not self._plan.send or self._plan.explore:
            return self._plan.why
        if self.failure:
            return f"the cloud failed: {self.failure}"
        if self._confident and self.cloud in self._pending:
            return "the device was confident"
        late = self.cloud in self._pending and self._due
        return "the cloud was late" if late else "the device's answer is worth more"

    def _why_none(self) -> OnDeviceError:
        if self._error and (self._executors.device or isinstance(self._error, ImageError)):
            return self._error
        if self.failure is None:
            return OffloadError("there is neither an endpoint nor a model on the device to ask", FailureKind.REFUSED)
        beside = "; no model on the device" if self._executors.device is None else ""
        return OffloadError(f"no answer from the cloud: {self.failure}{beside}", self.failure.failure)
