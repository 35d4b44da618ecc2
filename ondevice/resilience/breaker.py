"""The circuit breaker: whether another server, or one of its models, may be sent work now."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

# How long to leave it alone, seconds, given which pause in a row it is, from 1, and whether the breaker has just opened
# for it; else a probe has failed.
Pauses = Callable[[int, bool], float]

# One or two in a row befall a healthy server too: a connection that it had closed, a cell that the phone left. Each
# more costs another request its deadline before the breaker opens.
_FAILURES = 3
# What is short, a restart or a tunnel, is over within seconds, so the first pauses are short; a server that stays away
# is asked six times a minute, which costs it nothing, and is found at most ten seconds after its return.
_FIRST_S, _LONGEST_S = 0.5, 10.0
# Of 10,000 that have lost one server at the same moment 1,818 ask it in each second, which is under 2,000 by four and a
# half times what chance makes of that number. After three periods, a quarter of a minute, an outage is not short any
# more, and twice as long leaves a server that stays away about six questions a minute, as above.
_PERIOD_S, _PERIODS = 5.5, 3


def doubling(number: int, opened: bool) -> float:
    """0.5 s, then twice as long each time, at most 10 s: for the few who ask a server that nobody else asks."""
    return min(_FIRST_S * 2.0 ** min(number - 1, 10), _LONGEST_S)


def spread(random: Random) -> Pauses:
    """For one of many who may lose the same server at the same moment: together they ask it evenly.

    Each asks for the first time somewhere in a period of 5.5 s and then once a period, at the same place of it. After
    three, a period is 11 s: a coin says in which half of it this one's place is. So a client asks at most 1 / 5.5
    times a second, and N of them N / 5.5 times in every second of the first 16.5, half as often later, whether they
    opened at one moment or one after the other; each 100 ms has a tenth of its second. Who asks that rarely cannot
    learn sooner, on average, that the server is back than by half a period, and so does this: 2.75 s, later 5.5 s.

    An opening draws the place anew, even of one that was closed on trial, for it may be everybody's. In a child of a
    fork a `Random` goes on as in the parent; a `SystemRandom` does not.
    """

    def pause(number: int, opened: bool) -> float:
        period = _period(number)
        if opened:
            return random.uniform(0.0, period)
        before = _period(number - 1)
        return before if period > before and random.random() < 0.5 else period

    return pause


def _period(number: int) -> float:
    return _PERIOD_S if number <= _PERIODS else 2 * _PERIOD_S


class Breaker:
    """Closed, work may be sent. Open, none may, until a probe has succeeded.

    It opens after three failures in a row, or at once for one that leaves no doubt. Then a probe is due after the first
    of `pauses`, and after each that fails, the next one later. One that succeeds closes it on trial: the next failure
    opens it again, with the next pause, unless work has succeeded before. Times are seconds of any monotonic clock.
    """

    def __init__(self, pauses: Pauses = doubling) -> None:
        self._pauses = pauses
        self._failures, self._paused = 0, 0
        self._probe_at: float | None = None
        self._probing = False

    @property
    def closed(self) -> bool:
        """Whether work may be sent."""
        return self._probe_at is None

    @property
    def probe_at(self) -> float | None:
        """When a probe is due; None: none is, while it is closed or one is under way."""
        return None if self._probing else self._probe_at

    def failed(self, now: float, at_once: bool = False) -> bool:
        """Work or a probe has failed; at_once: no need to see it three times. Whether that opened it."""
        if self._probing:
            self._pause(now, opened=False)
            return False
        if not self.closed:  # it was sent before
            return False
        self._failures += 1
        if not at_once and self._failures < _FAILURES:
            return False
        self._pause(now, opened=True)
        return True

    def succeeded(self) -> bool:
        """Work or a probe has succeeded. Whether that closed it."""
        if self.closed:
            self._failures, self._paused = 0, 0
            return False
        if not self._probing:  # work that was sent before does not show that more would succeed
            return False
        self._probing, self._probe_at = False, None
        self._failures = _FAILURES - 1
        return True

    def probe(self, now: float) -> bool:
        """Whether a probe is due; then it counts as sent."""
        if self._probe_at is None or self._probing or now < self._probe_at:
            return False
        self._probing = True
        return True

    def abandoned(self) -> None:
        """Nobody will hear of a probe that was under way, as in the child of a fork: it is due again."""
        self._probing = False

    def _pause(self, now: float, opened: bool) -> None:
        self._paused += 1
        self._probing, self._probe_at = False, now + self._pauses(self._paused, opened)
