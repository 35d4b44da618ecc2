"""How long a reply will take, given what its upload took, learned from past requests. No clock is read here."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from ondevice.errors import UsageError
from ondevice.timing.arrays import FloatArray
from ondevice.timing.bounds import LONGEST_MS
from ondevice.timing.quantiles import MIDDLES, POINTS, normal, weighted_points
from ondevice.timing.window import Window, fading

# A request weighs half as much after so many newer ones, and nothing after _SIZE. With 48 a steady network gains a
# little (57.6 % of the gap to the oracle closed in place of 57.1 %, benchmarks/policies.py), and the first 50 requests
# after a change lose a fifth more.
HALF_LIFE, _SIZE = 32, 96
# Before the first request the reply takes as long as the upload, as the papers have it, give or take a factor of two.
# That much spread stays, as one request among the others: what few have shown is not certain.
_SPREAD = 0.7
# A fifth of the distribution each: few enough to cost nothing in each fit.
_SPREAD_POINTS = _SPREAD * normal([0.1, 0.3, 0.5, 0.7, 0.9])
_SPREAD_WEIGHT = 1.0
# Before there is any variation in the uploads, half of a change in them is taken to show in the reply; this belief
# counts as much as so much variation (a sum of squares of logarithms).
_SLOPE, _SLOPE_WEIGHT = 0.5, 0.5
# Shorter times are taken for this long: a logarithm is needed, and a network has no shorter ones.
_SHORTEST_MS = 0.1
# 23 numbers of at most 10 characters with commas between are shorter; what is longer was not written here.
_MOST_TEXT = 400


class ReplyDistribution(NamedTuple):
    """A reply's distribution given its upload: points_ms [k], equally likely, after an upload of upload_ms; after one
    of u they are points_ms (u / upload_ms)^slope.

    These few numbers are all that an endpoint must be told to foresee replies as well as the client.
    """

    points_ms: FloatArray
    slope: float
    upload_ms: float

    def given(self, upload_ms: FloatArray | float) -> FloatArray:
        """The points of the reply [..., k] after uploads of upload_ms [...]."""
        uploads = np.minimum(np.maximum(np.asarray(upload_ms, float), _SHORTEST_MS), LONGEST_MS)
        scaled: FloatArray = (uploads / self.upload_ms)[..., None] ** self.slope * self.points_ms
        return scaled

    @property
    def text(self) -> str:
        """As it is told in a request: slope, upload_ms and the points, with commas between."""
        return ",".join(f"{value:.4g}" for value in (self.slope, self.upload_ms, *self.points_ms))

    @classmethod
    def parse(cls, text: str) -> ReplyDistribution:
        """From `text`. Raises UsageError for text that does not hold one."""
        try:
            slope, upload_ms, *points = [float(part) for part in text[:_MOST_TEXT].split(",")]
        except ValueError:
            slope, upload_ms, points = -1.0, -1.0, []
        points_ms = np.array([0.0, *points, LONGEST_MS])
        rising = len(points) == POINTS and bool((np.diff(points_ms) >= 0).all())  # which NaN is not
        if not rising or not 0 <= slope <= 1 or not _SHORTEST_MS <= upload_ms <= LONGEST_MS:
            raise UsageError(f"a slope from 0 to 1, an upload in ms and {POINTS} rising times in ms are wanted")
        return cls(points_ms[1:-1], slope, upload_ms)


class Replies:
    """The last requests' uploads and replies, the recent ones weighing more, and what they say of the next reply.

    Logarithms are fitted by a line, log reply = a + slope log upload + e, by weighted least squares with a little
    belief in _SLOPE (ridge), the slope kept within 0 and 1: a slower upload never foretells a faster reply, nor one
    that is slower by more than the upload. e is not assumed to have any form: its points are quantiles of what was
    left over of the last requests, and of a wide prior. Where uploads foretell nothing the slope goes to 0, and the
    points are those of the replies alone.
    """

    def __init__(self) -> None:
        self._window = Window(_SIZE, HALF_LIFE, 2)
        self._known: ReplyDistribution | None = None

    @property
    def count(self) -> int:
        """How many requests there have been since the beginning, or since the last change of network."""
        return self._window.count

    def add(self, upload_ms: float, reply_ms: float) -> None:
        """Take one more request. Raises UsageError for a time below 0 or not finite."""
        self._window.add(_log(upload_ms), _log(reply_ms))
        self._known = None

    def forget(self) -> None:
        """Start anew: this is another network."""
        self._window.clear()
        self._known = None

    def points_ms(self, upload_ms: FloatArray | float) -> FloatArray:
        """Equally likely times of the reply [..., POINTS], never falling, after uploads of upload_ms [...]."""
        return self.distribution.given(upload_ms)

    @property
    def distribution(self) -> ReplyDistribution:
        """What is known now; before the first request a guess that is proportional to the upload."""
        if self._known is None:
            self._known = self._fitted() if self.count else _guess()
        return self._known

    def _fitted(self) -> ReplyDistribution:
        uploads, replies = self._window.columns
        n = len(uploads)
        weights, shares, with_spread = _weights(n)
        upload, reply = float(shares.dot(uploads)), float(shares.dot(replies))
        from_upload = uploads - upload
        weighted = weights * from_upload
        covered = float(weighted.dot(replies)) + _SLOPE_WEIGHT * _SLOPE
        slope = min(max(covered / (float(weighted.dot(from_upload)) + _SLOPE_WEIGHT), 0.0), 1.0)
        values = np.empty(n + len(_SPREAD_POINTS))
        np.subtract(replies, slope * from_upload, out=values[:n])
        np.add(_SPREAD_POINTS, reply, out=values[n:])
        return ReplyDistribution(np.exp(weighted_points(values, with_spread)), slope, math.exp(upload))


@lru_cache(maxsize=_SIZE)
def _weights(n: int) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Of n requests, the oldest first: their weights, the same as shares of 1, and with those of the spread behind."""
    weights = fading(_SIZE, HALF_LIFE)[n].each
    spread = np.full(len(_SPREAD_POINTS), _SPREAD_WEIGHT / len(_SPREAD_POINTS))
    return weights, weights / weights.sum(), np.concatenate([weights, spread])


def _guess() -> ReplyDistribution:
    return ReplyDistribution(np.exp(_SPREAD * normal(MIDDLES)), 1.0, 1.0)


def _log(ms: float) -> float:
    if not 0 <= ms < math.inf:
        raise UsageError(f"{ms} is not a time in ms: give a number from 0 up")
    return math.log(min(max(ms, _SHORTEST_MS), LONGEST_MS))
