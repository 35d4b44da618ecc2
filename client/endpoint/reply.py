"""Reading an endpoint's reply to a picture; it may hold anything."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from ondevice.answer import Prediction
from ondevice.client.connection.messages import HttpReply
from ondevice.protocol import cnnselect, headers, replies
from ondevice.protocol.response import InferResponse
from ondevice.timing.bounds import BELIEVABLE_MS


class ParsedReply(NamedTuple):
    """An endpoint's answer to a picture: the classes, best first, the model, and its own times, ms.

    last: whether no better one follows. top1: that model's accuracy, or None where it does not say. server_ms: from the
    request's last byte to the reply; upload_ms: from its first byte to its last; both None where it does not say.
    """

    top: tuple[Prediction, ...]
    model: str
    top1: float | None
    queue_ms: float
    decode_ms: float
    infer_ms: float
    server_ms: float | None
    upload_ms: float | None
    last: bool = True


def read(reply: HttpReply) -> ParsedReply:
    """What a reply says. Raises UpstreamError for what is not an answer to a picture."""
    said, parts_ms = response(reply), timing(reply)
    told = said.parameters
    queue_ms, decode_ms, infer_ms = (
        parts_ms.get(part, _number(told, name))
        for part, name in (
            (headers.QUEUE, cnnselect.QUEUE_MS),
            (headers.DECODE, cnnselect.DECODE_MS),
            (headers.INFER, cnnselect.INFER_MS),
        )
    )
    server_ms = _number(told, cnnselect.SERVER_MS) or queue_ms + decode_ms + infer_ms or None
    top1, model = _number(told, cnnselect.EXPECTED_TOP1), told.get(cnnselect.SELECTED_MODEL)
    return ParsedReply(
        tuple(Prediction(*row) for row in replies.ranking(said.outputs)),
        model if isinstance(model, str) else said.model_name,
        top1 if 0 < top1 <= 1 else None,
        queue_ms,
        decode_ms,
        infer_ms,
        parts_ms.get(headers.TOTAL, server_ms),
        parts_ms.get(headers.UPLOAD),
        told.get(cnnselect.FINAL) is not False,
    )


def response(reply: HttpReply) -> InferResponse:
    """The protocol's response in it. Raises UpstreamError."""
    return replies.response(reply.body, reply.headers.get(headers.LENGTH))


def timing(reply: HttpReply) -> dict[str, float]:
    """The server's own times, ms, as far as they can be believed."""
    parts_ms = headers.durations_ms(reply.headers.get(headers.TIMING, ""))
    return {name: min(ms, BELIEVABLE_MS) for name, ms in parts_ms.items()}


def _number(parameters: Mapping[str, Any], name: str) -> float:
    value = parameters.get(name)
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if number and value is not None and 0 <= value <= BELIEVABLE_MS else 0.0
