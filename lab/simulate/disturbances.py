"""How a network changes while requests come: it becomes slower or faster, or nothing passes for a while."""

from __future__ import annotations

import math
import re
from typing import NamedTuple

import numpy as np

from ondevice.errors import UsageError
from ondevice.lab.simulate import notation
from ondevice.lab.simulate.notation import Bounds
from ondevice.timing.arrays import FloatArray

_DRIFT = re.compile(r"(?P<factor>[^@]+)@(?P<first>\d{1,12})(?:-(?P<last>\d{1,12}))?", re.ASCII)


class Drift(NamedTuple):
    """Legs take `factor` times as long from request number `last` on, and steadily more from `first` to there."""

    factor: float = 1.0
    first: int = 0
    last: int = 0

    @classmethod
    def of(cls, text: str) -> Drift:
        """Read `2@500` or `2@500-1500`. Raises UsageError."""
        match = _DRIFT.fullmatch(text)
        if not match:
            raise UsageError(
                f"drift={notation.shortened(text)}: write FACTOR@REQUEST or FACTOR@FIRST-LAST, such as 2@500"
            )
        factor = notation.parse_numbers("drift", {"drift": match["factor"]}, {"drift": Bounds(1e-3, 1e3)})["drift"]
        first, last = int(match["first"]), int(match["last"] or match["first"])
        if last < first:
            raise UsageError(f"drift={text}: its last request comes before its first")
        return cls(factor, first, last)

    def factors(self, first: int, n: int) -> FloatArray:
        """How many times as long the legs take, [n], for the n requests from number `first` on."""
        number = np.arange(first, first + n)
        done = (number - self.first + 1) / (self.last - self.first + 1)
        factors: FloatArray = 1 + (self.factor - 1) * np.clip(done, 0, 1)
        return factors


NO_DRIFT = Drift()


class Outage(NamedTuple):
    """Nothing passes from start_ms on for length_ms, and so again every every_ms (inf: once).

    What is under way then stands still and goes on afterwards.
    """

    start_ms: float
    length_ms: float
    every_ms: float = math.inf

    @classmethod
    def of(cls, text: str) -> Outage:
        """Read `10:2` or `10:2:60`, seconds. Raises UsageError."""
        try:
            start, length, every = [float(part) * 1e3 for part in f"{text}:inf".split(":")[:3]]
        except ValueError:
            start = length = every = math.nan
        if not (0 <= start < math.inf and 0 < length < every and text.count(":") <= 2):
            raise UsageError(
                f"outage={notation.shortened(text)}: write START:LENGTH in seconds, such as 10:2, or "
                "START:LENGTH:EVERY with EVERY above LENGTH"
            )
        return cls(start, length, every)

    def stretched_ms(self, at_ms: FloatArray, needs_ms: FloatArray) -> FloatArray:
        """How long it takes what begins at at_ms and would take needs_ms without outages; both broadcast."""
        outages, within_ms = self._outages(at_ms)
        shut_ms = np.clip(within_ms, 0, self.length_ms)
        # The time is told by a clock that stands still in outages, and told back.
        done_ms = at_ms - outages * self.length_ms - shut_ms + needs_ms
        through_ms = self._when_ms(done_ms)
        in_outage = (within_ms >= 0) & (within_ms < self.length_ms)
        begins_ms = np.where(in_outage, at_ms + self.length_ms - within_ms, at_ms)
        return np.maximum(through_ms, begins_ms) - at_ms

    def _outages(self, at_ms: FloatArray) -> tuple[FloatArray, FloatArray]:
        """How many outages before the present one began by at_ms, and for how long that is ago, below 0 for none."""
        since_ms = at_ms - self.start_ms
        if math.isinf(self.every_ms):
            return np.zeros_like(since_ms), since_ms
        outages = np.maximum(np.floor(since_ms / self.every_ms), 0.0)
        return outages, since_ms - outages * self.every_ms

    def _when_ms(self, open_ms: FloatArray) -> FloatArray:
        """The first moment by which something has been able to pass for open_ms."""
        since_ms = open_ms - self.start_ms
        if math.isinf(self.every_ms):
            return np.where(since_ms > 0, open_ms + self.length_ms, open_ms)
        # What is through as an outage begins has not waited for it.
        outages = np.maximum(np.ceil(since_ms / (self.every_ms - self.length_ms)), 0.0)
        return open_ms + outages * self.length_ms
