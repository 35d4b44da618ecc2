"""A job for a child, and what it says of it: lines of JSON on its standard input and output."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from ondevice.process.child import Child

Message = dict[str, Any]
Send = Callable[..., None]


def ask(child: Child, job: Mapping[str, Any]) -> Iterator[Message]:
    """Give a child that is piped its job, and take what it sends, until its end.

    A line that its death cut short is not a message; one that died before it had its job sends none.
    """
    with contextlib.suppress(BrokenPipeError):
        child.stdin.write(json.dumps(job).encode() + b"\n")
        child.stdin.flush()
    for line in child.stdout:
        if line.endswith(b"\n"):
            yield json.loads(line)


def receive() -> tuple[Message, Send]:
    """In the child: its job, and the way to send messages, `send(kind, **fields)`."""
    pipe = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever else is printed goes to the log

    def send(kind: str, **fields: Any) -> None:
        pipe.write(json.dumps({"kind": kind, **fields}) + "\n")
        pipe.flush()

    line = sys.stdin.buffer.readline()
    if not line.endswith(b"\n"):
        sys.exit(1)  # the parent is gone
    job: Message = json.loads(line)
    return job, send
