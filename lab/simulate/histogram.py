"""Many times in little memory: counted in narrow bins, with their mean and quantiles."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from ondevice.timing.arrays import FloatArray

# Each bin is a quarter of a percent wide, which is finer than any interval here, from a microsecond to 10^9 ms: a
# quantile is as exact for an inference of a ms as for a wait of an hour, and all bins take 90 kB.
_LOWEST_MS, _RATIO, _BINS = 1e-3, 1.0025, 11_100


class TimeHistogram:
    """Times that are added up; memory does not grow with their number."""

    def __init__(self) -> None:
        self._counts: NDArray[np.int64] = np.zeros(_BINS, np.int64)
        self._sum_ms = 0.0

    def add(self, times_ms: FloatArray) -> None:
        """Count more times [n]."""
        level = np.log(np.maximum(times_ms, _LOWEST_MS) / _LOWEST_MS) / math.log(_RATIO)
        self._counts += np.bincount(np.minimum(level.astype(np.intp), _BINS - 1), minlength=_BINS)
        self._sum_ms += float(times_ms.sum())

    @property
    def mean_ms(self) -> float:
        """The mean of all times, exactly. There must be one at least."""
        return self._sum_ms / int(self._counts.sum())

    def quantile_ms(self, level: float) -> float:
        """The quantile at a level from 0 to 1, to a quarter of a percent. There must be one time at least."""
        total = int(self._counts.sum())
        level = max(level, 0.5 / total)
        upto = np.concatenate([[0], np.cumsum(self._counts)]) / total
        bin_ = min(int(np.searchsorted(upto, level, side="left")), _BINS) - 1
        within = (level - upto[bin_]) / (upto[bin_ + 1] - upto[bin_])
        return float(_LOWEST_MS * _RATIO ** (bin_ + within))
