"""The device's own models: how long they take here, and running them beside whatever else goes on."""

from __future__ import annotations

import io
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from time import perf_counter

import numpy as np
from PIL import Image

from ondevice.client.attempt import Attempt, Task
from ondevice.errors import OnDeviceError
from ondevice.recent import Recent
from ondevice.runner import Runner

# Each model runs so often before the first request: the first is the slowest, and not measured.
_RUNS = 4
_SIZE = (400, 350)
# A few runs do not show the worst: 12,478 inferences on one phone took up to 1.34 of their model's mean (the logs that
# cake-lab/PieSlicer published).
_TAIL = 1.35


class DeviceAttempt(Attempt):
    """A picture on the device. expected_s: how long that takes."""

    expected_s = 0.0


class Device:
    """Runs one picture after the other, on a thread of its own.

    runners: at least one, of the same labels. busy_ms: the time that it has worked so far.
    """

    def __init__(self, runners: Sequence[Runner]) -> None:
        self.runners = tuple(runners)
        self.busy_ms = 0.0
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="ondevice-device")
        # When all that was begun will be done, and what guards it.
        self._free_at, self._lock = 0.0, threading.Lock()
        self.times = tuple(Recent(_measured(runner)) for runner in runners)

    def top1(self, model: int) -> float:
        """Its accuracy; 0 where nobody measured it, so that any answer from the cloud is preferred."""
        card = self.runners[model].card
        return card.accuracy.top1 or 0.0 if card and card.accuracy else 0.0

    def worst_ms(self, model: int) -> float:
        """The longest that it may take: the longest of late, or what is usual for a phone, whichever is more."""
        quantiles_ms = self.times[model].quantiles_ms
        return float(max(quantiles_ms[-1], _TAIL * quantiles_ms[len(quantiles_ms) // 2]))

    def chance(self, model: int, within_ms: float) -> float:
        """The chance that it takes no longer."""
        quantiles = self.times[model].quantiles_ms
        return float(np.searchsorted(quantiles, within_ms, side="right")) / len(quantiles)

    def best(self, within_ms: float) -> int:
        """The most accurate that is sure to be done in time, else the fastest."""
        fits = [m for m in range(len(self.runners)) if self.worst_ms(m) <= within_ms]
        if fits:
            return max(fits, key=self.top1)
        return min(range(len(self.runners)), key=lambda m: self.times[m].mean_ms)

    def wait_ms(self) -> float:
        """How long what it works on still takes."""
        return max(self._free_at - perf_counter(), 0.0) * 1e3

    def begin(self, task: Task, *, model: int) -> Attempt:
        """Run a model on the task's picture, after what it works on."""
        attempt = DeviceAttempt(task, "device", self.top1(model))
        attempt.expected_s = self.times[model].mean_ms / 1e3
        with self._lock:
            self._free_at = max(self._free_at, perf_counter()) + attempt.expected_s
        self._pool.submit(self._run, attempt, model)
        return attempt

    def close(self) -> None:
        """Take no more."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _run(self, attempt: DeviceAttempt, model: int) -> None:
        if attempt.cancelled.is_set():
            with self._lock:
                self._free_at -= attempt.expected_s
            return
        start, task = perf_counter(), attempt.task
        try:
            attempt.end(self.runners[model].classify(task.picture.readable, task.top))
        except OnDeviceError as error:
            attempt.end(error)
        except Exception as error:  # whatever it is, the one who waits must hear of it
            attempt.end(OnDeviceError(f"{self.runners[model].name}: {type(error).__name__}: {error}"))
        took_ms = (perf_counter() - start) * 1e3
        self.busy_ms += took_ms
        if not isinstance(attempt.result, OnDeviceError):
            self.times[model].add(took_ms)


def _measured(runner: Runner) -> list[float]:
    """Times of whole classifications, ms."""
    made = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 256, (_SIZE[1] // 8, _SIZE[0] // 8, 3), np.uint8)
    Image.fromarray(noise).resize(_SIZE).save(made, "JPEG")
    return [runner.classify(made.getvalue()).total_ms for _ in range(_RUNS)][1:]
