"""How a client's loop takes turns with the program's other threads, which share one interpreter lock with it."""

from __future__ import annotations

import contextlib
import select
import selectors
import time
from selectors import SelectorKey

# A step of the loop takes some tenths of a millisecond. After so much without a pause it lets others have the lock:
# an event loop beside it that wants to run is kept no longer, where it would wait for the interpreter's 5 ms.
_BURST_S = 0.001
# For so long: a thread that waits for the lock takes some 50 µs to wake. Giving it up for no time would not do: it is
# taken back before that.
_PAUSE_S = 0.0001
# Of what has come on hundreds of connections so much is seen to at a time.
_EVENTS = 4
# epoll and Python round up to whole ms, each by up to one, and one more is for whoever wakes late.
_ROUNDED_S = 0.003


class LoopSelector(selectors.DefaultSelector):
    """What a loop waits on. gives_way: whether one that has no time to wait pauses now and then, for a loop beside it.

    It wakes on time: epoll counts whole ms, and Python rounds up for it twice, so that answers that are held until the
    last moment would be handed over up to 2 ms late.
    """

    def __init__(self, gives_way: bool) -> None:
        super().__init__()
        self._gives_way, self._since = gives_way, time.perf_counter()

    def select(self, timeout: float | None = None) -> list[tuple[SelectorKey, int]]:
        """See BaseSelector. What is left out is there the next time."""
        if timeout is None or timeout > 0:
            events = super().select(timeout and self._wait(timeout))
            self._since = time.perf_counter()
        else:
            if self._gives_way and time.perf_counter() - self._since > _BURST_S:
                time.sleep(_PAUSE_S)
                self._since = time.perf_counter()
            events = super().select(timeout)
        return events[:_EVENTS] if self._gives_way else events

    def _wait(self, timeout: float) -> float:
        """Wait until there is something, where that is not for long; gives how long is still to be waited, on which the
        loop does not insist.
        """
        if timeout > 2 * _ROUNDED_S:
            return timeout - _ROUNDED_S
        if hasattr(select, "epoll"):
            with contextlib.suppress(ValueError):  # more files are open than select() takes
                select.select([self.fileno()], [], [], timeout)
                return 0.0
        return timeout
