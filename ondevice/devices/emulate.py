"""Run a model here as if on another device: the real inference, its time stretched to what the device would take."""

from __future__ import annotations

import functools
import time
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from ondevice.devices import calibration, timing
from ondevice.devices.card import Device, Fit
from ondevice.devices.emulation import Emulation
from ondevice.devices.spread import spread_of
from ondevice.devices.timemodel import KINDS, drawer
from ondevice.errors import EmulationError, UsageError
from ondevice.runtime import Model

# sleep() wakes up to this much late; the rest of the wait is spent looking at the clock.
_SPIN_S = 0.0005
# The host must be as fast as all but the shortest twentieth of the device's inferences; those are late, and counted.
_LOW_QUANTILE = 0.05


class EmulatedModel(Model):
    """A Model whose `invoke` returns when the device's would have; so does loading. One thread of the host runs it.

    checksum: the file's SHA-256. precision: as its card says, where it has one.
    Raises UsageError for a device that cannot be emulated, EmulationError where the host is slower than the device, or
    nothing is known of the model's precision on it.
    """

    def __init__(
        self, path: Path, device: Device, checksum: str, precision: str | None = None, runtime: str | None = None
    ) -> None:
        super().__init__(path, 1, runtime)
        kind, fit, basis = _fit(device, precision or self.precision, str(path))
        measured = timing.of(functools.partial(Model, path, 1, runtime), checksum, kind, self.runtime)
        predicted = fit.predict(measured.relative, path.stat().st_size)
        spread = spread_of(device)
        ratios = spread.around(1.0)
        self._draw = drawer(ratios, np.random.default_rng())
        if measured.host_ms > predicted * ratios.quantile_ms(_LOW_QUANTILE):
            raise EmulationError(
                f"{path}: {device.name} would take {predicted:.3g} ms and this host takes {measured.host_ms:.3g}: "
                "a slower host cannot emulate it; use a faster one, or a slower device (`ondevice devices list`)"
            )
        load_ms, load_basis = _load(device, self.load_ms, path, predicted / measured.host_ms)
        self.emulation = Emulation(
            device.name, device.threads, predicted, measured.host_ms, fit.error, fit.worst, len(fit.points), basis,
            load_ms, load_basis, spread.source,
        )  # fmt: skip
        self.threads = device.threads
        self._invoked = self._late = 0
        _wait(perf_counter() + (load_ms - self.load_ms) / 1e3)
        self.load_ms = max(load_ms, self.load_ms)

    def invoke(self, tensor: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """Run the model on one tensor, in the device's time; gives the stored output, flat, [classes]."""
        due = perf_counter() + self.emulation.predicted_ms * self._draw() / 1e3
        stored = super().invoke(tensor)
        self._invoked += 1
        self._late += perf_counter() > due
        self.emulation.late = self._late / self._invoked
        _wait(due)
        return stored


def _fit(device: Device, precision: str, path: str) -> tuple[str, Fit, str]:
    """The kind of kernel, and the time model: calibrated on this host where it has been, else the shipped one."""
    if not device.emulated:
        raise UsageError(device.refusal)
    kind = KINDS.get(precision, precision)
    if kind not in device.fits:
        raise EmulationError(
            f"{path}: nothing is published of {precision} models on {device.name}; "
            f"it can be emulated for {' and '.join(p for p, k in KINDS.items() if k in device.fits)}"
        )
    calibrated = calibration.load(device.name)
    if kind in calibrated:
        return kind, calibrated[kind], "calibrated on this host"
    return kind, device.fits[kind], "fit made on a reference machine and carried to this host"


def _load(device: Device, host_load_ms: float, path: Path, stretch: float) -> tuple[float, str]:
    if device.load is not None:
        predicted = device.load.overhead_ms + device.load.ms_per_mb * path.stat().st_size / 1e6
        return predicted, f"published load times, ± {device.load.error:.0%}"
    return host_load_ms * stretch, "no published load time: this host's, stretched as the inference is"


def _wait(due: float) -> None:
    """Return at `due`, on perf_counter's clock, or at once where that is past."""
    while (left := due - perf_counter()) > 0:
        if left > _SPIN_S:
            time.sleep(left - _SPIN_S)
