"""How a process ended, told in a few words: the signal or exit status, and the last line that it said."""

from __future__ import annotations

import os
import signal
from typing import IO, NamedTuple

# More than any last line is long; a log of days is not read whole for it.
_TAIL_BYTES = 1 << 16


class Death(NamedTuple):
    """The end of a process. status: its exit status, negative for a signal; said: its last line, empty if none.

    >>> print(Death(-9, "loading"))
    (SIGKILL): loading
    """

    status: int
    said: str

    @property
    def cause(self) -> str:
        """The signal's name, or the exit status."""
        if self.status >= 0:
            return f"exit status {self.status}"
        try:
            return signal.Signals(-self.status).name
        except ValueError:  # a real-time signal has no name
            return f"signal {-self.status}"

    def __str__(self) -> str:
        return f"({self.cause}): {self.said or 'it said nothing'}"


def last_line(log: IO[bytes]) -> str:
    """The last line of a log that says something, empty if none does. TFLite's `INFO:` lines say nothing."""
    log.seek(max(log.seek(0, os.SEEK_END) - _TAIL_BYTES, 0))
    lines = (line.strip() for line in reversed(log.read().decode(errors="replace").splitlines()))
    return next((line for line in lines if line and not line.startswith("INFO:")), "")
