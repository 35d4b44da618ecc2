"""A time that changes: its recent samples, and what they say of the next. No clock is read here."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np

from ondevice.timing.bounds import time_ms
from ondevice.timing.distribution import Distribution
from ondevice.timing.profile import Profile
from ondevice.timing.quantiles import POINTS, SCATTERED, lowered
from ondevice.timing.window import Window, fading

# A sample weighs half as much after so many newer ones, and nothing after SIZE. The cut counts: with it, 40 samples
# after a slow-down less than 4 % of the old remain (with 64: 8 %), while one outlier still weighs only 6 %.
HALF_LIFE, SIZE = 12, 48
# Quantiles become samples in the order of SCATTERED, so that none of the young ones stand together: their weights then.
_SEEDED = fading(SIZE, HALF_LIFE)[POINTS].each[np.argsort(SCATTERED)]


class Recent:
    """The last SIZE samples of a time, in ms, the recent ones weighing more. count: how many there have ever been."""

    def __init__(self, samples_ms: Iterable[float] = ()) -> None:
        self._window = Window(SIZE, HALF_LIFE)
        self.count = 0
        self._known: Distribution | None = None
        for ms in samples_ms:
            self.add(ms)

    @classmethod
    def seeded(cls, known: Distribution, count: int) -> Recent:
        """Start from what is known, of so many samples: its quantiles are the first ones, the largest `lowered`."""
        recent = cls(lowered(known.quantiles_ms, known.mean_ms, _SEEDED)[SCATTERED].tolist())
        recent.count = count
        return recent

    def add(self, ms: float) -> None:
        """Take one more sample. Raises ValueError for what is not a time."""
        self._window.add(time_ms(ms))
        self.count += 1
        self._known = None

    def renew(self, samples_ms: Sequence[float]) -> None:
        """Take a new measurement of what has not run for long: it weighs at least as two half-lives of samples.

        So what was learned before keeps a fifth of the weight, and nothing after the second renewal, however few the
        samples. Raises ValueError for none, and for what is not a time.
        """
        samples = [time_ms(ms) for ms in samples_ms]
        if not samples:
            raise ValueError("no samples to renew from")
        for ms in samples * math.ceil(2 * HALF_LIFE / len(samples)):
            self._window.add(ms)
        self.count += len(samples)
        self._known = None

    @property
    def distribution(self) -> Distribution:
        """What the samples say, weighted: of the population that was sampled. Raises ValueError before the first."""
        if self._known is None:
            if not self._window.count:
                raise ValueError("no time is known: add a sample first")
            self._known = Distribution.of(self._window.columns[0], self._window.weights)
        return self._known

    def profile(self, model: str, host: str, runtime: str, threads: int) -> Profile:
        """The samples as those of a model, as it is published and saved. Raises ValueError before the first sample."""
        return Profile(model, *self.distribution.figures, self.count, host, runtime, threads)
