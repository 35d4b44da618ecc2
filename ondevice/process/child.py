"""Work in a process of its own, which takes a job as a line of JSON and answers in lines of JSON.

What it does to its memory, or native code to it, leaves the caller alone; and it ends when the caller does.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import IO, Any

Message = dict[str, Any]
Send = Callable[..., None]


class Child:
    """A running child: give it its job with `begin`, read it with `messages`; `death` says how it ended."""

    def __init__(self, process: subprocess.Popen[bytes], log: IO[bytes]) -> None:
        self._process, self._log = process, log

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def begin(self, job: Mapping[str, Any]) -> None:
        """Send the job; until then the child waits. One that has died already says so in `death`."""
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(json.dumps(job).encode() + b"\n")
            self._process.stdin.flush()

    def messages(self) -> Iterator[Message]:
        """What it sends, until its end; a line that its death cut short is none."""
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.endswith(b"\n"):
                yield json.loads(line)

    def kill(self) -> None:
        """End it, whatever it does."""
        self._process.kill()

    def death(self) -> str:
        """How it ended, for an error: the signal or exit status, and the last line that it said."""
        status = self._process.wait()
        how = signal.Signals(-status).name if status < 0 else f"exit status {status}"
        self._log.seek(0)
        lines = (line.strip() for line in self._log.read().decode(errors="replace").splitlines())
        said = [line for line in lines if line and not line.startswith("INFO:")]
        return f"({how}): {said[-1] if said else 'it said nothing'}"


@contextlib.contextmanager
def started(module: str, log: IO[bytes], environment: Mapping[str, str] | None = None) -> Iterator[Child]:
    """Start `python -m module`, everything that it prints going to `log`; it is dead on leaving.

    It has a session of its own: Ctrl-C in the terminal is the caller's to handle.
    """
    process = subprocess.Popen(
        [sys.executable, "-m", module],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=log,
        env={**os.environ, **(environment or {})},
        start_new_session=True,
    )
    try:
        yield Child(process, log)
    finally:
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()


def receive() -> tuple[Message, Send]:
    """In the child: its job, and the way to send messages, `send(kind, **fields)`. It ends when its parent does."""
    pipe = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever else is printed is no message

    def send(kind: str, **fields: Any) -> None:
        pipe.write(json.dumps({"kind": kind, **fields}) + "\n")
        pipe.flush()

    line = b""
    while not line.endswith(b"\n"):
        line += os.read(0, 1) or sys.exit(1)
    threading.Thread(target=_die_with_parent, daemon=True).start()
    job: Message = json.loads(line)
    return job, send


def _die_with_parent() -> None:
    """End when standard input does: a parent that was killed can no longer end us."""
    # Blocking on the descriptor itself: reading through sys.stdin would hold its lock at exit.
    while os.read(0, 1):
        pass
    os._exit(1)
