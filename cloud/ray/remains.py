"""The processes of one run of Ray, found by what their environment says, and ended where they outlive it."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from pathlib import Path

# Between two looks.
_LOOK_S = 0.05


def processes(mark: str) -> list[int]:
    """Those in whose environment this stands, but for this one; none where there is no /proc."""
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        pid = int(path.parent.name)
        with contextlib.suppress(OSError):  # it has just ended, or is another user's
            if pid != os.getpid() and mark.encode() in path.read_bytes():
                found.append(pid)
    return found


def end(mark: str, patience_s: float) -> None:
    """Wait for them to end, and no longer than that: then they are killed."""
    until = time.monotonic() + patience_s
    while left := processes(mark):
        if time.monotonic() > until:
            for pid in left:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            until += patience_s
        time.sleep(_LOOK_S)
