"""How much a link lets pass and when, in Mahimahi's trace format.

A trace is a list of opportunities: at each, one packet's worth of bytes may pass; what is not used is lost. It repeats
for ever (Netravali et al., "Mahimahi: Accurate Record-and-Replay for HTTP", USENIX ATC 2015, section 3.2).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ondevice import reading, words
from ondevice.errors import OnDeviceError, UsageError
from ondevice.timing.arrays import FloatArray

# A line of a Mahimahi file lets one packet of so many bytes pass, which is Ethernet's largest.
PACKET_BYTES = 1500
# So many digits of ms are 30 years: nobody records for longer, and as floats all such times are exact.
_MAX_DIGITS = 12
# A constant rate is a trace of opportunities so close together that nothing waits long for one.
_GRAIN_MS = 0.1


@dataclass(frozen=True, eq=False)
class Trace:
    """Opportunities to pass `opportunity_bytes` bytes each, at `stamps_ms` and again every `period_ms`.

    stamps_ms: float64 [n], ascending, n ≥ 1, none above period_ms.
    """

    stamps_ms: FloatArray
    period_ms: float
    opportunity_bytes: int = PACKET_BYTES

    @classmethod
    def load(cls, path: str | Path) -> Trace:
        """A Mahimahi file: each line is the ms at which one packet of 1500 bytes may pass; the last ends the period.

        Raises OnDeviceError with file and line where it is not.
        """
        try:
            lines = reading.text(path, "ascii", "replace").splitlines()
        except OSError as error:
            raise OnDeviceError(f"trace {path} cannot be read: {words.reason(error)}") from error
        if not lines:
            raise OnDeviceError(f"trace {path} is empty: each line must be a time in ms")
        stamps = np.array([_stamp(path, number, line) for number, line in enumerate(lines, 1)], np.float64)
        if len(back := np.flatnonzero(np.diff(stamps) < 0)):
            line = int(back[0])
            said = f"{stamps[line + 1]:.0f} ms comes after {stamps[line]:.0f} ms"
            raise OnDeviceError(f"trace {path}, line {line + 2}: {said}; the times must ascend")
        if stamps[-1] == 0:
            raise OnDeviceError(f"trace {path}, line {len(lines)}: it ends at 0 ms, and must last for some time")
        return cls(stamps, float(stamps[-1]))

    @classmethod
    def constant(cls, bits_per_second: float) -> Trace:
        """A steady rate, in steps of 0.1 ms (one byte below 80 kbit/s). Raises UsageError if it is not above 0."""
        if not 0 < bits_per_second < float("inf"):
            raise UsageError(f"a link's rate is above 0 Mbit/s, not {bits_per_second / 1e6:g}")
        grain = max(1, round(bits_per_second / 8e3 * _GRAIN_MS))
        period_ms = grain * 8e3 / bits_per_second
        return cls(np.array([period_ms]), period_ms, grain)

    @property
    def mean_bps(self) -> float:
        """Bits per second over a whole period."""
        return len(self.stamps_ms) * self.opportunity_bytes * 8e3 / self.period_ms

    def passed_ms(self, at_ms: ArrayLike, size_bytes: ArrayLike) -> FloatArray:
        """When `size_bytes`, offered at `at_ms` to an empty link, have passed; both broadcast, ms since the start."""
        at, size = np.broadcast_arrays(np.asarray(at_ms, np.float64), np.asarray(size_bytes, np.float64))
        opportunities = np.ceil(size / self.opportunity_bytes).astype(np.int64)
        last = self.count_before(at) + opportunities - 1
        return np.where(opportunities > 0, np.maximum(self.times_ms(np.maximum(last, 0)), at), at)

    def deliverable(self, from_ms: ArrayLike, to_ms: ArrayLike) -> NDArray[np.int64]:
        """The bytes that may pass from `from_ms` until just before `to_ms`; both broadcast, ms since the start."""
        return (self.count_before(to_ms) - self.count_before(from_ms)) * self.opportunity_bytes

    def count_before(self, at_ms: ArrayLike) -> NDArray[np.int64]:
        """How many opportunities come before `at_ms`, which is also the index of the first one from then on."""
        at = np.asarray(at_ms, np.float64)
        # Whole periods, such that the rest is in (0, period]: a stamp at the period's end still belongs to it.
        periods = np.ceil(at / self.period_ms) - 1
        rest = np.searchsorted(self.stamps_ms, at - periods * self.period_ms, side="left")
        counted: NDArray[np.int64] = np.maximum(periods.astype(np.int64) * len(self.stamps_ms) + rest, 0)
        return counted

    def times_ms(self, index: ArrayLike) -> FloatArray:
        """When the opportunities of these indices (0 is the first) come."""
        periods, stamp = np.divmod(np.asarray(index, np.int64), len(self.stamps_ms))
        return periods * self.period_ms + self.stamps_ms[stamp]


class Cursor:
    """Serves one queue with a trace that begins at `start_ms`, packet after packet, in constant time each."""

    def __init__(self, trace: Trace, start_ms: float) -> None:
        self.trace = trace
        self._start_ms = start_ms
        self._index = 0  # of the opportunity in use
        self._used = 0  # of its bytes

    def serve(self, ready_ms: float, size: int) -> float:
        """When the next packet, of `size` ≥ 1 bytes and there since `ready_ms`, has passed."""
        if self._time_ms(self._index) < ready_ms - self._start_ms:
            self._index = int(self.trace.count_before(ready_ms - self._start_ms))
            self._used = 0
        further, last = divmod(self._used + size - 1, self.trace.opportunity_bytes)
        self._index += further
        self._used = last + 1
        return self._start_ms + self._time_ms(self._index)

    def _time_ms(self, index: int) -> float:
        periods, stamp = divmod(index, len(self.trace.stamps_ms))
        return periods * self.trace.period_ms + float(self.trace.stamps_ms[stamp])


def _stamp(path: str | Path, number: int, line: str) -> int:
    text = line.strip()
    if not (text.isascii() and text.isdigit() and len(text) <= _MAX_DIGITS):
        raise OnDeviceError(f"trace {path}, line {number}: {text[:20]!r} is not a time in ms; write one whole number")
    return int(text)
