"""What the network between here and the endpoint takes, learned from each request. No clock is read here."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from ondevice.selection.replies import Replies, ReplyDistribution
from ondevice.timing.arrays import FloatArray
from ondevice.timing.quantiles import LEVELS, MEDIAN, quantiles_of_rows, weighted_quantiles
from ondevice.timing.window import Window

# Links change within seconds: a sample weighs half as much after so many newer ones, and nothing after _SIZE, when it
# would weigh under 3 % of the newest.
_HALF_LIFE, _SIZE = 6, 32
# By age, the oldest first.
_WEIGHTS = 0.5 ** (np.arange(_SIZE - 1, -1, -1) / _HALF_LIFE)
# Of a request that was given up, only a bound is known. What it would have taken is taken for so much more: enough that
# a few in a row rule the cloud out, little enough that one does not.
CENSORED = 1.5
# Before the first request: a mobile link, of 60 ms round trip and 10 Mbit/s.
_FIRST_MS, _FIRST_MS_PER_BYTE = 60.0, 8 / 10e3
# So much is sent before the first acknowledgement (TCP's initial window, RFC 6928): more shows the rate.
_TELLING_BYTES = 14_600


class NetworkSample(NamedTuple):
    """What a request took. fixed_ms: round trip and reply, whatever its size. ms_per_byte: of sending it.

    other_ms: what the server took beside the inference: its queue, decoding, its own work.
    """

    fixed_ms: float
    ms_per_byte: float
    other_ms: float


class NetworkEstimates:
    """The last requests' times, recent ones weighing more.

    A request of b bytes takes fixed + b * ms_per_byte on the network, and `other` at the server. The three are kept
    together for each request, for they are correlated: a link that is bad is bad in all of them.
    """

    def __init__(self) -> None:
        self._window = Window(_SIZE, _HALF_LIFE, len(NetworkSample._fields))
        self._round_trip_ms: float | None = None
        self.replies = Replies()
        self._middle_known: tuple[float, float, float] | None = None

    @property
    def known(self) -> bool:
        """Whether any request has told something."""
        return self._window.count > 0

    def add(self, sample: NetworkSample) -> None:
        """Learn from a request that was answered."""
        self._window.add(*sample)
        self._middle_known = None

    def replied(self, upload_ms: float, reply_ms: float) -> None:
        """Learn how long a reply took after the upload that its server saw."""
        self.replies.add(upload_ms, reply_ms)

    def reply(self) -> ReplyDistribution | None:
        """The reply given the upload, once something is known of it."""
        return self.replies.distribution if self.replies.count else None

    def add_late(self, size_bytes: int, elapsed_ms: float) -> None:
        """Learn from a request of which nothing had come back when it was given up."""
        fixed, per_byte, other = self._middle()
        longer = CENSORED * elapsed_ms / max(fixed + per_byte * size_bytes + other, 1e-3)
        if longer > CENSORED:  # else it was given up before anything was to be expected
            self.add(NetworkSample(fixed * longer, per_byte * longer, other))
            self.replied(per_byte * longer * size_bytes, fixed * longer)

    def connected(self, round_trip_ms: float) -> None:
        """Learn from a new connection, which takes one round trip."""
        self._round_trip_ms = round_trip_ms
        self._middle_known = None

    def forget(self) -> None:
        """Begin anew: this is another network."""
        self._window.clear()
        self._round_trip_ms = self._middle_known = None
        self.replies.forget()

    def points_ms(self, size_bytes: int | ArrayLike) -> FloatArray:
        """What requests of so many bytes [...] take beside the inference, [..., 21], equally likely points, never
        falling. Many sizes at once cost hardly more than one.
        """
        (fixed, per_byte, other), weights = self._kept()
        sizes = np.asarray(size_bytes, float)
        points_ms = quantiles_of_rows(fixed + other + per_byte * sizes.reshape(-1, 1), weights)
        return points_ms.reshape(*sizes.shape, len(LEVELS))

    def fixed_ms(self) -> float:
        """The median of what a request takes on the way whatever its size."""
        return self._middle()[0]

    def sending_ms(self, size_bytes: int) -> float:
        """The median of what sending so many bytes takes."""
        return self._middle()[1] * size_bytes

    def split(self, size_bytes: int, network_ms: float, upload_ms: float | None) -> tuple[float, float]:
        """(fixed_ms, ms_per_byte) of a request that took network_ms on the network.

        upload_ms: between its first and its last byte at the server; None where the server does not say: then all
        beyond the round trip of a new connection is taken for sending. A small request arrives in one piece, which
        tells nothing of the rate: that stays as it was.
        """
        if size_bytes < _TELLING_BYTES:
            per_byte = min(self._middle()[1], network_ms / max(size_bytes, 1))
            return network_ms - per_byte * size_bytes, per_byte
        if upload_ms is None:
            upload_ms = network_ms - (self._round_trip_ms or 0.0)
        upload_ms = min(max(upload_ms, 0.0), network_ms)
        return network_ms - upload_ms, upload_ms / size_bytes

    def _kept(self) -> tuple[FloatArray, FloatArray]:
        """The samples' columns [3, n] and weights [n]; before the first a guess."""
        if self._window.count:
            return self._window.columns.copy(), self._window.weights.each
        return np.array([[self._round_trip_ms or _FIRST_MS], [_FIRST_MS_PER_BYTE], [0.0]]), np.ones(1)

    def _middle(self) -> tuple[float, float, float]:
        """The medians of the three; a request asks for them several times."""
        if self._middle_known is None:
            columns, weights = self._kept()
            fixed, per_byte, other = (float(weighted_quantiles(column, weights)[MEDIAN]) for column in columns)
            self._middle_known = fixed, per_byte, other
        return self._middle_known


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
