"""What the network between here and the endpoint takes, learned from each request. No clock is read here."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from ondevice.client.moments import Moments
from ondevice.selection.replies import Replies, ReplyDistribution
from ondevice.timing.arrays import FloatArray
from ondevice.timing.quantiles import MEDIAN, POINTS

# Of a request that was given up, only a bound is known. Where one figure is wanted for it, it is so many times that.
CENSORED = 1.5
# Before the first request: a mobile link's round trip.
_FIRST_MS = 60.0
# Servers see how a body of more than two packets comes, unless it comes to them whole: if all that they saw of late is
# less than this, in the mean, they say nothing of the sending. Two packets are so close together on 80 Mbit/s.
_SEEING_BYTES, _SEEING_MS = 2_200, 0.3
# That mean is of some ten requests.
_SEEN = 10


class NetworkSample(NamedTuple):
    """What a request took that was answered. size_bytes: its body's. network_ms: on the way there and back, of which
    upload_ms were between its first byte's coming to the server and its last's; None: the server does not say.

    other_ms: what the server took beside the inference: its queue, decoding, its own work.
    """

    size_bytes: int
    network_ms: float
    upload_ms: float | None
    other_ms: float


class NetworkEstimates:
    """What is to be expected of requests of any size, from the last ones. See `Moments`.

    count: of how many something was learned since the beginning, or since the last change of network.
    """

    def __init__(self) -> None:
        self._moments = Moments.guessed(_FIRST_MS)
        self.count, self._seen, self._seen_ms = 0, 0, 0.0
        self.replies = Replies()

    @property
    def known(self) -> bool:
        """Whether any request has told something."""
        return self.count > 0

    def add(self, sample: NetworkSample) -> None:
        """Learn from a request that was answered."""
        upload_ms = sample.upload_ms
        if upload_ms is not None:
            upload_ms = min(upload_ms, sample.network_ms)
            if sample.size_bytes > _SEEING_BYTES:
                self._seen = min(self._seen + 1, _SEEN)
                self._seen_ms += (upload_ms - self._seen_ms) / self._seen
            if self._seen_ms < _SEEING_MS:
                upload_ms = None
        self._moments = self._moments.answered(*sample._replace(upload_ms=upload_ms))
        self.count += 1

    def replied(self, upload_ms: float, reply_ms: float) -> None:
        """Learn how long a reply took after the upload that its server saw."""
        self.replies.add(upload_ms, reply_ms)

    def reply(self) -> ReplyDistribution | None:
        """The reply given the upload, once something is known of it."""
        return self.replies.distribution if self.replies.count else None

    def add_late(self, size_bytes: int, elapsed_ms: float) -> None:
        """Learn from a request of which nothing had come back when it was given up."""
        longer = CENSORED * elapsed_ms / max(float(self.points_ms(size_bytes)[MEDIAN]), 1e-3)
        if longer > CENSORED:  # else it was given up before a reply was to be expected
            # Nobody knows what its upload took: that it was longer by as much would make replies hang on uploads.
            self.replied(self.sending_ms(size_bytes), self.fixed_ms() * longer)
        self._moments = self._moments.silent(size_bytes, elapsed_ms)
        self.count += 1

    def connected(self, round_trip_ms: float) -> None:
        """Learn from a new connection, which takes one round trip; requests tell more."""
        if not self.count:
            self._moments = Moments.guessed(round_trip_ms)

    def forget(self) -> None:
        """Begin anew: this is another network."""
        self._moments = Moments.guessed(_FIRST_MS)
        self.count, self._seen, self._seen_ms = 0, 0, 0.0
        self.replies.forget()

    def points_ms(self, size_bytes: int | ArrayLike) -> FloatArray:
        """What requests of so many bytes [...] take beside the inference, [..., 21], equally likely points, never
        falling. Many sizes at once cost hardly more than one.
        """
        sizes = np.asarray(size_bytes, float)
        return self._moments.points_ms(sizes.reshape(-1)).reshape(*sizes.shape, POINTS)

    def way_ms(self, size_bytes: float) -> float:
        """In a figure, which is sooner there than points, what a request of so many bytes takes on the way."""
        return self._moments.way_ms(size_bytes)

    def fixed_ms(self) -> float:
        """The median of what a request takes on the way whatever its size."""
        return self._moments.fixed_ms

    def sending_ms(self, size_bytes: int) -> float:
        """How much longer a request of so many bytes takes than one without a body, in the median."""
        longer_ms, none_ms = self.points_ms((size_bytes, 0))[:, MEDIAN]
        return max(float(longer_ms - none_ms), 0.0)


class OwnAddress:
    """By which address of this device its last connections went: another one is another network.

    Only within a family: a server that is reached by IPv4 where IPv6 leads nowhere is in the same network as before.
    """

    def __init__(self) -> None:
        self._last: dict[int, str] = {}

    def changed(self, family: int, local: str) -> bool:
        """Whether the network is another one than before, by a new connection's address. family: as sockets have it."""
        other = self._last.get(family, local) != local
        if other:
            self._last.clear()  # of the other families nothing is known there
        self._last[family] = local
        return other
