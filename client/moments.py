"""What the network may be like: as at moments of late, or as silence makes one guess. No clock is read here."""

from __future__ import annotations

from functools import cached_property

import numpy as np

from ondevice.timing.arrays import FloatArray
from ondevice.timing.quantiles import points_of_rows

# Chosen by Brier's score as benchmarks/network.py has it, which half or twice of any of these changes by a fiftieth.
#
# A moment weighs half as much after so many newer ones, for links change within seconds: with 9 the score is worse by a
# twentieth.
_HALF_LIFE = 3
# What weighs less than this is forgotten, and so are the lightest of more than so many, which only silence can make.
_LEAST_WEIGHT, _MOST = 0.02, 64
# A request's first packet has so much of the body, beside a head of some 350 bytes: what is behind tells of the rate.
_FIRST_BYTES = 1_100
# A moment's own rate counts as much as the usual one where so many bytes told of it, which is less than a packet.
_USUAL_BYTES = 500
# The usual rate before any is known: a mobile link's 10 Mbit/s, as if half a packet had told of it.
_FIRST_MS_PER_BYTE, _FIRST_WEIGHT_BYTES = 8 / 10e3, 600
# So much a byte may a request's time hang on its size beside what was seen of its sending, where others say so: as
# over 3 Mbit/s to a server behind another one, which hands on only what is whole.
_UNSEEN_MS_PER_BYTE = 3e-3
# No size takes less than this share of what another took beside its sending: some of it is always the round trip.
_LEAST_SHARE = 0.3
# Each moment stands for a range of times, as wide as this share of the spread of all: a few moments are few points.
_RANGE = 0.4
# Of three points with deviation 1, as logarithms.
_RANGE_POINTS = np.array([-1.22, 0.0, 1.22])[:, None]
# Times beyond what is expected have a heavy tail: k times as long is less likely by this power of k, for half of them
# are over one and a half times.
_TAIL = 1.7
# What took longer than something took so many times as long: the quartiles of that tail.
_LONGER = (0.75 ** (-1 / _TAIL), 0.25 ** (-1 / _TAIL))
# So likely is it, before a request is sent, that things are as at none of the moments.
_NEW = 0.1
# Shorter times are taken for this long, for a logarithm is needed, and no network has shorter ones.
_SHORTEST_MS = 0.1
# Before the first request the network is taken for a usual one, give or take a factor of two in each part.
_GUESSES = 2.0 ** np.array([-1.0, -0.5, 0.0, 0.5, 1.0])
# In which order the guesses at the one go with those at the other, so that they hang together as little as can be.
_CROSSED = [3, 0, 2, 4, 1]
# All guesses count as a fifth of a request, which had so many bytes.
_GUESSED_WEIGHT, _GUESSED_BYTES = 0.2, 10_000

# Of a moment: fixed_ms, sending_ms, size_bytes, other_ms, and its weight.
Row = tuple[float, float, float, float, float]
# Where these stand.
_FIXED, _SENDING, _SIZE, _OTHER, _WEIGHT = range(5)


class Moments:
    """Moments with weights, of which each says what a request of any size takes; never changed.

    At each, a request of size_bytes took fixed_ms on the way, sending_ms for what is behind its first packet, and
    other_ms at the server.
    """

    def __init__(self, table: FloatArray) -> None:
        """table [5, n]: fixed_ms, sending_ms, size_bytes, other_ms and weights; n at least 1."""
        self._table = table
        # Asked for with every request.
        weights, sending_ms = table[_WEIGHT], table[_SENDING]
        # [n]: the bytes behind each one's first packet.
        self._behind: FloatArray = np.maximum(table[_SIZE] - _FIRST_BYTES, 0.0)
        told = float(weights @ sending_ms) + _FIRST_WEIGHT_BYTES * _FIRST_MS_PER_BYTE
        # The usual rate.
        self._ms_per_byte = told / (float(weights @ self._behind) + _FIRST_WEIGHT_BYTES)

    @classmethod
    def guessed(cls, round_trip_ms: float) -> Moments:
        """Before the first request."""
        fixed_ms, rates = round_trip_ms * _GUESSES, _FIRST_MS_PER_BYTE * _GUESSES[_CROSSED]
        size_bytes = np.full(len(_GUESSES), float(_FIRST_BYTES + _GUESSED_BYTES))
        weights = np.full(len(_GUESSES), _GUESSED_WEIGHT / len(_GUESSES))
        return cls(np.array([fixed_ms, _GUESSED_BYTES * rates, size_bytes, np.zeros(len(_GUESSES)), weights]))

    @property
    def count(self) -> int:
        """How many there are."""
        return len(self._table[_WEIGHT])

    @cached_property
    def fixed_ms(self) -> float:
        """The median of what a request takes on the way whatever its size."""
        return self._median(_FIXED)

    def way_ms(self, size_bytes: float) -> float:
        """In a figure, what one of this size takes on the way."""
        return self.fixed_ms + self._sending_ms(size_bytes)

    def points_ms(self, size_bytes: FloatArray) -> FloatArray:
        """What requests of these sizes [u] take beside the inference, [u, 21], equally likely points, never falling."""
        logs = np.log(np.maximum(self._times_ms(size_bytes), _SHORTEST_MS))
        weights = self._table[_WEIGHT]
        shares = weights / self._weight
        deviations = np.sqrt(np.maximum(np.square(logs) @ shares - np.square(logs @ shares), 0.0))
        ranges = logs[:, None, :] + (_RANGE * deviations)[:, None, None] * _RANGE_POINTS
        points: FloatArray = np.exp(points_of_rows(ranges.reshape(len(logs), -1), np.tile(weights, 3)))
        return points

    def answered(self, size_bytes: float, network_ms: float, upload_ms: float | None, other_ms: float) -> Moments:
        """With one more. upload_ms: what its server saw of its sending; None: nothing."""
        if upload_ms is not None:
            return self._with([(network_ms - upload_ms, upload_ms, size_bytes, other_ms, 1.0)])
        return self._with(self._explained(size_bytes, network_ms, other_ms, 1.0))

    def silent(self, size_bytes: float, elapsed_ms: float) -> Moments:
        """With a request of which nothing had come after so long: at moments like those at which one of its size takes
        longer; or things are worse than at any.
        """
        longer = self._times_ms(np.array([float(size_bytes)]))[0] > elapsed_ms
        weights = np.where(longer, self._table[_WEIGHT], 0.0)
        known = (1 - _NEW) * float(weights.sum()) / self._weight
        other_ms = self._median(_OTHER)
        expected_ms = self.way_ms(size_bytes) + other_ms
        worse = _NEW * min(1.0, (max(expected_ms, _SHORTEST_MS) / max(elapsed_ms, _SHORTEST_MS)) ** _TAIL)
        share = known / (known + worse)
        table = self._table.copy()
        if known:
            # Fades with the others.
            table[_WEIGHT] += share / _faded() * weights / weights.sum()
        each = (1 - share) / len(_LONGER)
        rows = [self._explained(size_bytes, max(k * elapsed_ms - other_ms, 0.0), other_ms, each) for k in _LONGER]
        return Moments(table)._with([row for pair in rows for row in pair])

    @property
    def _weight(self) -> float:
        return float(self._table[_WEIGHT].sum())

    @cached_property
    def _unseen_ms_per_byte(self) -> float:
        """By how much the time beside what was seen of the sending grows with the size: a line through all moments, but
        a level one where they tell little (ridge regression), and never falling.
        """
        fixed_ms, _, size_bytes, other_ms, weights = self._table
        shares = weights / self._weight
        sizes = size_bytes - shares @ size_bytes
        times_ms = fixed_ms + other_ms
        variation, both = float(weights @ np.square(sizes)), float(weights @ (sizes * times_ms))
        if variation <= 0:
            return 0.0
        left_ms = times_ms - shares @ times_ms - both / variation * sizes
        noise = max(float(shares @ np.square(left_ms)), 1.0)
        return max(both / (variation + noise / _UNSEEN_MS_PER_BYTE**2), 0.0)

    def _times_ms(self, size_bytes: FloatArray) -> FloatArray:
        """[u, n]: what each size [u] takes at each moment. Less than was sent then came as evenly as all of it; what is
        more comes at that moment's rate, as far as it told of one.
        """
        fixed_ms, sending_ms, sent_bytes, other_ms, _ = self._table
        behind, sizes = self._behind, size_bytes[:, None]
        wanted = np.maximum(sizes - _FIRST_BYTES, 0.0)
        rates = (sending_ms + _USUAL_BYTES * self._ms_per_byte) / (behind + _USUAL_BYTES)
        seen_ms = np.minimum(wanted / np.maximum(behind, 1.0), 1.0) * sending_ms
        seen_ms += np.maximum(wanted - behind, 0.0) * rates
        rest_ms = fixed_ms + other_ms
        if self._unseen_ms_per_byte:
            rest_ms = np.maximum(rest_ms + self._unseen_ms_per_byte * (sizes - sent_bytes), _LEAST_SHARE * rest_ms)
        times_ms: FloatArray = seen_ms + rest_ms
        return times_ms

    def _sending_ms(self, size_bytes: float) -> float:
        return self._ms_per_byte * max(size_bytes - _FIRST_BYTES, 0.0)

    def _explained(self, size_bytes: float, network_ms: float, other_ms: float, weight: float) -> list[Row]:
        """The moments that may have been where a request took so long on the network and nobody knows with what.

        Where it was longer than usual, either the fixed part was or the sending, which is as likely as it is that they
        are so many times as long.
        """
        if size_bytes <= _FIRST_BYTES:
            return [(network_ms, 0.0, size_bytes, other_ms, weight)]
        fixed_ms, sending_ms = max(self.fixed_ms, _SHORTEST_MS), max(self._sending_ms(size_bytes), _SHORTEST_MS)
        if network_ms <= fixed_ms + sending_ms:
            part = network_ms / (fixed_ms + sending_ms)
            return [(part * fixed_ms, part * sending_ms, size_bytes, other_ms, weight)]
        fixed = ((network_ms - sending_ms) / fixed_ms) ** -_TAIL
        sending = ((network_ms - fixed_ms) / sending_ms) ** -_TAIL
        share = sending / (fixed + sending)
        return [
            (network_ms - sending_ms, sending_ms, size_bytes, other_ms, weight * (1 - share)),
            (fixed_ms, network_ms - fixed_ms, size_bytes, other_ms, weight * share),
        ]

    def _median(self, row: int) -> float:
        values = self._table[row]
        order = values.argsort()
        below = np.add.accumulate(self._table[_WEIGHT][order])
        return float(values[order[below.searchsorted(below[-1] / 2)]])

    def _with(self, rows: list[Row]) -> Moments:
        """Later, with those added."""
        kept = self._table.copy()
        kept[_WEIGHT] *= _faded()
        table = np.concatenate([kept, np.array(rows).T], axis=1)
        table = table[:, table[_WEIGHT] >= _LEAST_WEIGHT]
        if table.shape[1] > _MOST:
            table = table[:, np.sort(np.argsort(table[_WEIGHT])[-_MOST:])]
        return Moments(table)


def _faded() -> float:
    """What a moment's weight becomes with one more."""
    return float(0.5 ** (1 / _HALF_LIFE))
