"""The residuals of the server's predictions: by how much it took longer than expected, learned from its own delays."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ondevice.timing.arrays import FloatArray
from ondevice.timing.quantiles import POINTS
from ondevice.timing.recent import Recent

# The points are worked out anew with every eighth residual, which costs as much as a choice. After so many refusals
# in a row each further one counts as a residual of 0.
_REFRESH, _PATIENCE = 8, 10
# What the server has to do for a usual request, ms: at least decode a photo. It follows the median of what is seen, by
# so small steps that a few huge pictures among photos do not move it.
_USUAL_MS, _STEP = 5.0, 1.05
# All sums of two points, by size, in as many groups as there are points: the middle of each.
_MIDDLES = np.arange(POINTS // 2, POINTS**2, POINTS)


class _RecentPoints:
    """What was seen lately, as equally likely points, [21], non-decreasing."""

    def __init__(self) -> None:
        self._recent, self._refusals = Recent([0.0]), 0
        self._points = np.zeros(POINTS)

    def _add(self, value: float) -> None:
        """Take one more; what was sooner than expected counts as in time."""
        self._refusals = 0
        self._record(max(value, 0.0))

    def refused(self) -> None:
        """Something was refused: if nothing is done any more, expect less, or nothing would ever be tried again."""
        self._refusals += 1
        if self._refusals > _PATIENCE:
            self._record(0.0)

    def _record(self, value: float) -> None:
        self._recent.add(value)
        if self._recent.count % _REFRESH == 0:
            self._points = self._worked_out()

    def _worked_out(self) -> FloatArray:
        return self._recent.distribution.quantiles_ms


class Residuals(_RecentPoints):
    """The residuals of the recent requests without their waits for a worker, ms: points_ms [21], non-decreasing.

    doubled: twice over, as by two that are independent, since of a busy machine the server sees half: not how long
    requests lie unread, nor how long replies do.
    """

    def __init__(self, doubled: bool) -> None:
        super().__init__()
        self._usual_ms, self._doubled = _USUAL_MS, doubled

    def observe(self, ms: float, work_ms: float) -> None:
        """Take one more. work_ms: what the server was to do for it beside the inference. Where that is more than usual,
        it counts in proportion: decoding of huge pictures is off by as much as photos take, and says nothing of these.
        """
        self._add(ms * self._usual_ms / max(work_ms, self._usual_ms))
        step = _STEP if work_ms > self._usual_ms else 1 / _STEP
        self._usual_ms = max(self._usual_ms * step, _USUAL_MS)

    @property
    def points_ms(self) -> FloatArray:
        """[21], equally likely."""
        return self._points

    def _worked_out(self) -> FloatArray:
        once = super()._worked_out()
        return np.sort(np.add.outer(once, once), axis=None)[_MIDDLES] if self._doubled else once


class WaitError(NamedTuple):
    """By how much a wait that is foreseen, ms, may be longer: points [21], equally likely, non-decreasing, as parts of
    it and of turn_ms, the longest inference, which even the first waits for.
    """

    points: FloatArray
    foreseen_ms: float
    turn_ms: float

    @property
    def ms(self) -> FloatArray:
        """By how much longer it may be, [21]."""
        return self.points * (self.foreseen_ms + self.turn_ms)

    def longest_ms(self, spare_ms: float) -> float:
        """What may be foreseen so that the wait is no longer than this even at its longest."""
        worst = float(self.points[-1])
        return (spare_ms - worst * self.turn_ms) / (1 + worst)


class WaitResiduals(_RecentPoints):
    """By how much waits for a worker were longer than foreseen, in proportion: a long one is off by more than a short.

    So what a patient request waits in vain says of a hurried one, which comes before all that, only what it should.
    """

    def observe(self, ms: float, foreseen_ms: float, turn_ms: float) -> None:
        """Take one more. turn_ms: the longest inference."""
        self._add(ms / (foreseen_ms + turn_ms))

    @property
    def longest(self) -> float:
        """How many times as long as foreseen a wait may be."""
        return 1 + float(self._points[-1])

    def of(self, foreseen_ms: float, turn_ms: float) -> WaitError:
        """What is to be expected of such a wait."""
        return WaitError(self._points, foreseen_ms, turn_ms)
