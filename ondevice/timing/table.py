"""The times of many models as arrays, which policies read: a row is written whenever a model has run."""

from __future__ import annotations

import numpy as np

from ondevice.timing.distribution import Distribution
from ondevice.timing.quantiles import LEVELS


class LatencyTable:
    """mean_ms [m], std_ms [m], quantiles_ms [m, 21]. version: counts the changes."""

    def __init__(self, count: int) -> None:
        self.mean_ms, self.std_ms = np.zeros(count), np.zeros(count)
        self.quantiles_ms = np.zeros((count, len(LEVELS)))
        self.version = 0

    def write(self, row: int, known: Distribution) -> None:
        """Take over what was learned of one model."""
        self.mean_ms[row], self.std_ms[row] = known.mean_ms, known.std_ms
        self.quantiles_ms[row] = known.quantiles_ms
        self.version += 1
