"""Infer requests read, and replies written."""

from __future__ import annotations

import base64
import json
import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

pytest.importorskip("httptools", reason="needs the extra: pip install 'ondevice-cnn[serve]'")

from ondevice.cloud.app import infer
from ondevice.cloud.app.messages import Head, Request
from ondevice.cloud.backends.backend import InferenceResult
from ondevice.errors import ProtocolError
from ondevice.protocol.metadata import TensorMetadata
from ondevice.protocol.request import RequestedOutput, encode_request
from ondevice.protocol.response import InferResponse, decode_response
from ondevice.protocol.served import ServedModel
from ondevice.protocol.tensor import Tensor

OWN = TensorMetadata.of("in", (1, 2, 2, 1), np.dtype(np.uint8))
LOGITS = TensorMetadata.of("logits", (1, 3), np.dtype(np.float32))
SERVED = ServedModel("net", ("cat", "dog", "fish"), 0.9, "", "int8", 1000, "here", OWN, LOGITS)
RESULT = InferenceResult("net", [(1, 0.75), (0, 0.2), (2, 0.05)], np.array([1, 3, -1], np.float32).tobytes())
PARAMETERS = {"selected_model": "net"}


def picture_request(**more: Any) -> tuple[bytes, int | None]:
    return encode_request([Tensor.of("image", [b"picture"])], binary=True, **more)


def native_request(**more: Any) -> tuple[bytes, int | None]:
    pixels = np.arange(4, dtype=np.uint8).reshape(1, 2, 2, 1)
    return encode_request([Tensor.of("in", pixels)], binary=True, **more)


def wish(name: str, **more: Any) -> RequestedOutput:
    return RequestedOutput(name, **more)


def answer(request: tuple[bytes, int | None], served: ServedModel | None = SERVED) -> InferResponse:
    asked = infer.decode(*request, served)
    return decode_response(*infer.encode("cnnselect", asked, SERVED, RESULT, PARAMETERS))


def test_a_picture_in_binary() -> None:
    asked = infer.decode(*picture_request(parameters={"sla_ms": 50, "top": 2}, id="a"), None)
    assert (asked.payload, asked.is_picture, asked.id, asked.parameters.sla_ms) == (b"picture", True, "a", 50)
    work = asked.work(None, 1.5)
    assert (work.payload, work.is_picture, work.top, work.raw, work.received) == (b"picture", True, 2, False, 1.5)


@pytest.mark.parametrize("more", [{}, {"parameters": {"content_type": "base64"}}])
def test_a_picture_in_json_is_base64(more: dict[str, Any]) -> None:
    data = [base64.b64encode(b"picture").decode()]
    body = {"inputs": [{"name": "image", "shape": [1], "datatype": "BYTES", "data": data, **more}]}
    text = json.dumps(body).encode()
    assert infer.decode(text, None, None).payload == b"picture"
    assert infer.decode(text, len(text), None).payload == b"picture"


def test_a_models_own_tensor() -> None:
    asked = infer.decode(*native_request(), SERVED)
    work = asked.work(SERVED, 0.0)
    assert (work.payload, work.is_picture, work.top, work.raw) == (bytes(range(4)), False, 0, True)


def test_a_classification_of_the_models_own_output_needs_all_of_it() -> None:
    asked = infer.decode(*native_request(outputs=[wish("logits", classification=2)]), SERVED)
    assert (asked.work(SERVED, 0.0).top, asked.work(SERVED, 0.0).raw) == (0, True)
    asked = infer.decode(*picture_request(outputs=[wish("logits", classification=9)], parameters={"top": 3}), SERVED)
    assert (asked.work(SERVED, 0.0).top, asked.work(SERVED, 0.0).raw) == (0, True)
    asked = infer.decode(*picture_request(outputs=[wish("logits"), wish("label")], parameters={"top": 3}), SERVED)
    assert (asked.work(SERVED, 0.0).top, asked.work(SERVED, 0.0).raw) == (3, True)


def read(body: bytes, served: ServedModel | None, query: str = "", **headers: str) -> infer.DecodedRequest:
    told = {name.replace("_", "-"): value for name, value in headers.items()}
    return infer.read(Request(Head("POST", "/", query, told, len(body), "", 0.0), body, 0.0), served)


PNG = b"\x89PNG\r\n\x1a\n\0"


@pytest.mark.parametrize("served", [None, SERVED])
def test_a_picture_by_itself_has_its_parameters_in_the_query(served: ServedModel | None) -> None:
    asked = read(PNG, served, "top=2", content_type="application/x-www-form-urlencoded")
    assert (asked.payload, asked.is_picture, asked.plain, asked.parameters.top) == (PNG, True, True, 2)


@pytest.mark.parametrize(
    ("served", "body", "is_picture"),
    [(None, PNG, True), (None, b"text", True), (SERVED, PNG, True), (SERVED, b"abcd", False), (SERVED, PNG[:4], False)],
)
def test_a_raw_request_is_the_input_and_nothing_else(served: ServedModel | None, body: bytes, is_picture: bool) -> None:
    asked = read(body, served, "top=2", inference_header_content_length="0", content_type="image/png")
    assert (asked.payload, asked.is_picture, asked.parameters.top) == (body, is_picture, 2)
    written, length = infer.encode("net", asked, SERVED, RESULT, {})
    assert length is not None
    outputs = decode_response(written, length).outputs
    assert [(output.name, output.binary) for output in outputs] == (
        [("label", True), ("score", True), ("index", True)] if is_picture else [("logits", True)]
    )


@pytest.mark.parametrize(
    ("body", "headers", "said"),
    [
        (b"abc", {"inference_header_content_length": "0"}, "has 3 bytes: send in as UINT8 [1, 2, 2, 1], 4 bytes, or a"),
        (b"", {"inference_header_content_length": "0"}, "has 0 bytes"),
        (b"text", {"inference_header_content_length": "4"}, "malformed"),
        (b"text", {}, "neither JSON nor a picture (JPEG, PNG, WebP"),
        (b"", {}, "neither JSON nor a picture"),
        (b"{", {}, "malformed"),
    ],
)
def test_a_body_that_is_nothing_of_this(body: bytes, headers: dict[str, str], said: str) -> None:
    with pytest.raises(ProtocolError, match=re.escape(said)):
        read(body, SERVED, **headers)


def test_a_picture_is_answered_with_labels_scores_and_indexes() -> None:
    response = answer(picture_request(parameters={"top": 2}, id="x"), None)
    assert (response.model_name, response.model_version, response.id) == ("cnnselect", "1", "x")
    assert response.parameters == PARAMETERS
    label, score, index = response.outputs
    assert (label.name, label.datatype, label.data) == ("label", "BYTES", [b"dog", b"cat"])
    assert (score.name, score.datatype, score.data.tolist()) == ("score", "FP32", [0.75, pytest.approx(0.2)])
    assert (index.name, index.datatype, index.data.tolist()) == ("index", "INT32", [1, 0])


def test_a_tensor_is_answered_with_the_models_own_output() -> None:
    (logits,) = answer(native_request()).outputs
    assert (logits.name, logits.shape, logits.data.tolist()) == ("logits", (1, 3), [[1, 3, -1]])


def test_outputs_come_as_they_are_asked_for() -> None:
    wishes = [wish("logits", binary=True), wish("index"), wish("label", binary=True)]
    response = answer(picture_request(outputs=wishes))
    assert [(output.name, output.binary) for output in response.outputs] == [
        ("logits", True),
        ("index", False),
        ("label", True),
    ]
    (ranking,) = answer(picture_request(outputs=[wish("logits", classification=2)])).outputs
    assert (ranking.datatype, ranking.shape) == ("BYTES", (1, 2))
    assert ranking.data == [b"3.000000:1:dog", b"1.000000:0:cat"], "of the output itself"


@pytest.mark.parametrize(
    ("dtype", "stored", "classes", "best"),
    [
        (np.uint8, [0, 200, 7, 200], 3, [b"200:1:cat", b"200:3:fish", b"7:2:dog"]),
        (np.int8, [127, -128, 5, 0], 9, [b"127:0:background", b"5:2:dog", b"0:3:fish", b"-128:1:cat"]),
        (
            np.float32,
            [np.nan, 0.5, np.inf, 0.25],
            4,
            [b"inf:2:dog", b"0.500000:1:cat", b"0.250000:3:fish", b"nan:0:background"],
        ),
    ],
)
def test_a_classification_has_the_values_and_places_of_the_output_that_it_is_of(
    dtype: type, stored: list[float], classes: int, best: list[bytes]
) -> None:
    own = TensorMetadata.of("logits", (1, 4), np.dtype(dtype))
    served = replace(SERVED, output=own, background=True)
    result = InferenceResult("net", [(1, 0.75)], np.array(stored, dtype).tobytes())
    asked = infer.decode(*native_request(outputs=[wish("logits", classification=classes)]), served)
    (ranking,) = decode_response(*infer.encode("net", asked, served, result, {})).outputs
    assert ranking.data == best


def test_what_the_query_says_goes_with_what_the_message_says() -> None:
    body, length = picture_request(parameters={"top": 2})
    headers = {"inference_header_content_length": str(length)}
    asked = read(body, None, "sla_ms=50", **headers)
    assert (asked.parameters.top, asked.parameters.sla_ms) == (2, 50)
    with pytest.raises(ProtocolError, match="top: give it in the query or in the body, not in both"):
        read(body, None, "top=3", **headers)
    with pytest.raises(ProtocolError, match="no parameter 'deadline': there are sla_ms"):
        read(body, None, "deadline=3", **headers)


def test_a_result_that_is_no_number_is_null_in_json() -> None:
    asked = infer.decode(*native_request(outputs=[wish("logits")]), SERVED)
    result = InferenceResult("net", [], np.array([np.nan, 1, np.inf], np.float32).tobytes())
    body, length = infer.encode("net", asked, SERVED, result, {})
    assert length is None
    assert json.loads(body)["outputs"][0]["data"] == [None, 1, None]


@pytest.mark.parametrize(
    ("request_", "served", "said"),
    [
        (native_request(), None, "give one input, image, not in"),
        (picture_request(outputs=[wish("logits")]), None, "no output 'logits': there are label, score, index"),
        (native_request(outputs=[wish("score")]), SERVED, "are given for the input image alone"),
        (picture_request(outputs=[wish("label", classification=1)]), SERVED, "is a ranking already"),
        (picture_request(parameters={"sla_ms": -1}), SERVED, "sla_ms must be a number from"),
    ],
)
def test_what_makes_no_sense_is_refused(
    request_: tuple[bytes, int | None], served: ServedModel | None, said: str
) -> None:
    with pytest.raises(ProtocolError, match=said):
        infer.decode(*request_, served)


def test_long_names_are_not_repeated_whole() -> None:
    many = [Tensor("in" * 5000 + str(n), "UINT8", (0,), np.zeros(0, np.uint8), {}) for n in range(64)]
    for request in (encode_request(many, binary=True), picture_request(outputs=[wish("no" * 5000)])):
        with pytest.raises(ProtocolError) as caught:
            infer.decode(*request, SERVED)
        assert len(str(caught.value)) < 300
