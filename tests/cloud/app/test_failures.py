"""Which status and which sentence a client gets for an error."""

from __future__ import annotations

import json

import pytest

pytest.importorskip("httptools", reason="needs the extra: pip install 'ondevice-cnn[serve]'")

from ondevice.cloud.app import failures
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

SECRET = "/srv/secret.tflite"


@pytest.mark.parametrize(
    ("error", "status", "retry_after", "said"),
    [
        (ProtocolError("give one input"), 400, None, "give one input"),
        (ImageError("9 bytes: is not a picture", None), 400, None, "9 bytes: is not a picture"),
        (NoRouteError("no such path", 404), 404, None, "no such path"),
        (RefusedError("no model can answer in time", 3.2), 503, "3", "no model can answer in time"),
        (PictureMemoryError(SECRET, None), 503, "1", "there is not enough memory to decode this picture now"),
        (ModelFaultError(SECRET, "net"), 500, None, "net is faulty, it gave no valid scores for this"),
        (ModelLoadError(SECRET, "net"), 503, "1", "net cannot be run now"),
        (ModelError(SECRET, ""), 503, "1", "the inference failed"),
        (WorkerDiedError(SECRET), 503, "1", "the inference failed"),
        (UpstreamError(SECRET, FailureKind.CUT), 503, "1", "the inference failed"),
    ],
)
def test_each_error_has_a_status_and_a_sentence_that_gives_nothing_away(
    error: OnDeviceError, status: int, retry_after: str | None, said: str
) -> None:
    assert isinstance(error, failures.EXPECTED)
    response = failures.response(error)
    assert (response.status, dict(response.headers).get("retry-after")) == (status, retry_after)
    assert isinstance(response.body, bytes)
    sentence = json.loads(response.body)["error"]
    assert sentence.startswith(said)
    assert SECRET not in sentence
