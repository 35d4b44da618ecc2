"""Which status and which sentence a client gets for an error."""

from __future__ import annotations

import json

import pytest

pytest.importorskip("httptools", reason="needs the extra: pip install 'ondevice-cnn[serve]'")

from described import DOCUMENT
from schemas import faults

from ondevice.cloud.app import failures
from ondevice.cloud.app.messages import Response
from ondevice.errors import (
    FailureKind,
    ImageError,
    ModelError,
    ModelFaultError,
    ModelLoadError,
    NoRouteError,
    OnDeviceError,
    PictureMemoryError,
    ProtocolError,
    RefusedError,
    UpstreamError,
    WorkerDiedError,
)
from ondevice.protocol import replies

SECRET = "/srv/secret.tflite"


@pytest.mark.parametrize(
    ("error", "status", "after", "said"),
    [
        (ProtocolError("give one input"), 400, None, "give one input"),
        (ImageError("9 bytes: is not a picture", None), 400, None, "9 bytes: is not a picture"),
        (NoRouteError("no such path", 404), 404, None, "no such path"),
        (RefusedError("no model can answer in time", 3.2), 503, ("4", "3200"), "no model can answer in time"),
        (RefusedError("other pictures as large", 5), 503, ("5", "5000"), "other pictures as large"),
        (PictureMemoryError(SECRET, None), 503, ("1", "1000"), "there is not enough memory to decode this picture now"),
        (ModelFaultError(SECRET, "net"), 500, None, "net is faulty, it gave no valid scores for this"),
        (ModelLoadError(SECRET, "net"), 503, ("1", "1000"), "net cannot be run now"),
        (ModelError(SECRET, ""), 503, ("1", "1000"), "the inference failed"),
        (WorkerDiedError(SECRET), 503, ("1", "1000"), "the inference failed"),
        (UpstreamError(SECRET, FailureKind.CUT), 503, ("1", "1000"), "the inference failed"),
    ],
)
def test_each_error_has_a_status_and_a_sentence_that_gives_nothing_away(
    error: OnDeviceError, status: int, after: tuple[str, str] | None, said: str
) -> None:
    assert isinstance(error, failures.EXPECTED)
    response = failures.response(error)
    told = dict(response.headers)
    assert (response.status, told.get("retry-after"), told.get("retry-after-ms")) == (status, *(after or (None, None)))
    assert isinstance(response.body, bytes)
    sentence = json.loads(response.body)["error"]
    assert sentence.startswith(said)
    assert SECRET not in sentence
    assert documented(response)


def documented(response: Response) -> bool:
    """Whether a reply is as the OpenAPI document says."""
    stated = DOCUMENT["components"]["responses"][str(response.status)]
    assert faults(json.loads(bytes(response.body)), stated["content"]["application/json"]["schema"]) == []
    told = dict(response.headers)
    assert told.pop("content-type") == "application/json"
    for name, text in told.items():
        schema = stated["headers"][name]["schema"]
        assert int(text) >= schema["minimum"]
    return True


@pytest.mark.parametrize("for_time", [True, False])
def test_want_of_time_is_told_from_all_else(for_time: bool) -> None:
    response = failures.response(RefusedError("not now", 0.0415, for_time))
    assert response.body == (b'{"error":"not now","reason":"time"}' if for_time else b'{"error":"not now"}')
    assert documented(response)
    read = replies.refusal("it", response.status, response.body, dict(response.headers))
    assert (read.retry_after_ms, read.for_time) == (42, for_time)
