"""The device's own models: how long they take here, and running them beside whatever else goes on."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from time import perf_counter
from typing import NamedTuple

import numpy as np

from ondevice.answer import Answer
from ondevice.client.daemon_threads import DaemonThreads
from ondevice.client.executors.attempt import Attempt, Task
from ondevice.client.executors.sample_photo import sample_photo
from ondevice.errors import ImageError, OnDeviceError, UsageError
from ondevice.image import describe
from ondevice.runner import Runner
from ondevice.timing.recent import Recent

# Each model runs so often before the first request: the first is the slowest, and not measured; three more show a
# spread without keeping the user waiting.
_RUNS = 4
# A few runs do not show the worst: 12,478 inferences on one phone took up to 1.34 of their model's mean (the logs that
# cake-lab/PieSlicer published).
_TAIL = 1.35


class RunOptions(NamedTuple):
    """Which of the device's models runs."""

    model: int = 0


class TimedModel:
    """A model on the device, and its times of late."""

    def __init__(self, runner: Runner) -> None:
        self.runner = runner
        self.times = Recent(_measured(runner))

    @property
    def top1(self) -> float:
        """Its accuracy; 0 where nobody measured it, so that any answer from the cloud is preferred."""
        card = self.runner.card
        return card.accuracy.top1 or 0.0 if card and card.accuracy else 0.0

    @property
    def worst_ms(self) -> float:
        """The longest that it may take: the longest of late, or what is usual for a phone, whichever is more."""
        known = self.times.distribution
        return max(known.longest_ms, _TAIL * known.median_ms)

    def chance(self, within_ms: float) -> float:
        """The chance that it takes no longer."""
        quantiles = self.times.distribution.quantiles_ms
        return float(np.searchsorted(quantiles, within_ms, side="right")) / len(quantiles)

    def classify(self, task: Task) -> Answer | OnDeviceError:
        """The answer, or why there is none."""
        picture = task.picture
        try:
            return self.runner.classify(picture.readable, task.top)
        except ImageError as error:  # which may have seen the file's bytes alone
            said = str(error).replace(describe(picture.readable), describe(picture.source), 1)
            return ImageError(said, picture.source)
        except OnDeviceError as error:
            return error
        except Exception as error:  # whatever it is, the one who waits must hear of it
            return OnDeviceError(f"{self.runner.name}: {type(error).__name__}: {error}")


class DeviceAttempt(Attempt):
    """A picture on the device. expected_ms: how long that takes. started: by perf_counter; 0.0: not yet."""

    expected_ms = 0.0
    started = 0.0

    @property
    def left_ms(self) -> float:
        """How long the device will still be busy with it."""
        if not self.started:
            return 0.0 if self.cancelled else self.expected_ms
        return max(self.expected_ms - (perf_counter() - self.started) * 1e3, 0.0)


class DeviceExecutor:
    """Runs one picture after the other, on a thread of its own.

    runners: at least one, as `check_runners` wants them. busy_ms: the time that it has worked so far.
    """

    def __init__(self, runners: Sequence[Runner]) -> None:
        self.runners = tuple(runners)
        self.models = tuple(map(TimedModel, runners))
        self.labels = runners[0].labels.names
        self.busy_ms = 0.0
        self.begin_anew()

    def begin_anew(self) -> None:
        """Forget what is under way: in the child of a fork its thread is not there."""
        self._thread = DaemonThreads(1, "ondevice-device")
        self._begun: list[DeviceAttempt] = []

    def best(self, within_ms: float) -> int:
        """The most accurate that is sure to be done in time, else the fastest."""
        numbers = range(len(self.models))
        fits = [number for number in numbers if self.models[number].worst_ms <= within_ms]
        if fits:
            return max(fits, key=lambda number: self.models[number].top1)
        return min(numbers, key=lambda number: self.models[number].times.distribution.mean_ms)

    def wait_ms(self) -> float:
        """How long what it works on still takes."""
        return sum(attempt.left_ms for attempt in self._begun)

    def begin(self, task: Task, options: RunOptions) -> Attempt:
        """Run a model on the task's picture, after what it works on."""
        model = self.models[options.model]
        attempt = DeviceAttempt(task, "device", model.top1)
        attempt.expected_ms = model.times.distribution.mean_ms
        loop = asyncio.get_running_loop()

        try:
            self._thread.begin(self._run, attempt, model, loop)
        except OnDeviceError as error:
            attempt.end(error)
        else:
            self._begun.append(attempt)
        return attempt

    def close(self) -> None:
        """Finish what was begun, and take no more."""
        self._thread.close(wait=True)

    def _run(self, attempt: DeviceAttempt, model: TimedModel, loop: asyncio.AbstractEventLoop) -> None:
        """On the device's thread. Whoever waits no longer has cost nothing, unless it has begun."""
        attempt.started = perf_counter()
        result = None if attempt.cancelled else model.classify(attempt.task)
        took_ms = (perf_counter() - attempt.started) * 1e3
        with contextlib.suppress(RuntimeError):  # the client is closed
            loop.call_soon_threadsafe(self._ended, attempt, model, result, took_ms)

    def _ended(
        self, attempt: DeviceAttempt, model: TimedModel, result: Answer | OnDeviceError | None, took_ms: float
    ) -> None:
        self._begun.remove(attempt)
        if result is not None:
            attempt.end(result)
            self.busy_ms += took_ms
            if isinstance(result, Answer):
                model.times.add(took_ms)


def check_runners(runners: Sequence[Runner]) -> None:
    """See that they can stand in for each other. Raises UsageError where their labels differ, or their names do not."""
    names = [runner.name for runner in runners]
    if twice := {name for name in names if names.count(name) > 1}:
        raise UsageError(
            f"two local models are called {min(twice)}, and that is all that answers say of where they are from: "
            "give one of them, or copy one to another name"
        )
    for runner in runners[1:]:
        if runner.labels.names != runners[0].labels.names:
            raise UsageError(f"{runner.name} has other labels than {runners[0].name}: give models of the same")


def _measured(runner: Runner) -> list[float]:
    """Times of whole classifications, ms."""
    return [runner.classify(sample_photo()).total_ms for _ in range(_RUNS)][1:]
