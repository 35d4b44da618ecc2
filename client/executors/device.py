"""The device's own models: how long they take here, and running them beside whatever else goes on."""

from __future__ import annotations

import io
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from time import perf_counter

import numpy as np
from PIL import Image

from ondevice.answer import Answer
from ondevice.client.executors.attempt import Attempt, Task
from ondevice.errors import ImageError, OnDeviceError, UsageError
from ondevice.image import describe
from ondevice.runner import Runner
from ondevice.timing.recent import Recent

# Each model runs so often before the first request: the first is the slowest, and not measured; three more show a
# spread without keeping the user waiting.
_RUNS = 4
# Of the picture that these runs decode, pixels: as ImageNet's photos.
_SIZE = (400, 350)
# A few runs do not show the worst: 12,478 inferences on one phone took up to 1.34 of their model's mean (the logs that
# cake-lab/PieSlicer published).
_TAIL = 1.35


class DeviceAttempt(Attempt):
    """A picture on the device. expected_ms: how long that takes. started: by perf_counter; 0.0: not yet."""

    expected_ms = 0.0
    started = 0.0

    @property
    def left_ms(self) -> float:
        """How long the device will still be busy with it."""
        if not self.started:
            return 0.0 if self.cancelled.is_set() else self.expected_ms
        return max(self.expected_ms - (perf_counter() - self.started) * 1e3, 0.0)


class DeviceExecutor:
    """Runs one picture after the other, on a thread of its own.

    runners: at least one. busy_ms: the time that it has worked so far. Raises UsageError where their labels differ, or
    their names do not.
    """

    def __init__(self, runners: Sequence[Runner]) -> None:
        self.runners = tuple(runners)
        names = [runner.name for runner in runners]
        if twice := {name for name in names if names.count(name) > 1}:
            raise UsageError(
                f"two local models are called {min(twice)}, and that is all that answers say of where they are from: "
                "give one of them, or copy one to another name"
            )
        self.labels = runners[0].labels.names
        for runner in runners:
            if runner.labels.names != self.labels:
                raise UsageError(f"{runner.name} has other labels than {runners[0].name}: give models of the same")
        self.busy_ms = 0.0
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="ondevice-device")
        self._begun: list[DeviceAttempt] = []
        self.times = tuple(Recent(_measured(runner)) for runner in runners)

    def top1(self, model: int) -> float:
        """Its accuracy; 0 where nobody measured it, so that any answer from the cloud is preferred."""
        card = self.runners[model].card
        return card.accuracy.top1 or 0.0 if card and card.accuracy else 0.0

    def worst_ms(self, model: int) -> float:
        """The longest that it may take: the longest of late, or what is usual for a phone, whichever is more."""
        known = self.times[model].distribution
        return max(known.longest_ms, _TAIL * known.median_ms)

    def chance(self, model: int, within_ms: float) -> float:
        """The chance that it takes no longer."""
        quantiles = self.times[model].distribution.quantiles_ms
        return float(np.searchsorted(quantiles, within_ms, side="right")) / len(quantiles)

    def best(self, within_ms: float) -> int:
        """The most accurate that is sure to be done in time, else the fastest."""
        fits = [m for m in range(len(self.runners)) if self.worst_ms(m) <= within_ms]
        if fits:
            return max(fits, key=self.top1)
        return min(range(len(self.runners)), key=lambda m: self.times[m].distribution.mean_ms)

    def wait_ms(self) -> float:
        """How long what it works on still takes."""
        return sum(attempt.left_ms for attempt in list(self._begun))

    def begin(self, task: Task, *, model: int) -> Attempt:
        """Run a model on the task's picture, after what it works on."""
        attempt = DeviceAttempt(task, "device", self.top1(model))
        attempt.expected_ms = self.times[model].distribution.mean_ms
        self._begun.append(attempt)
        try:
            self._pool.submit(self._run, attempt, model)
        except RuntimeError:  # closed
            self._begun.remove(attempt)
            attempt.end(OnDeviceError("the client is closed"))
        return attempt

    def close(self) -> None:
        """Finish what was begun, and take no more."""
        self._pool.shutdown()

    def _run(self, attempt: DeviceAttempt, model: int) -> None:
        attempt.started = perf_counter()
        if not attempt.cancelled.is_set():
            attempt.end(self._result(attempt.task, model))
            took_ms = (perf_counter() - attempt.started) * 1e3
            self.busy_ms += took_ms
            if isinstance(attempt.result, Answer):
                self.times[model].add(took_ms)
        self._begun.remove(attempt)

    def _result(self, task: Task, model: int) -> Answer | OnDeviceError:
        picture = task.picture
        try:
            return self.runners[model].classify(picture.readable, task.top)
        except ImageError as error:  # which may have seen the file's bytes alone
            said = str(error).replace(describe(picture.readable), describe(picture.source), 1)
            return ImageError(said, picture.source)
        except OnDeviceError as error:
            return error
        except Exception as error:  # whatever it is, the one who waits must hear of it
            return OnDeviceError(f"{self.runners[model].name}: {type(error).__name__}: {error}")


def _measured(runner: Runner) -> list[float]:
    """Times of whole classifications, ms."""
    made = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 256, (_SIZE[1] // 8, _SIZE[0] // 8, 3), np.uint8)
    Image.fromarray(noise).resize(_SIZE).save(made, "JPEG")
    return [runner.classify(made.getvalue()).total_ms for _ in range(_RUNS)][1:]
