"""One upload, or what comes of asking with it, as the client weighs them."""

from __future__ import annotations

import numpy as np

from ondevice.client.endpoint.description import EndpointDescription
from ondevice.client.upload_choice import UploadChoice, UploadEstimate
from ondevice.selection.uploads import Situation, UploadCandidates
from ondevice.timing.arrays import FloatArray

SIZE_BYTES = 1000.0
FILE = UploadChoice(None, SIZE_BYTES)


def one_upload(overhead_ms: FloatArray) -> UploadCandidates:
    """A file, with these times of all but the inference [k]."""
    return UploadCandidates(np.array([SIZE_BYTES]), np.atleast_2d(overhead_ms), np.ones((1, 1)))


def effective_top1(
    endpoint: EndpointDescription, within_ms: float, overhead_ms: FloatArray, return_ms: float, device_top1: float
) -> float:
    """What is expected of asking with a file."""
    (expected,) = endpoint.effective_top1(one_upload(overhead_ms), Situation(within_ms, return_ms, device_top1))
    return float(expected)


def estimate(
    endpoint: EndpointDescription, within_ms: float, overhead_ms: FloatArray, return_ms: float, device_top1: float
) -> UploadEstimate:
    """The same, as a planner takes it."""
    return UploadEstimate(FILE, effective_top1(endpoint, within_ms, overhead_ms, return_ms, device_top1))
