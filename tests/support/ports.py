"""Ports of this machine on which nobody answers."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Iterator

from rude import HOST


@contextlib.contextmanager
def closed_port() -> Iterator[int]:
    """A port of this machine where nothing listens, and nothing else will."""
    with socket.socket() as bound:
        bound.bind((HOST, 0))
        yield bound.getsockname()[1]


@contextlib.contextmanager
def full_port(host: str = HOST) -> Iterator[int]:
    """A port where connections are never taken: as many wait as the kernel lets wait, and some."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with contextlib.ExitStack() as stack:
        full = stack.enter_context(socket.socket(family))
        full.bind((host, 0))
        full.listen(0)
        for _ in range(8):
            waiting = stack.enter_context(socket.socket(family))
            waiting.setblocking(False)
            waiting.connect_ex(full.getsockname())
        time.sleep(0.1)
        yield full.getsockname()[1]
