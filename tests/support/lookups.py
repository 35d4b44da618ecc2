"""Name servers that are not there: what stands in for the system's resolver."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest

_PATIENCE_S = 30.0


class Lookups:
    """Those that a test has seen. ended: set, they all end, with `rows`."""

    def __init__(self) -> None:
        self.asked: list[tuple[Any, ...]] = []
        self.ended = threading.Event()
        self.rows: list[tuple[Any, ...]] = []

    def __call__(self, *asked: Any, **_: Any) -> list[tuple[Any, ...]]:
        self.asked.append(asked)
        self.ended.wait(_PATIENCE_S)
        return self.rows


@contextlib.contextmanager
def asleep(monkeypatch: pytest.MonkeyPatch) -> Iterator[Lookups]:
    """Names are looked up, and nobody answers meanwhile."""
    lookups = Lookups()
    monkeypatch.setattr(socket, "getaddrinfo", lookups)
    try:
        yield lookups
    finally:
        lookups.ended.set()
