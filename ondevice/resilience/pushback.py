"""Pushback: what a server said about when to come back, and which requests that holds back."""

from __future__ import annotations

import math
from typing import NamedTuple

# A server that restarts, or has to shed load, asks for seconds. Whoever asks for an hour or a year is asked again after
# a minute: one request in sixty seconds harms nobody, and a mistake or a lie does not switch the server off.
_LONGEST_MS = 60_000.0
# An app has a few deadlines. Of more words than this the one that is over first is given up.
_KEPT = 8


class _Word(NamedTuple):
    """Until when requests with deadlines up to sla_ms are held back. Times are seconds of any monotonic clock."""

    sla_ms: float
    until: float

    def includes(self, other: _Word) -> bool:
        """Whether all that the other holds back is held back by this for as long."""
        return self.sla_ms >= other.sla_ms and self.until >= other.until


class Pushback:
    """All that one server said, kept to together: each request is held back as long as any word that holds for it.

    An answer takes nothing back. What is held back is not sent, so whatever is answered was sent before the server
    said so, or has more time than those that it meant; neither says that they would be answered now.
    """

    def __init__(self) -> None:
        # None includes another, so that with longer deadlines they end sooner.
        self._words: list[_Word] = []

    def said(self, now: float, after_ms: float, sla_ms: float | None) -> None:
        """Come back after so long, at most a minute. sla_ms: this was for want of time, and said of a request with this
        deadline, so that it holds for those with as much time or less; None: for all. What is not a time above 0 says
        nothing.
        """
        longest_ms = math.inf if sla_ms is None else sla_ms
        if not (0.0 < after_ms < math.inf and longest_ms > 0.0):  # nor NaN
            return
        word = _Word(longest_ms, now + min(after_ms, _LONGEST_MS) / 1e3)
        if any(other.includes(word) for other in self._words):
            return
        others = [other for other in self._words if other.until > now and not word.includes(other)]
        self._words = sorted([word, *others])[:_KEPT]

    def held_ms(self, now: float, sla_ms: float) -> float:
        """How long a request with this deadline is to be held back; 0: it may be sent."""
        until = next((word.until for word in self._words if word.sla_ms >= sla_ms), now)
        return max(until - now, 0.0) * 1e3
