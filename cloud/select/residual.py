"""The residuals of the server's predictions: by how much it took longer than expected, learned from its own delays."""

from __future__ import annotations

import numpy as np

from ondevice.timing.quantiles import POINTS, SCATTERED
from ondevice.timing.recent import Recent

# The points are worked out anew with every eighth residual, which costs as much as a choice. After so many refusals
# in a row each further one counts as a residual of 0.
_REFRESH, _PATIENCE = 8, 10
# What the server has to do for a usual request, ms: at least decode a photo. It follows the median of what is seen, by
# so small steps that a few huge pictures among photos do not move it.
_USUAL_MS, _STEP = 5.0, 1.05
# All sums of two points, by size, in as many groups as there are points: the middle of each.
_MIDDLES = np.arange(POINTS // 2, POINTS**2, POINTS)


class Residuals:
    """The residuals of the recent requests, ms: points_ms [21], equally likely, non-decreasing.

    shuffled_ms: these points, not by size. doubled: twice over, as by two that are independent, since of a busy machine
    the server sees half: not how long requests lie unread, nor how long replies do.
    """

    def __init__(self, doubled: bool) -> None:
        self._recent, self._refusals, self._doubled = Recent([0.0]), 0, doubled
        self._usual_ms = _USUAL_MS
        self.points_ms = self.shuffled_ms = np.zeros(POINTS)

    def add(self, ms: float, work_ms: float) -> None:
        """Take one more; what was sooner than expected counts as in time.

        work_ms: what the server was to do for it beside the inference. Where that is more than usual, it counts in
        proportion: decoding of huge pictures is off by as much as photos take, and says nothing of these.
        """
        self._refusals = 0
        self._record(max(ms, 0.0) * self._usual_ms / max(work_ms, self._usual_ms))
        step = _STEP if work_ms > self._usual_ms else 1 / _STEP
        self._usual_ms = max(self._usual_ms * step, _USUAL_MS)

    def refused(self) -> None:
        """Something was refused: if nothing is done any more, expect less, or nothing would ever be tried again."""
        self._refusals += 1
        if self._refusals > _PATIENCE:
            self._record(0.0)

    def _record(self, ms: float) -> None:
        self._recent.add(ms)
        if self._recent.count % _REFRESH == 0:
            seen_ms = self._recent.distribution.quantiles_ms
            self.points_ms = np.sort(np.add.outer(seen_ms, seen_ms), axis=None)[_MIDDLES] if self._doubled else seen_ms
            self.shuffled_ms = self.points_ms[SCATTERED]
