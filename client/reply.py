"""Reading an endpoint's reply to a picture; it may hold anything."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Mapping
from email.message import Message
from typing import Any, NamedTuple

import numpy as np

from ondevice.answer import Prediction
from ondevice.client.connection import HttpReply
from ondevice.errors import FailureKind, ProtocolError, UpstreamError
from ondevice.protocol import oip
from ondevice.timing.bounds import BELIEVABLE_MS

_ANSWER = ("label", "score", "index")
_LENGTH = "Inference-Header-Content-Length"
_TIMING = re.compile(r"([A-Za-z_-]+);dur=([0-9.]{1,20})")


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
    response = decoded(reply)
    parts = timing(reply.headers)
    queue_ms, decode_ms, infer_ms = (
        parts.get(name, _number(response.parameters, f"{name}_ms")) for name in ("queue", "decode", "infer")
    )
    top1, model = _number(response.parameters, "expected_top1"), response.parameters.get("selected_model")
    return ParsedReply(
        ranking({tensor.name: tensor.data for tensor in response.outputs}),
        model if isinstance(model, str) else response.model_name,
        top1 if 0 < top1 <= 1 else None,
        queue_ms, decode_ms, infer_ms,
        parts.get("total", _number(response.parameters, "server_ms") or queue_ms + decode_ms + infer_ms or None),
        parts.get("upload"),
        response.parameters.get("final") is not False,
    )  # fmt: skip


def decoded(reply: HttpReply) -> oip.InferResponse:
    """The protocol's response. Raises UpstreamError."""
    length = reply.headers.get(_LENGTH)
    try:
        return oip.decode_response(reply.body, None if length is None else oip.parse_header_length(length))
    except ProtocolError as error:
        raise UpstreamError(f"its response is not valid OIP: {error}", FailureKind.WRONG) from error


def timing(headers: Message) -> dict[str, float]:
    """The durations in a Server-Timing header (W3C), ms."""
    found = {}
    for name, text in _TIMING.findall(headers.get("Server-Timing", "")[:1000]):
        with contextlib.suppress(ValueError):  # 1.2.3 is not a number
            found[name] = min(float(text), BELIEVABLE_MS)
    return found


def ranking(outputs: Mapping[str, Any]) -> tuple[Prediction, ...]:
    """The classes among the outputs of a reply, by name. Raises UpstreamError."""
    labels, scores, indexes = (outputs.get(name) for name in _ANSWER)
    if not (isinstance(labels, list) and isinstance(scores, np.ndarray) and isinstance(indexes, np.ndarray)):
        raise UpstreamError(f"its answer has no {', '.join(_ANSWER)}", FailureKind.WRONG)
    good = scores.dtype.kind == "f" and indexes.dtype.kind in "iu" and np.isfinite(scores).all()
    if not good or not 1 <= len(labels) == scores.size == indexes.size or (indexes < 0).any():
        raise UpstreamError(f"its {', '.join(_ANSWER)} are not a ranking", FailureKind.WRONG)
    rows = zip(indexes.ravel().tolist(), labels, scores.ravel().tolist(), strict=True)
    return tuple(Prediction(index, label.decode(errors="replace"), score) for index, label, score in rows)


def _number(parameters: Mapping[str, Any], name: str) -> float:
    value = parameters.get(name)
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if number and value is not None and 0 <= value <= BELIEVABLE_MS else 0.0
