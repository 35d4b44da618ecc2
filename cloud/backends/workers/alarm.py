"""One timer for many times: it rings at the earliest that it was set to."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from time import perf_counter

# Event loops round timers down to their clock's step, of a millisecond at most: it must not ring before the time.
_STEP_S = 0.001


class Alarm:
    """Calls `ring` soon after the earliest of the times that it was set to, and then has to be set again."""

    def __init__(self, ring: Callable[[], None]) -> None:
        self._ring, self._at = ring, math.inf
        self._handle: asyncio.TimerHandle | None = None

    def by(self, at: float) -> None:
        """Ring at this time, by perf_counter, unless it does so sooner; inf: there is no need to."""
        if at >= self._at:
            return
        self.stop()
        self._at = at
        self._handle = asyncio.get_running_loop().call_later(max(at - perf_counter(), 0.0) + _STEP_S, self._rings)

    def stop(self) -> None:
        """Ring no more until it is set again."""
        if self._handle:
            self._handle.cancel()
        self._handle, self._at = None, math.inf

    def _rings(self) -> None:
        self._handle, self._at = None, math.inf
        self._ring()
