"""What is logged as a line: a JSON object with the time first."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

_JSON = json.JSONEncoder(default=str)


def encode(when: float, fields: Mapping[str, Any]) -> str:
    """The line, ASCII alone, with its end. when: seconds since 1970; floats are rounded to thousandths."""
    rounded = {key: round(value, 3) if isinstance(value, float) else value for key, value in fields.items()}
    stamp = datetime.fromtimestamp(when, UTC).isoformat(timespec="milliseconds")
    return _JSON.encode({"time": stamp, **rounded}) + "\n"
