"""`OffloadClient`: classifies each picture here, there or both, so that the answer is there before the deadline."""

from __future__ import annotations

import itertools
import math
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

from ondevice.answer import Answer
from ondevice.client.executors.attempt import Attempt, Task
from ondevice.client.executors.cloud import CloudAttempt, CloudExecutor, SendOptions
from ondevice.client.executors.device import DeviceExecutor
from ondevice.client.flight import Event, Executors, Flight, FlightOptions
from ondevice.client.picture import Picture
from ondevice.client.planning import plan as plans
from ondevice.client.planning.plan import CloudEstimate, DeviceEstimate, Mode, Plan
from ondevice.client.totals import Totals
from ondevice.errors import FailureKind, UsageError
from ondevice.image import ImageSource
from ondevice.protocol.cnnselect import MOST_ANSWERS
from ondevice.runner import Runner
from ondevice.timing.bounds import LONGEST_MS
from ondevice.timing.recent import Recent

Local = Runner | str | Path
# Waking up to hand an answer over takes so long until it is known better, then this more than the longest of late; of a
# deadline at most this share is given up for it. A phone's scheduler is a millisecond or two late, seldom more; 5 % of
# a deadline is what a faster model would win.
_WAKING_MS, _MORE_MS, _GUARD_SHARE = 3.0, 2.0, 0.05
# `auto` tries the cloud, though nothing is expected of it, after so long, and twice as long each time, at most so long:
# mobile links recover within seconds, and each try costs an upload.
_EXPLORE_S, _EXPLORE_MOST_S = 1.0, 8.0
# From this score on `cascade` takes the device's answer; measured, see docs/offload.md.
CONFIDENT = 0.9
# A reply that is late but wanted for what it tells of the network is waited for so long: longer than any deadline that
# makes sense for a camera, short enough to hold no connection for good.
_EXPLORING_REPLY_S = 3.0
# Of a picture whose file is not known: a photo of some 500 x 375 pixels.
_SIZE_BYTES = 100_000


@dataclass(frozen=True)
class Options:
    """What seldom needs setting.

    top: how many classes. confident: the score from which an answer of the device ends a
    request at once; above 1: never; None: CONFIDENT in `cascade`, else never. token: the endpoint's bearer token.
    verify: whether its certificate is checked, or a file with the authorities for it. patience_ms: how long after the
    deadline the cloud is waited for where there is nothing else; None: as long again. anytime: how many models of the
    endpoint may answer a request side by side; the best answer by the deadline counts. host: the Host that the
    endpoint is asked for, where that is not its URL's, as behind KServe's ingress. observe: called with each
    `Event`, on the caller's thread; must be quick.
    """

    top: int = 5
    confident: float | None = None
    token: str | None = None
    verify: bool | str | Path = True
    patience_ms: float | None = None
    anytime: int = 1
    observe: Callable[[Event], None] | None = None
    host: str | None = None


class OffloadClient:
    """Classifies pictures within a deadline, on this device, at an endpoint, or both.

    >>> client = OffloadClient("http://localhost:8000", "mobilenet_v1_0.25_128_quant", sla_ms=200)
    >>> client.classify("photo.jpg").label

    endpoint: the URL of an `ondevice serve`; None: there is none. local: the device's model or models, names, files or
    Runners, of the endpoint's labels; empty: there is none. sla_ms: the deadline, from the call of `classify`. mode:
    see `Mode`. Raises UsageError, and what Runner raises. The endpoint need not be there. To be closed, or used in a
    `with`. `classify` may be called from several threads.
    """

    def __init__(
        self,
        endpoint: str | None = None,
        local: Local | Sequence[Local] = (),
        sla_ms: float = 200.0,
        mode: Mode | str = Mode.AUTO,
        options: Options = Options(),
    ) -> None:
        self.sla_ms, self.mode, self.options = _deadline(sla_ms), _mode(mode), options
        self._confident = _confident(options.confident, self.mode)
        self.totals = Totals()
        self.cloud = None
        if endpoint is not None:
            self.cloud = CloudExecutor(endpoint, options.token, options.verify, options.host)
        runners = [_runner(one) for one in _listed(local)]
        self.device = DeviceExecutor(runners) if runners and self.mode is not Mode.CLOUD else None
        self._check()
        if self.cloud and self.device:
            self.cloud.labels = self.device.labels
        self._numbers = itertools.count()
        self._waking = Recent([_WAKING_MS])
        self._lock = threading.Lock()
        self._explore_at, self._explore_s = perf_counter(), _EXPLORE_S
        if self.cloud and self.mode is not Mode.DEVICE:
            self.cloud.maintain()

    def classify(self, image: ImageSource, sla_ms: float | None = None) -> Answer:
        """The best classes of one picture, as good as can be had by the deadline.

        The answer may still be late, if it must; `on_time` says so. Raises ImageError for a picture that cannot be
        read, OffloadError where neither place has an answer, UsageError.
        """
        task = Task(Picture(image), self.sla_ms if sla_ms is None else _deadline(sla_ms), self.options.top)
        model = self.device.best(task.sla_ms - self._guard_ms(task)) if self.device else 0
        plan = self._plan(task, model)
        flight = Flight(task, plan, self._executors(plan, model), self._flight_options(task, plan))
        try:
            answer = flight.run()
        except Exception:
            self._count(None, flight)
            raise
        self._count(answer, flight)
        if flight.overslept_ms is not None:
            self._waking.add(flight.overslept_ms)
        return answer

    def network_changed(self) -> None:
        """Tell that the network is another one: what was learned of the last one is forgotten."""
        if self.cloud:
            self.cloud.network.forget()

    def close(self) -> None:
        """End what is under way."""
        if self.cloud:
            self.cloud.close()
        if self.device:
            self.device.close()

    def __enter__(self) -> OffloadClient:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _check(self) -> None:
        if self.mode is not Mode.DEVICE and self.cloud is None:
            raise UsageError(f"mode {self.mode} needs an endpoint, such as http://localhost:8000; device needs none")
        if self.mode is Mode.DEVICE and self.device is None:
            raise UsageError("mode device needs a local model")
        if self.options.top < 1:
            raise UsageError(f"top must be 1 or more, not {self.options.top}")
        if not 1 <= self.options.anytime <= MOST_ANSWERS:
            raise UsageError(f"anytime must be from 1 to {MOST_ANSWERS} answers, not {self.options.anytime}")
        if self.options.patience_ms is not None and not 0 <= self.options.patience_ms <= LONGEST_MS:
            raise UsageError(f"patience must be from 0 ms to an hour, not {self.options.patience_ms:g}")
        if self._confident <= 0:
            raise UsageError(f"confident must be over 0, not {self._confident:g}")

    # Deciding

    def _plan(self, task: Task, model: int) -> Plan:
        device = self._device_estimate(task, model) if self.device else None
        if self.cloud is None or self.mode is Mode.DEVICE:
            return plans.fixed(Mode.DEVICE, device)
        self.cloud.maintain()
        if device and not self.cloud.breaker.closed:
            return Plan(False, 0.0, f"the cloud fails: {self.cloud.problem}")
        if device is None or self.mode in (Mode.CLOUD, Mode.HEDGE):
            return plans.fixed(self.mode, device)
        if self.mode is Mode.CASCADE and device.chance == 1:
            return Plan(False, 0.0, "device first")
        estimate = self._cloud_estimate(self.cloud, task, task.sla_ms - self._guard_ms(task))
        return self._exploring(plans.auto(device, estimate, perf_counter() >= self._explore_at))

    def _after_device(self, cloud: CloudExecutor, attempt: Attempt) -> Plan:
        """For `cascade`: the plan once the device has a result."""
        task, result = attempt.task, attempt.result
        if isinstance(result, Answer) and result.score >= self._confident:
            return Plan(False, 0.0, f"the device was confident: {result.score:.3f}")
        if not cloud.breaker.closed:
            return Plan(False, 0.0, f"the cloud fails: {cloud.problem}")
        if not isinstance(result, Answer):
            return Plan(True, math.inf, f"the device failed: {result}")
        left_ms = task.sla_ms - self._guard_ms(task) - task.elapsed_ms
        device, estimate = DeviceEstimate(attempt.top1, 1.0, 0.0), self._cloud_estimate(cloud, task, left_ms)
        exploring = perf_counter() >= self._explore_at
        return self._exploring(plans.cascade(result.score, left_ms, device, estimate, exploring))

    def _exploring(self, plan: Plan) -> Plan:
        """Set when the cloud is tried next."""
        if plan.explore:
            self._explore_at = perf_counter() + self._explore_s
            self._explore_s = min(2 * self._explore_s, _EXPLORE_MOST_S)
        elif plan.send:
            self._explore_s = _EXPLORE_S
        return plan

    def _device_estimate(self, task: Task, model: int) -> DeviceEstimate:
        assert self.device
        within_ms = task.sla_ms - self._guard_ms(task)
        wait_ms = self.device.wait_ms()
        chance = self.device.chance(model, within_ms - wait_ms)
        latest_ms = max(within_ms - wait_ms - self.device.worst_ms(model), 0.0)
        # Where it cannot be in time, it is only for when nothing else has been.
        return DeviceEstimate(self.device.top1(model), chance, latest_ms if chance else within_ms)

    def _cloud_estimate(self, cloud: CloudExecutor, task: Task, within_ms: float) -> CloudEstimate | None:
        if cloud.endpoint is None or not cloud.network.known:
            return None
        overhead_ms = cloud.overhead_ms(_size_bytes(task.picture))
        return CloudEstimate(cloud.endpoint, within_ms, overhead_ms, cloud.network.fixed_ms())

    # Doing

    def _executors(self, plan: Plan, model: int) -> Executors:
        device, cloud = self.device, self.cloud

        def at_cloud(task: Task, plan: Plan) -> CloudAttempt:
            assert cloud
            patience_s = self._patience_ms(task.sla_ms) / 1e3 if device is None else 0.0
            keep_s = _EXPLORING_REPLY_S if plan.explore else patience_s
            top1 = device.top1(model) if device and math.isfinite(plan.device_at_ms) else 0.0
            return cloud.begin(task, options=SendOptions(top1, self._guard_ms(task), keep_s, self.options.anytime))

        def on_device(task: Task) -> Attempt:
            assert device
            return device.begin(task, model=model)

        def after_device(attempt: Attempt) -> Plan:
            assert cloud
            return self._after_device(cloud, attempt)

        # What is sent at once, for the device may be late, is as in `auto`.
        later = self.mode is Mode.CASCADE and cloud and not plan.send
        return Executors(at_cloud if cloud else None, on_device if device else None, after_device if later else None)

    def _flight_options(self, task: Task, plan: Plan) -> FlightOptions:
        number, observe = next(self._numbers), self.options.observe

        def report(at_ms: float, what: str, detail: str) -> None:
            if observe:
                observe(Event(number, at_ms, what, detail))

        confident = math.inf if self.mode is Mode.CASCADE and plan.send else self._confident
        return FlightOptions(self._guard_ms(task), self._patience_ms(task.sla_ms), confident, report)

    def _count(self, answer: Answer | None, flight: Flight) -> None:
        with self._lock:
            self.totals.count(
                answer, flight.cloud.sent_bytes if flight.cloud else 0, bool(flight.cloud and flight.device)
            )
            if flight.failure:
                self.totals.failures[flight.failure.failure] += 1
            elif flight.cloud and answer and answer.where == "device" and flight.cloud.result is None:
                self.totals.failures[FailureKind.LATE] += 1

    def _patience_ms(self, sla_ms: float) -> float:
        return sla_ms if self.options.patience_ms is None else self.options.patience_ms

    def _guard_ms(self, task: Task) -> float:
        """So long before the deadline what there is is handed over."""
        return min(self._waking.distribution.longest_ms + _MORE_MS, _GUARD_SHARE * task.sla_ms)


def _listed(local: Local | Sequence[Local]) -> Sequence[Local]:
    return [local] if isinstance(local, Runner | str | Path) else local


def _runner(local: Local) -> Runner:
    return local if isinstance(local, Runner) else Runner(local)


def _mode(mode: Mode | str) -> Mode:
    try:
        return Mode(mode)
    except ValueError as error:
        raise UsageError(f"no mode '{mode}': there are {', '.join(Mode)}") from error


def _confident(asked: float | None, mode: Mode) -> float:
    if asked is None:
        return CONFIDENT if mode is Mode.CASCADE else math.inf
    return asked


def _deadline(sla_ms: Any) -> float:
    if not isinstance(sla_ms, int | float) or not 0 < sla_ms < math.inf:
        raise UsageError(f"the deadline must be over 0 ms, not {sla_ms}")
    if sla_ms > LONGEST_MS:
        raise UsageError(f"the deadline must be at most an hour, not {sla_ms:g} ms")
    return float(sla_ms)


def _size_bytes(picture: Picture) -> int:
    """The size of its file, read now if it is one."""
    return len(picture.file) if picture.file else _SIZE_BYTES
