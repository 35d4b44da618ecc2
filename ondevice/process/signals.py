"""Ctrl-C and SIGTERM held back for a moment, where an exception in between would lose what was just begun."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator, Mapping

_HELD: tuple[int, ...] = (signal.SIGINT, signal.SIGTERM)


@contextlib.contextmanager
def held() -> Iterator[None]:
    """Signals that come in this block take effect after it. Only the main thread gets them at all."""
    came: list[int] = []
    before = _replaced(came) if threading.current_thread() is threading.main_thread() else {}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        for number in came:
            signal.raise_signal(number)


def _replaced(came: list[int]) -> Mapping[int, signal._HANDLER]:
    """Note in `came` what comes from now on; gives the handlers from before.

    What is ignored stays so, and would be by a child, too; a handler that Python does not know could not be put back.
    """
    before = {number: signal.getsignal(number) for number in _HELD}
    mine = {number: handler for number, handler in before.items() if handler not in (signal.SIG_IGN, None)}
    for number in mine:
        signal.signal(number, lambda number, _: came.append(number))
    return mine
