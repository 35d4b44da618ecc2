"""The circuit breaker: whether another server, or one of its models, may be sent work now."""

from __future__ import annotations

# One or two in a row befall a healthy server too: a connection that it had closed, a cell that the phone left. Each
# more costs another request its deadline before the breaker opens.
_FAILURES = 3
# What is short, a restart or a tunnel, is over within seconds, so the first pauses are short; a server that stays away
# is asked six times a minute, which costs it nothing, and is found at most ten seconds after its return.
_FIRST_S, _LONGEST_S = 0.5, 10.0


class Breaker:
    """Closed, work may be sent. Open, none may, until a probe has succeeded.

    It opens after three failures in a row, or at once for one that leaves no doubt. Then a probe is due after 0.5 s,
    and after each that fails, twice as long after it as before, at most 10 s. One that succeeds closes it on trial: the
    next failure opens it again, with that longer pause, unless work has succeeded before. Times are seconds of any
    monotonic clock.
    """

    def __init__(self) -> None:
        self._failures, self._pause_s = 0, _FIRST_S
        self._probe_at: float | None = None
        self._probing = False

    @property
    def closed(self) -> bool:
        """Whether work may be sent."""
        return self._probe_at is None

    def failed(self, now: float, at_once: bool = False) -> bool:
        """Work or a probe has failed; at_once: no need to see it three times. Whether that opened it."""
        if self._probing:
            self._open(now)
            return False
        if not self.closed:  # it was sent before
            return False
        self._failures += 1
        if not at_once and self._failures < _FAILURES:
            return False
        self._open(now)
        return True

    def succeeded(self) -> bool:
        """Work or a probe has succeeded. Whether that closed it."""
        if self.closed:
            self._failures, self._pause_s = 0, _FIRST_S
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

    def _open(self, now: float) -> None:
        self._probing, self._probe_at = False, now + self._pause_s
        self._pause_s = min(2 * self._pause_s, _LONGEST_S)
