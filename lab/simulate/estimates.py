"""What is known of a request when a model is chosen for it: its upload, and something of the reply to come."""

from __future__ import annotations

import enum

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from ondevice.lab.simulate.legs import Legs, Network, Sizes
from ondevice.selection.problem import Requests
from ondevice.selection.replies import POINTS, Replies
from ondevice.timing.arrays import FloatArray

# So many requests are looked back on. A network that changes is learned anew within as many.
WINDOW = 16


class Knows(enum.StrEnum):
    """What is known of the reply and of the link.

    seen: the last WINDOW requests' replies, each as likely, and the mean of their ways, learned from the stream itself.
    given: the reply given the upload, as the client learns it and tells the endpoint (`ondevice.selection.replies`),
    from the stream itself; the link as `seen`.
    true: the network's own distribution, given the upload, and its mean. upload: as published, the reply takes as long
    as the upload, and both are the link.
    """

    SEEN = "seen"
    GIVEN = "given"
    TRUE = "true"
    UPLOAD = "upload"


class Knowledge:
    """Of a stream of requests, which must be told of in its order."""

    def __init__(self, knows: Knows, network: Network, sizes: Sizes) -> None:
        self._knows, self._network, self._sizes = knows, network, sizes
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
        if self._knows is Knows.UPLOAD:
            return None, None
        if self._knows is Knows.SEEN:
            return self._looking_back(legs)
        if self._knows is Knows.GIVEN:
            return self._learning(legs), self._looking_back(legs)[1]
        n, points = len(legs.upload_ms), self._network.reply_points(legs, self._sizes, first)
        return np.broadcast_to(points, (n, points.shape[1])), self._network.link_ms(n, self._sizes, first)

    def _learning(self, legs: Legs) -> FloatArray:
        """One after the other: what is known before each request, which then tells its own."""
        points_ms = np.empty((len(legs.upload_ms), POINTS))
        for row, upload_ms, reply_ms in zip(points_ms, legs.upload_ms.tolist(), legs.reply_ms.tolist(), strict=True):
            row[:] = self._replies.points_ms(upload_ms)
            self._replies.add(upload_ms, reply_ms)
        return points_ms

    def _looking_back(self, legs: Legs) -> tuple[FloatArray, FloatArray]:
        """A reply is known when the next request comes: as it would have been without the inference before it."""
        now = np.stack([legs.reply_ms, legs.upload_ms + legs.reply_ms])
        if self._seen is None:
            # Before the first reply: that it will take as long as the first upload.
            self._seen = np.outer([1.0, 2.0], np.full(WINDOW, legs.upload_ms[0]))
        known = np.concatenate([self._seen, now], axis=1)
        self._seen = known[:, -WINDOW:]
        sums = np.concatenate([[0.0], np.cumsum(known[1])])
        link_ms = (sums[WINDOW:-1] - sums[: -WINDOW - 1]) / WINDOW
        return sliding_window_view(known[0, :-1], WINDOW), link_ms[:, None]
