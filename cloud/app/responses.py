"""Replies of one piece: JSON, nothing but a status, or an error as `{"error": …}` in one sentence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from ondevice.cloud.app.messages import Response
from ondevice.protocol import content_coding, headers

# Answers with a few classes, and a network's own scores for ImageNet, whose 4 kB hardly shrink, stay as they are.
_WORTH_BYTES = 8 << 10
JSON = ("content-type", headers.JSON)
# That it is so, or is done.
YES = Response(200, (), b"")


def of(value: Mapping[str, Any] | Sequence[Any]) -> Response:
    """A value as JSON."""
    return Response(200, (JSON,), orjson.dumps(value))


def refused(status: int, message: str, *headers_: tuple[str, str], **more: str) -> Response:
    """An error. more: what else its body says."""
    return Response(status, (JSON, *headers_), orjson.dumps({"error": message, **more}))


def compressed(response: Response, accepted: str | None) -> Response:
    """A reply for a client with this Accept-Encoding: a large body of bytes is compressed, where that is asked for."""
    body = response.body
    if not isinstance(body, bytes) or len(body) < _WORTH_BYTES:
        return response
    packed, coding = content_coding.compressed(body, accepted or "")
    told = (("content-encoding", coding),) if coding else ()
    return Response(response.status, (*response.headers, ("vary", "accept-encoding"), *told), packed)
