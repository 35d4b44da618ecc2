"""The chance that a model's time is at most so long, for many models and times at once."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from ondevice.timing.arrays import FloatArray
from ondevice.timing.profile import LEVELS

# Between two supports on the common axis, and beyond each end, in ms; any width does.
_MARGIN_MS = 1.0


class Cdfs:
    """The distribution functions of m models: `cdfs(x_ms [..., m])` gives P(time <= x) [..., m].

    quantiles_ms [m, 21]: never falling, at LEVELS. Between two quantiles the time is taken as uniform, so that

        F(x) = mean over j of clip((x - q_j) / (q_j+1 - q_j), 0, 1)

    and where quantiles coincide F steps up, its value there being that above the step.
    """

    def __init__(self, quantiles_ms: FloatArray) -> None:
        # The supports are laid end to end on one axis, so that a single interpolation serves all models.
        self._low, self._high = quantiles_ms[:, 0] - _MARGIN_MS, quantiles_ms[:, -1] + _MARGIN_MS
        length = self._high - self._low
        self._shift = np.cumsum(length + _MARGIN_MS) - length - self._low
        knots = np.empty((len(quantiles_ms), len(LEVELS) + 2))
        knots[:, 0], knots[:, 1:-1], knots[:, -1] = self._low, quantiles_ms, self._high
        knots += self._shift[:, None]
        self._knots = knots.ravel()
        self._heights = _heights(len(quantiles_ms))

    def __call__(self, x_ms: FloatArray) -> FloatArray:
        """P(time <= x) [..., m] for x_ms [..., m] or [..., 1]; any finite x_ms will do."""
        within_ms = np.minimum(np.maximum(x_ms, self._low), self._high)
        return np.interp(within_ms + self._shift, self._knots, self._heights)


@lru_cache(maxsize=64)
def _heights(models: int) -> FloatArray:
    """The value at each knot: 0 on the margin before, the levels, 1 on the margin after."""
    return np.tile(np.concatenate([[0.0], LEVELS, [1.0]]), models)
