"""What to send, chosen together with the model: the effective accuracy to expect of each upload."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ondevice.selection.policies import Policy
from ondevice.selection.problem import Models, Requests
from ondevice.timing.arrays import FloatArray, IndexArray

# Uploads whose expectations differ by less are equally good, and the smallest is sent: a ladder that was measured on
# some hundred pictures does not tell them apart, and bytes cost money.
SAME_TOP1 = 0.002
# Of many uploads only those are looked at closely that are within so much of the best by every third point of time: a
# seventh of all chances, of which what an answer is worth beyond the device's, a third at most, is a twentieth.
_EVERY, _NEAR_TOP1 = 3, 0.05


class UploadCandidates(NamedTuple):
    """u uploads of a picture. size_bytes [u]. overhead_ms [u, k]: k equally likely times, never falling, of all but the
    inference: making it, the network both ways, and what the server does besides. kept [u, m]: the shares that they
    leave of m models' accuracies, or [u, 1] where all are alike.
    """

    size_bytes: FloatArray
    overhead_ms: FloatArray
    kept: FloatArray

    def roughly(self) -> UploadCandidates:
        """With a third of the times, each the middle one of three: to tell most of what is not worth a closer look."""
        return self._replace(overhead_ms=self.overhead_ms[:, _EVERY // 2 :: _EVERY])

    def those(self, rows: IndexArray) -> UploadCandidates:
        """Only these of them."""
        return UploadCandidates(self.size_bytes[rows], self.overhead_ms[rows], self.kept[rows])


class Situation(NamedTuple):
    """within_ms: the time that there is. return_ms: of it, what is set aside for the reply. device_top1: the accuracy
    of the answer that there is in any case; 0 where there is none.
    """

    within_ms: float
    return_ms: float
    device_top1: float


def expected_top1(policy: Policy, models: Models, candidates: UploadCandidates, situation: Situation) -> FloatArray:
    """The effective accuracy (MDInference's measure) to expect of each upload [u], the policy choosing the model.

    For each of an upload's k times the server sees what is beyond return_ms as the upload's, and chooses by it among
    the models, whose accuracies are top1 x kept; the answer counts with the chance that it is within within_ms, and
    the device's, of accuracy device_top1, in its place. So the sum over model and upload is what the pair (model,
    upload) with the greatest expectation is taken from. What a server cannot know, its own queue's course, is in
    overhead_ms as it was of late.
    """
    within_ms, return_ms, device_top1 = situation
    u, k = candidates.overhead_ms.shape
    times_ms = candidates.overhead_ms.reshape(u * k)
    back_ms = np.minimum(return_ms, candidates.overhead_ms[:, 0]).repeat(k)
    top1 = (models.top1 * candidates.kept).repeat(k, axis=0)
    requests = Requests(np.full(u * k, within_ms), times_ms - back_ms, back_ms, device_top1=np.array([device_top1]))
    chosen = policy(models.with_top1(top1), requests)
    on_time = models.times.cdf((within_ms - times_ms)[:, None])
    gain = np.add.reduce(chosen * on_time * np.maximum(top1 - device_top1, 0.0), axis=1)
    expected: FloatArray = device_top1 + gain.reshape(u, k).mean(axis=1)
    return expected


def best(candidates: UploadCandidates, expected: FloatArray) -> int:
    """The smallest of the uploads that are as good as the best. expected [u]."""
    good = expected >= expected.max() - SAME_TOP1
    return int(np.where(good, candidates.size_bytes, np.inf).argmin())


def near(rough: FloatArray) -> IndexArray:
    """Those of the uploads that may be the best, by what is roughly expected of each [u]."""
    return np.flatnonzero(rough >= rough.max() - _NEAR_TOP1)
