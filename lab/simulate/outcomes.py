"""What came of simulated requests: counts that add up, and the measures with their intervals."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from ondevice.evaluate import wilson
from ondevice.timing.arrays import FloatArray, IndexArray

Counts = np.ndarray[Any, np.dtype[np.int64]]

# What becomes of a request: its own answer is on time; the device's stood in for it; or there is none in time.
ON_TIME, STOOD_IN, LATE = range(3)
# Intervals are found by drawing blocks of consecutive requests anew, for neighbours may share their fate.
BLOCKS, _RESAMPLES, _LEAST_BLOCKS = 200, 1000, 20
# Times are counted in bins of a quarter of a percent.
_LOWEST_MS, _RATIO, _BINS = 1e-3, 1.0025, 11_100


class Estimate(NamedTuple):
    """A mean with its 95 % interval; NaN where too few requests tell one."""

    value: float
    low: float
    high: float


class Batch(NamedTuple):
    """What became of n requests in a row. model [n]: len(models) stands for the device alone. fate [n].

    answer_ms [n]: from the first byte sent to the answer. server_ms [n]: the inference. wait_ms [n]: in the queue.
    """

    model: IndexArray
    fate: IndexArray
    answer_ms: FloatArray
    server_ms: FloatArray
    wait_ms: FloatArray


class Outcomes:
    """Counts `requests` requests, in their order. top1 [m + 1]: of each model, and last of the device.

    counts [blocks, m + 1, 3]: by block of consecutive requests, model and fate.
    """

    def __init__(self, requests: int, top1: FloatArray, device_top1: float) -> None:
        self.requests, self.top1, self.device_top1 = requests, np.append(top1, device_top1), device_top1
        self.blocks = min(requests, BLOCKS)
        self.counts: Counts = np.zeros((self.blocks, len(self.top1), 3), np.int64)
        self._times: Counts = np.zeros(_BINS, np.int64)
        self._sums_ms = np.zeros(3)
        self._counted = 0

    def add(self, batch: Batch) -> None:
        """Count the next requests."""
        n = len(batch.model)
        block = np.arange(self._counted, self._counted + n) * self.blocks // self.requests
        key = (block * len(self.top1) + batch.model) * 3 + batch.fate
        self.counts += np.bincount(key, minlength=self.counts.size).reshape(self.counts.shape)
        level = np.log(np.maximum(batch.answer_ms, _LOWEST_MS) / _LOWEST_MS) / math.log(_RATIO)
        self._times += np.bincount(np.minimum(level.astype(np.intp), _BINS - 1), minlength=_BINS)
        self._sums_ms += [batch.answer_ms.sum(), batch.server_ms.sum(), batch.wait_ms.sum()]
        self._counted += n

    @property
    def top1_chosen(self) -> Estimate:
        """The accuracy of the models that were chosen, in time or not: the papers' measure."""
        return self._estimate(self._top1_sums())

    @property
    def attainment(self) -> Estimate:
        """The share whose own answer is on time. The interval is the wider of two, by blocks and Wilson's."""
        on_time = self.counts[:, :, ON_TIME].sum(axis=1)
        share, low, high = self._estimate(on_time)
        least, most = wilson(int(on_time.sum()), self.requests)
        return Estimate(share, float(np.fmin(low, least)), float(np.fmax(high, most)))

    @property
    def effective_top1(self) -> Estimate:
        """The accuracy of what is there at the deadline: the model's, else the device's, else nothing: 0."""
        return self._estimate(self._effective_sums())

    @property
    def device_share(self) -> Estimate:
        """The share that the device answers, alone or because the cloud's answer is late."""
        alone = self.counts[:, -1].sum(axis=1)
        return self._estimate(alone + self.counts[:, :-1, STOOD_IN].sum(axis=1))

    @property
    def shares(self) -> FloatArray:
        """[m + 1]: how often each model was chosen, and last the device alone."""
        shares: FloatArray = self.counts.sum(axis=(0, 2)) / self.requests
        return shares

    @property
    def mean_ms(self) -> float:
        """The mean time to the answer."""
        return float(self._sums_ms[0]) / self.requests

    @property
    def server_ms(self) -> float:
        """What inference a request costs the server in the mean."""
        return float(self._sums_ms[1]) / self.requests

    @property
    def wait_ms(self) -> float:
        """The mean wait in the queue."""
        return float(self._sums_ms[2]) / self.requests

    def quantile_ms(self, level: float) -> float:
        """A quantile of the time to the answer, to a quarter of a percent."""
        level = max(level, 0.5 / self.requests)
        upto = np.concatenate([[0], np.cumsum(self._times)]) / self.requests
        bin_ = min(int(np.searchsorted(upto, level, side="left")), _BINS) - 1
        within = (level - upto[bin_]) / (upto[bin_ + 1] - upto[bin_])
        return float(_LOWEST_MS * _RATIO ** (bin_ + within))

    def gain(self, over: Outcomes) -> Estimate:
        """By how much effective accuracy is above that of `over`, with the same requests: a paired interval."""
        return self._estimate(self._effective_sums() - over._effective_sums())

    def _top1_sums(self) -> FloatArray:
        sums: FloatArray = self.counts.sum(axis=2) @ self.top1
        return sums

    def _effective_sums(self) -> FloatArray:
        sums: FloatArray = (
            self.counts[:, :, ON_TIME] @ self.top1 + self.counts[:, :, STOOD_IN].sum(axis=1) * self.device_top1
        )
        return sums

    def _estimate(self, sums: FloatArray | Counts) -> Estimate:
        """Of a mean over requests, from its sum over each block."""
        value = float(sums.sum()) / self.requests
        if self.blocks < _LEAST_BLOCKS:
            return Estimate(value, math.nan, math.nan)
        sizes = self.counts.sum(axis=(1, 2))
        weights = _resamples(self.blocks)
        low, high = np.quantile((weights @ sums) / (weights @ sizes), (0.025, 0.975))
        return Estimate(value, float(low), float(high))


@lru_cache(maxsize=4)
def _resamples(blocks: int) -> FloatArray:
    """How often each block is drawn, in each resample [resamples, blocks]: the same for all, so that pairs stay so."""
    return np.random.default_rng(blocks).multinomial(blocks, np.full(blocks, 1 / blocks), _RESAMPLES).astype(float)
