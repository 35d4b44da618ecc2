"""Replies of one piece: JSON, nothing but a status, or an error as `{"error": …}` in one sentence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from ondevice.cloud.app.messages import Response
from ondevice.protocol import headers

JSON = ("content-type", headers.JSON)
# That it is so, or is done.
YES = Response(200, (), b"")


def of(value: Mapping[str, Any] | Sequence[Any]) -> Response:
    """A value as JSON."""
    return Response(200, (JSON,), orjson.dumps(value))


def refused(status: int, message: str, *headers_: tuple[str, str]) -> Response:
    """An error."""
    return Response(status, (JSON, *headers_), orjson.dumps({"error": message}))
