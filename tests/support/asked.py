"""Clients that ask one request after the other while something else happens."""

from __future__ import annotations

import contextlib
import threading
from collections import Counter
from collections.abc import Iterator
from typing import Any

from serving import Endpoint


@contextlib.contextmanager
def asked(running: Endpoint, clients: int, **how: Any) -> Iterator[Counter[int]]:
    """So many clients ask as `Endpoint.classify` is told; how often each status has come."""
    statuses: Counter[int] = Counter()
    over = threading.Event()

    def client() -> None:
        while not over.is_set():
            statuses[running.classify(**how).status_code] += 1

    threads = [threading.Thread(target=client) for _ in range(clients)]
    for thread in threads:
        thread.start()
    try:
        yield statuses
    finally:
        over.set()
        for thread in threads:
            thread.join()
