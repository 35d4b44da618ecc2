"""Run a model here as if on another device: the real inference, which returns when the device's would have."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from ondevice import words
from ondevice.devices import network
from ondevice.devices.card import Device
from ondevice.devices.emulation import Emulation
from ondevice.devices.prediction import PredictedTime, predict
from ondevice.devices.timemodel import drawer
from ondevice.errors import EmulationError
from ondevice.runtime import Executable

# sleep() wakes up to this much late; the rest of the wait is spent looking at the clock.
_SPIN_S = 0.0005
# The host must be as fast as all but the shortest twentieth of the device's inferences; those are late, and counted.
_LOW_QUANTILE = 0.05
# Tried before it starts, the first of them a warm-up; the best counts, for other programs only ever slow it down. A
# network that takes longer than a second altogether is not tried again: nobody waits for four of NASNet's.
_TRIALS, _TRIALS_MS = 4, 1000.0


class EmulatedExecutable(Executable):
    """One whose `run` returns when the device's would have; so does loading. One thread of the host runs it.

    precision: as its card says, where it has one. threads: of the device; None: its card's own.
    Raises UsageError for a device that cannot be emulated or a count of threads that its card lacks, EmulationError
    where the host is slower than the device, or nothing is known of such a model on it.
    """

    def __init__(
        self,
        path: Path,
        device: Device,
        precision: str | None = None,
        runtime: str | None = None,
        threads: int | None = None,
    ) -> None:
        self._device, self._precision = device, precision
        known = network.of_file(path)  # first, for what has no size of its own may not even load at the file's
        super().__init__(path, 1, runtime)
        predicted = predict(device, known, precision or self.precision, threads)
        host_ms = self._host_ms()
        _refuse_slow_host(path, predicted, host_ms)
        load_ms, load_basis = _load(device, predicted, path, self.load_ms * predicted.mean_ms / host_ms)
        self.emulation = Emulation.of(predicted, host_ms, load_ms, load_basis)
        self.threads = predicted.threads
        self._times = predicted.times
        self._draw = drawer(self._times, np.random.default_rng())
        self._invoked = self._late = 0
        _wait(perf_counter() + (load_ms - self.load_ms) / 1e3)
        self.load_ms = max(load_ms, self.load_ms)

    def _host_ms(self) -> float:
        """What one inference takes here."""
        tensors = [np.zeros(spec.shape, spec.dtype) for spec in self.inputs]
        times: list[float] = []
        while len(times) < _TRIALS and sum(times) < _TRIALS_MS:
            start = perf_counter()
            super().run(tensors)
            times.append((perf_counter() - start) * 1e3)
        return min(times[1:] or times)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self._file, self._device, self._precision, self._asked_runtime, self.threads)

    def run(self, tensors: Sequence[np.ndarray[Any, Any]]) -> list[np.ndarray[Any, Any]]:
        """Run it on a tensor for each input, in the device's time; gives every output, as it is stored."""
        if self._interpreter is None:
            self._renew()  # before its time begins: no inference waits for the loading in a forked process
        due = perf_counter() + self._draw() / 1e3
        stored = super().run(tensors)
        self._invoked += 1
        self._late += perf_counter() > due
        self.emulation.late = self._late / self._invoked
        _wait(due)
        return stored

    def _renew(self) -> None:
        super()._renew()
        # All processes that are forked from one would draw the same times, or from what a thread had in use.
        self._draw = drawer(self._times, np.random.default_rng())


def _refuse_slow_host(path: Path, predicted: PredictedTime, host_ms: float) -> None:
    if host_ms > float(predicted.times.quantile_ms(_LOW_QUANTILE)):
        raise EmulationError(
            f"{path}: {predicted.device} would take {predicted.mean_ms:.3g} ms and this host takes {host_ms:.3g}: a "
            "slower host cannot emulate it; use a faster one, or a slower device (`ondevice devices list`); "
            f"{words.typed('ondevice', 'devices', 'predict', predicted.device, path)} says the device's time alone"
        )


def _load(device: Device, predicted: PredictedTime, path: Path, stretched_ms: float) -> tuple[float, str]:
    """What loading takes on the device, ms, and whence that is known."""
    if predicted.load_ms is not None:
        return predicted.load_ms, "published for this network"
    if device.load is not None:
        load_ms = device.load.overhead_ms + device.load.ms_per_mb * path.stat().st_size / 1e6
        return load_ms, f"published load times, ± {device.load.error:.0%}"
    return stretched_ms, "no published load time: this host's, stretched as the inference is"


def _wait(due: float) -> None:
    """Return at `due`, on perf_counter's clock, or at once where that is past."""
    while (left := due - perf_counter()) > 0:
        if left > _SPIN_S:
            time.sleep(left - _SPIN_S)
