"""Estimates with which a model is chosen for a request: its upload is known, and something of the reply to come."""

from __future__ import annotations

import enum

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from ondevice.lab.simulate.legs import Legs, NetworkModel, Sizes
from ondevice.selection.problem import Requests
from ondevice.selection.replies import Replies
from ondevice.timing.arrays import FloatArray
from ondevice.timing.quantiles import POINTS

# So many requests are looked back on. A network that changes is learned anew within as many; fewer would not show the
# reply's tail.
WINDOW = 16


class ReplyEstimate(enum.StrEnum):
    """How the reply and the link are estimated.

    seen: by the last WINDOW requests' replies, each as likely, and the mean of their legs, learned from the stream
    itself. given: by the reply given the upload, as the client learns it and tells the endpoint
    (`ondevice.selection.replies`), from the stream itself; the link as `seen`. true: by the network's own distribution,
    given the upload, and its mean. upload: as published, the reply takes as long as the upload, and both are the link.
    """

    SEEN = "seen"
    GIVEN = "given"
    TRUE = "true"
    UPLOAD = "upload"


class RequestEstimator:
    """Estimates for a stream of requests, which must be asked for in its order."""

    def __init__(self, estimate: ReplyEstimate, network: NetworkModel, sizes: Sizes) -> None:
        self._estimate, self._network, self._sizes = estimate, network, sizes
        # Of the last WINDOW requests: replies, and both legs together.
        self._seen: FloatArray | None = None
        self._replies = Replies()

    def requests(self, legs: Legs, sla_ms: float, device_top1: float, first: int = 0) -> Requests:
        """The n requests with these legs, the first of them number `first`, as policies take them.

        return_ms is always the papers' assumption, the upload.
        """
        n = len(legs.upload_ms)
        reply_ms, link_ms = self._reply_and_link(legs, first)
        return Requests(
            np.full(n, sla_ms), legs.upload_ms, legs.upload_ms, device_top1=np.full(1, device_top1),
            reply_ms=reply_ms, link_ms=link_ms,
        )  # fmt: skip

    def _reply_and_link(self, legs: Legs, first: int) -> tuple[FloatArray | None, FloatArray | None]:
        if self._estimate is ReplyEstimate.UPLOAD:
            return None, None
        if self._estimate is ReplyEstimate.SEEN:
            return self._last_seen(legs)
        if self._estimate is ReplyEstimate.GIVEN:
            return self._given_uploads(legs), self._last_seen(legs)[1]
        n, points = len(legs.upload_ms), self._network.reply_points(legs, self._sizes, first)
        return np.broadcast_to(points, (n, points.shape[1])), self._network.link_ms(n, self._sizes, first)

    def _given_uploads(self, legs: Legs) -> FloatArray:
        """What is known before each request [n, POINTS], one after the other, for each then tells its own reply."""
        points_ms = np.empty((len(legs.upload_ms), POINTS))
        for row, upload_ms, reply_ms in zip(points_ms, legs.upload_ms.tolist(), legs.reply_ms.tolist(), strict=True):
            row[:] = self._replies.points_ms(upload_ms)
            self._replies.add(upload_ms, reply_ms)
        return points_ms

    def _last_seen(self, legs: Legs) -> tuple[FloatArray, FloatArray]:
        """The last replies [n, WINDOW], and the mean of both legs [n, 1], before each request.

        A reply is known when the next request comes: as it would have been without the inference before it.
        """
        now = np.stack([legs.reply_ms, legs.upload_ms + legs.reply_ms])
        if self._seen is None:
            # Before the first reply: that it will take as long as the first upload.
            self._seen = np.outer([1.0, 2.0], np.full(WINDOW, legs.upload_ms[0]))
        known = np.concatenate([self._seen, now], axis=1)
        self._seen = known[:, -WINDOW:]
        sums = np.concatenate([[0.0], np.cumsum(known[1])])
        link_ms = (sums[WINDOW:-1] - sums[: -WINDOW - 1]) / WINDOW
        return sliding_window_view(known[0, :-1], WINDOW), link_ms[:, None]
