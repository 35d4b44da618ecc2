"""The log: one JSON object a line, for every request and every event."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import IO, Any

_JSON = json.JSONEncoder(default=str)


class Log:
    """Writes to `stream`. requests: whether requests are logged too, or events alone. counted: told events' names."""

    def __init__(self, stream: IO[str], requests: bool, counted: Callable[[str], None]) -> None:
        self._stream, self._requests, self._counted = stream, requests, counted

    def event(self, event: str, **fields: Any) -> None:
        """Something happened: a model was loaded, a worker died."""
        self._counted(event)
        self._write({"event": event, **fields})

    def request(self, **fields: Any) -> None:
        """A request was answered."""
        if self._requests:
            self._write({"event": "request", **fields})

    def _write(self, fields: dict[str, Any]) -> None:
        rounded = {key: round(value, 3) if isinstance(value, float) else value for key, value in fields.items()}
        line = _JSON.encode({"time": datetime.now(UTC).isoformat(timespec="milliseconds"), **rounded})
        try:
            self._stream.write(line + "\n")
            self._stream.flush()
        except (OSError, ValueError):  # nobody reads the log any more: no reason to stop serving
            self._requests = False
