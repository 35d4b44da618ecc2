"""What the replies of another server mean to the one who asked it. Whatever is wrong with them is an UpstreamError."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ondevice.errors import FailureKind, ProtocolError, UpstreamError
from ondevice.protocol import headers, retry_after
from ondevice.protocol.cnnselect import ANSWER, INDEX, LABEL, NAME, SCORE
from ondevice.protocol.message import json_of
from ondevice.protocol.metadata import ModelMetadata
from ondevice.protocol.response import InferResponse, decode_response
from ondevice.protocol.tensor import Tensor

# The failures that a status stands for; any other is WRONG. Rejected is what was sent, and not who sent it.
_FAILURES = {
    401: FailureKind.DENIED,
    403: FailureKind.DENIED,
    404: FailureKind.MISSING,
    429: FailureKind.BUSY,
    503: FailureKind.BUSY,
    **dict.fromkeys((400, 413, 415, 422), FailureKind.REJECTED),
}
# Most scores are probabilities: up to 1, or some steps of a quantized softmax over it. A network without a softmax
# gives logits, of which differences beyond 100 say nothing more (float32's softmax is 0 and 1 there); a badly scaled
# one gives thousands. A classifier never needs larger numbers than half precision has, in which many a processor
# computes it.
_LARGEST_SCORE = float(np.finfo(np.float16).max)
_NO_NUMBER = "one of its scores is not a number"
# As much as fits into a line of the terminal or the log.
_MOST_CHARACTERS = 200
_NO_HEADERS: retry_after.Headers = {}


def refusal(who: str, status: int, body: bytes, told: retry_after.Headers = _NO_HEADERS) -> UpstreamError:
    """What a reply of another status than 200 means, with the status and the protocol's `error` if there is one, and
    when it wants to be asked again. told: its headers.
    """
    said = _error(body)
    text = said.get("error")
    shown = "".join(c if c.isprintable() else " " for c in text[:_MOST_CHARACTERS]) if isinstance(text, str) else ""
    message = f"{who} answers {status}{': ' if shown else ''}{shown}"
    for_time = said.get(retry_after.REASON) == retry_after.TIME
    return UpstreamError(message, _FAILURES.get(status, FailureKind.WRONG), retry_after.read_ms(told), for_time)


def wrong(message: str) -> UpstreamError:
    """For an answer that is not a valid one."""
    return UpstreamError(message, FailureKind.WRONG)


def metadata(body: bytes) -> ModelMetadata:
    """What it says of a model. Raises UpstreamError."""
    try:
        return ModelMetadata.parse(_parsed(body))
    except ProtocolError as error:
        raise wrong(str(error)) from error


def extensions(body: bytes) -> frozenset[str]:
    """What the server's metadata list beside the required protocol. Raises UpstreamError."""
    said = _parsed(body)
    listed = said.get("extensions") if isinstance(said, dict) else None
    return frozenset(one for one in listed if isinstance(one, str)) if isinstance(listed, list) else frozenset()


def ready_models(body: bytes) -> list[str]:
    """The names in a repository index of the models that are ready, `cnnselect` left out. Raises UpstreamError.

    Each version is a row of its own; one that tells no state is ready.
    """
    rows = _parsed(body)
    if not isinstance(rows, list) or not all(isinstance(row, dict) and _is_name(row.get("name")) for row in rows):
        raise wrong("its repository index is not a list of models")
    ready = dict.fromkeys(row["name"] for row in rows if row.get("state") in (None, "", "READY"))
    return [name for name in ready if name != NAME]


def listed_models(body: bytes) -> list[str]:
    """The names in KServe's list of models, which has no states. Raises UpstreamError."""
    said = _parsed(body)
    names = said.get("models") if isinstance(said, dict) else None
    if not isinstance(names, list) or not all(map(_is_name, names)):
        raise wrong("its list of models is not one of names")
    return [name for name in dict.fromkeys(names) if name != NAME]


def response(body: bytes, length: str | None) -> InferResponse:
    """Its response to an inference. length: the header Inference-Header-Content-Length. Raises UpstreamError."""
    try:
        return decode_response(body, headers.json_length(length))
    except ProtocolError as error:
        raise wrong(f"its response is not valid OIP: {error}") from error


def ranking(outputs: Iterable[Tensor], most: int | None = None) -> list[tuple[int, str, float]]:
    """The classes, (index, label, score), among the outputs for a picture. most: so many at most were asked for.

    Raises UpstreamError for what is not a ranking; it need not be in order.
    """
    data = {tensor.name: tensor.data for tensor in outputs}
    labels, scores, indexes = data.get(LABEL), data.get(SCORE), data.get(INDEX)
    if not (isinstance(labels, list) and isinstance(scores, np.ndarray) and isinstance(indexes, np.ndarray)):
        raise wrong(f"its answer has no {', '.join(ANSWER)}")
    good = scores.dtype.kind == "f" and indexes.dtype.kind in "iu"
    count = len(labels)
    if not good or not 1 <= count == scores.size == indexes.size <= (most or count) or (indexes < 0).any():
        raise wrong(f"its {', '.join(ANSWER)} are not a ranking")
    check_scores(scores)
    names = (label.decode(errors="replace") for label in labels)
    return list(zip(indexes.ravel().tolist(), names, scores.ravel().tolist(), strict=True))


def _error(body: bytes) -> dict[str, Any]:
    try:
        said = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return said if isinstance(said, dict) else {}


def check_scores(scores: NDArray[np.floating[Any]]) -> None:
    """Return if a classifier may have computed them all. Raises UpstreamError."""
    believable = np.abs(scores) <= _LARGEST_SCORE
    if not believable.all():
        score = scores[~believable].flat[0]
        raise wrong(f"a score of {score:g} is none that a classifier gives" if np.isfinite(score) else _NO_NUMBER)


def _parsed(body: bytes) -> Any:
    try:
        return json_of(body)
    except ProtocolError as error:
        raise wrong("its answer is not JSON") from error


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and bool(value)
