"""The residuals of the server's predictions: by how much it took longer than expected, learned from its own delays."""

from __future__ import annotations

import numpy as np

from ondevice.timing.quantiles import POINTS, SCATTERED
from ondevice.timing.recent import Recent

# The points are worked out anew with every eighth residual, which costs as much as a choice. After so many refusals
# in a row each further one counts as a residual of 0.
_REFRESH, _PATIENCE = 8, 10
# All sums of two points, by size, in as many groups as there are points: the middle of each.
_MIDDLES = np.arange(POINTS // 2, POINTS**2, POINTS)


class Residuals:
    """The residuals of the recent requests, ms: points_ms [21], equally likely, non-decreasing.

    shuffled_ms: these points, not by size. doubled: twice over, as by two that are independent, since of a busy machine
    the server sees half: not how long requests lie unread, nor how long replies do.
    """

    def __init__(self, doubled: bool) -> None:
        self._recent, self._refusals, self._doubled = Recent([0.0]), 0, doubled
        self.points_ms = self.shuffled_ms = np.zeros(POINTS)

    def add(self, ms: float) -> None:
        """Take one more; what was sooner than expected counts as in time."""
        self._refusals = 0
        self._record(max(ms, 0.0))

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
