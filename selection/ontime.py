"""How likely each model's answer is to be there before the deadline, and when to expect it."""

from __future__ import annotations

import numpy as np

from ondevice.selection.problem import Models, Requests
from ondevice.timing.arrays import FloatArray

# So many chances are worked out at once: they fit into the processor's cache, and a million requests into memory.
_AT_ONCE = 1 << 15


def on_time(models: Models, requests: Requests) -> FloatArray:
    """The chance that upload + wait + inference + reply is at most the deadline: [n, m].

    Upload and wait are taken as known, inference and reply as independent: the inference as its quantiles say, the
    reply as one of `reply_ms`, each as likely, or else as `return_ms`.
    """
    spare_ms = (requests.sla_ms - requests.upload_ms)[:, None] - requests.wait_ms
    reply_ms = requests.return_ms[:, None] if requests.reply_ms is None else requests.reply_ms
    points = reply_ms.shape[1]
    size = max(1, _AT_ONCE // (points * len(models)))
    if len(requests) <= size:  # as when serving
        few: FloatArray = np.add.reduce(models.times.cdf(spare_ms[:, None] - reply_ms[:, :, None]), axis=1) / points
        return few
    chances = np.empty((len(requests), len(models)))
    for start in range(0, len(requests), size):
        part = slice(start, start + size)
        chances[part] = models.times.cdf(spare_ms[part, None] - reply_ms[part, :, None]).sum(axis=1) / points
    return chances


def expected_ms(models: Models, requests: Requests) -> FloatArray:
    """The expected time to the answer [n, m], from the first byte sent: upload + wait + mean inference + reply."""
    return (requests.upload_ms + requests.return_ms)[:, None] + requests.wait_ms + models.mean_ms
