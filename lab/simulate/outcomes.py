"""What came of simulated requests: counts that add up, and the measures with their intervals."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from ondevice.evaluate import wilson
from ondevice.lab.simulate.histogram import TimeHistogram
from ondevice.timing.arrays import FloatArray, IndexArray

Counts = np.ndarray[Any, np.dtype[np.int64]]

# What becomes of a request: its own answer is on time; the device's stood in for it; or there is none in time.
ON_TIME, STOOD_IN, LATE = range(3)
# Intervals are found by drawing blocks of consecutive requests anew (block bootstrap), for neighbours may share their
# fate. 200 blocks know their own spread to 5 %, and of 10,000 requests each is longer than what learns looks back.
BLOCKS = 200
# Of a 95 % interval 25 resamples lie beyond each end, enough for its ends to stand still from seed to seed.
_RESAMPLES = 1000
# Of fewer blocks the interval comes out too narrow: none is better.
_LEAST_BLOCKS = 20


class IntervalEstimate(NamedTuple):
    """A mean with its 95 % interval; NaN where too few requests tell one."""

    value: float
    low: float
    high: float


class OutcomeBatch(NamedTuple):
    """What became of n requests in a row. model [n]: len(models) stands for the device alone. fate [n].

    answer_ms [n]: from the first byte sent to the answer. server_ms [n]: the inference. wait_ms [n]: in the queue.
    """

    model: IndexArray
    fate: IndexArray
    answer_ms: FloatArray
    server_ms: FloatArray
    wait_ms: FloatArray


class OutcomeCounts:
    """Counts `requests` requests, in their order, and gives the measures.

    top1 [m + 1]: the accuracy of each model, and last of the device. counts [blocks, m + 1, 3]: by block of consecutive
    requests, model and fate. answer_times: from the first byte sent to the answer.

    With several uploads top1 is given for each model and upload [m, u], and a batch's `model` is a pair's number: the
    model's times u plus the upload's.
    """

    def __init__(self, requests: int, top1: FloatArray, device_top1: float) -> None:
        self.requests, self.top1 = requests, np.append(top1, device_top1)
        self._models = len(np.atleast_1d(top1))
        self.counts: Counts = np.zeros((min(requests, BLOCKS), len(self.top1), 3), np.int64)
        self.answer_times = TimeHistogram()
        self._sums = np.zeros(3)
        self._counted = 0

    def add(self, batch: OutcomeBatch, sent_bytes: float = 0.0) -> None:
        """Count the next requests. sent_bytes: of all their pictures, where uploads are simulated."""
        n = len(batch.model)
        block = np.arange(self._counted, self._counted + n) * len(self.counts) // self.requests
        key = (block * len(self.top1) + batch.model) * 3 + batch.fate
        self.counts += np.bincount(key, minlength=self.counts.size).reshape(self.counts.shape)
        self.answer_times.add(batch.answer_ms)
        self._sums += [batch.server_ms.sum(), batch.wait_ms.sum(), sent_bytes]
        self._counted += n

    @property
    def top1_chosen(self) -> IntervalEstimate:
        """The accuracy of the models that were chosen, in time or not: the papers' measure."""
        return _interval(self.counts, self.counts.sum(axis=2) @ self.top1)

    @property
    def attainment(self) -> IntervalEstimate:
        """The share whose own answer is on time. The interval is the wider of two, by blocks and Wilson's."""
        on_time = self.counts[:, :, ON_TIME].sum(axis=1)
        share, low, high = _interval(self.counts, on_time)
        least, most = wilson(int(on_time.sum()), self.requests)
        return IntervalEstimate(share, float(np.fmin(low, least)), float(np.fmax(high, most)))

    @property
    def effective_top1(self) -> IntervalEstimate:
        """The accuracy of what is there at the deadline: the model's, else the device's, else nothing: 0."""
        return _interval(self.counts, self.effective_sums)

    @property
    def effective_sums(self) -> FloatArray:
        """The sums over each block [blocks] of what each request's answer at the deadline is worth."""
        own, of_device = self.counts[:, :, ON_TIME], self.counts[:, :, STOOD_IN].sum(axis=1)
        sums: FloatArray = own @ self.top1 + of_device * self.top1[-1]
        return sums

    @property
    def device_share(self) -> IntervalEstimate:
        """The share that the device answers, alone or because the cloud's answer is late."""
        alone = self.counts[:, -1].sum(axis=1)
        return _interval(self.counts, alone + self.counts[:, :-1, STOOD_IN].sum(axis=1))

    @property
    def shares(self) -> FloatArray:
        """How often each model was chosen, and last the device alone: [m + 1]."""
        shares = self._shares
        return np.append(shares[:-1].reshape(self._models, -1).sum(axis=1), shares[-1])

    @property
    def upload_shares(self) -> FloatArray:
        """How often each upload was sent: [u]."""
        of_uploads: FloatArray = self._shares[:-1].reshape(self._models, -1).sum(axis=0)
        return of_uploads

    @property
    def _shares(self) -> FloatArray:
        shares: FloatArray = self.counts.sum(axis=(0, 2)) / self.requests
        return shares

    @property
    def server_ms(self) -> float:
        """What inference a request costs the server in the mean."""
        return float(self._sums[0]) / self.requests

    @property
    def wait_ms(self) -> float:
        """The mean wait in the queue."""
        return float(self._sums[1]) / self.requests

    @property
    def sent_bytes(self) -> float:
        """What of a picture is sent in the mean."""
        return float(self._sums[2]) / self.requests

    def gain(self, over: OutcomeCounts) -> IntervalEstimate:
        """By how much the effective accuracy is above that of `over`, with the same requests: a paired interval."""
        return _interval(self.counts, self.effective_sums - over.effective_sums)


def _interval(counts: Counts, sums: FloatArray | Counts) -> IntervalEstimate:
    """A mean over the requests that are counted, from its sum over each block."""
    mean = float(sums.sum()) / int(counts.sum())
    if len(counts) < _LEAST_BLOCKS:
        return IntervalEstimate(mean, math.nan, math.nan)
    weights = _resamples(len(counts))
    low, high = np.quantile((weights @ sums) / (weights @ counts.sum(axis=(1, 2))), (0.025, 0.975))
    return IntervalEstimate(mean, float(low), float(high))


@lru_cache(maxsize=4)
def _resamples(blocks: int) -> FloatArray:
    """How often each block is drawn in each resample [resamples, blocks]: fixed, so that paired results stay paired."""
    return np.random.default_rng(blocks).multinomial(blocks, np.full(blocks, 1 / blocks), _RESAMPLES).astype(float)
