"""The log: one JSON object a line, for every request and every event."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from time import time
from typing import IO, Any

_JSON = json.JSONEncoder(default=str)
# Lines that wait at most to be written together; at 1000 requests/s a fifth of a second.
_WAITING = 200


class Log:
    """Writes to `stream`. requests: whether requests are logged too, or events alone. counted: told events' names.

    Lines of requests wait for `flush`, which writes them together: written one by one, between two requests, each costs
    ten times as much as in a row. Events are written at once, and with them what waits.
    """

    def __init__(self, stream: IO[str], requests: bool, counted: Callable[[str], None]) -> None:
        self._stream, self._requests, self._counted = stream, requests, counted
        self._waiting: list[tuple[float, dict[str, Any]]] = []

    def event(self, event: str, **fields: Any) -> None:
        """Something happened: a model was loaded, a worker died."""
        self._counted(event)
        self._waiting.append((time(), {"event": event, **fields}))
        self.flush()

    def request(self, fields: dict[str, Any]) -> None:
        """A request was answered."""
        if self._requests:
            self._waiting.append((time(), {"event": "request", **fields}))
            if len(self._waiting) >= _WAITING:
                self.flush()

    def flush(self) -> None:
        """Write what waits; call it a few times a second."""
        if not self._waiting:
            return
        waiting, self._waiting = self._waiting, []  # events come from other threads too
        lines = [_line(when, fields) for when, fields in waiting]
        try:
            self._stream.write("".join(lines))
            self._stream.flush()
        except (OSError, ValueError):  # nobody reads the log any more: no reason to stop serving
            self._requests = False


def _line(when: float, fields: dict[str, Any]) -> str:
    rounded = {key: round(value, 3) if isinstance(value, float) else value for key, value in fields.items()}
    stamp = datetime.fromtimestamp(when, UTC).isoformat(timespec="milliseconds")
    return _JSON.encode({"time": stamp, **rounded}) + "\n"
