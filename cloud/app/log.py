"""The log: one JSON object a line, for every request and every event."""

from __future__ import annotations

import contextlib
import logging
from collections import deque
from collections.abc import Callable, Iterator
from time import time
from typing import Any

from ondevice.cloud.app import log_lines
from ondevice.cloud.app.log_writer import LogWriter

# Lines that wait at most to be encoded together; at 1000 requests/s a fifth of a second.
_WAITING = 200


class Log:
    """Hands lines to a writer. requests: whether requests are logged too, or events alone. counted: told events' names.

    Lines of requests wait for `flush`, which encodes them together: one by one, between two requests, each costs ten
    times as much as in a row. Events are handed over at once, and with them what waits.
    """

    def __init__(self, writer: LogWriter, requests: bool, counted: Callable[[str], None]) -> None:
        self._writer, self.requests, self._counted = writer, requests, counted
        # Events come from other threads too: nothing that does more than append and pop may be used of it.
        self._waiting: deque[tuple[float, dict[str, Any]]] = deque()

    def event(self, event: str, **fields: Any) -> None:
        """Something happened: a model was loaded, a worker died."""
        self._counted(event)
        self._waiting.append((time(), {"event": event, **fields}))
        self.flush()

    def request(self, fields: dict[str, Any]) -> None:
        """A request was answered."""
        if self.requests:
            self._waiting.append((time(), {"event": "request", **fields}))
            if len(self._waiting) >= _WAITING:
                self.flush()

    def flush(self) -> None:
        """Hand over what waits; call it a few times a second."""
        if lines := "".join(self._lines()):
            self._writer.put(lines.encode())

    def _lines(self) -> Iterator[str]:
        with contextlib.suppress(IndexError):
            while True:
                yield log_lines.encode(*self._waiting.popleft())


class LibraryLog(logging.Handler):
    """What libraries warn of becomes an event: they would write it to standard error, and wait until it is read."""

    def __init__(self, log: Log) -> None:
        super().__init__(logging.WARNING)
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        """A warning, or worse."""
        self._log.event("library warning", library=record.name, text=self.format(record))
