"""The replicas' log on the command's standard error, each line as it was written: Ray would put words before it."""

from __future__ import annotations

import os
import threading
from pathlib import Path

# A pipe's own size: what waits in it at most.
_PIECE = 1 << 16
# No line of JSON has it.
_END = b"\0"


class LogPipe:
    """Copies what replicas write to the pipe at `path` to a descriptor, from when it is made until `close`."""

    def __init__(self, path: Path, descriptor: int) -> None:
        os.mkfifo(path, 0o600)
        # It has a writer here: without one it would end whenever the last replica closes it.
        self._pipe = os.open(path, os.O_RDWR)
        self._descriptor = os.dup(descriptor)
        # A daemon: one that is stuck in a write must not keep the command from ending.
        self._thread = threading.Thread(target=self._run, name="log pipe", daemon=True)
        self._thread.start()

    def close(self, seconds: float) -> None:
        """Copy what is there, and no more; wait no longer than that."""
        os.write(self._pipe, _END)
        self._thread.join(seconds)

    def _run(self) -> None:
        while piece := os.read(self._pipe, _PIECE):
            ended = piece.endswith(_END)
            self._copy(piece.removesuffix(_END))
            if ended:
                break
        os.close(self._pipe)
        os.close(self._descriptor)

    def _copy(self, rest: bytes) -> None:
        try:
            while rest:
                rest = rest[os.write(self._descriptor, rest) :]
        except OSError:  # nobody reads it any more
            pass
