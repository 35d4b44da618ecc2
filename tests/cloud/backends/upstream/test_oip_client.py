"""What another server is asked, and what its answers mean."""

from __future__ import annotations

from collections.abc import Awaitable

import numpy as np
import pytest
from scripted_server import ScriptedServer, ask, failure, reply

from ondevice.cloud.backends.upstream.oip_client import OipClient
from ondevice.cloud.backends.upstream.session import UpstreamSession
from ondevice.protocol.request import decode_request, encode_request
from ondevice.protocol.response import InferResponse, encode_response
from ondevice.protocol.tensor import Tensor


def infer(session: UpstreamSession) -> Awaitable[InferResponse]:
    return OipClient(session).infer("m", *encode_request([Tensor.of("x", [b"abc"])], binary=True), 5)


def test_whether_it_is_ready() -> None:
    server = ScriptedServer(reply(b""), reply(b"", "503 Service Unavailable"))
    assert ask(server, lambda session: OipClient(session).ready(5)) is None
    assert server.asked[0][0] == "GET /v2/health/ready HTTP/1.1"
    assert failure(server, lambda session: OipClient(session).ready(5)).failure == "busy"


def test_an_inference_there_and_back() -> None:
    body, length = encode_response("m", "1", [Tensor.of("y", np.arange(3, dtype=np.float32))], binary=["y"])
    server = ScriptedServer(reply(body, inference_header_content_length=str(length)))
    response = ask(server, infer)
    (output,) = response.outputs
    assert isinstance(output.data, np.ndarray)
    assert output.data.tolist() == [0, 1, 2]
    line, headers, sent = server.asked[0]
    assert line == "POST /v2/models/m/infer HTTP/1.1"
    (tensor,) = decode_request(sent, int(headers["inference-header-content-length"])).inputs
    assert tensor.data == [b"abc"]


def test_an_inference_answered_in_json() -> None:
    body, _ = encode_response("m", None, [Tensor.of("y", np.arange(3, dtype=np.int32))])
    (output,) = ask(ScriptedServer(reply(body)), infer).outputs
    assert isinstance(output.data, np.ndarray)
    assert output.data.tolist() == [0, 1, 2]


def test_a_models_name_stays_one_part_of_the_path() -> None:
    server = ScriptedServer(reply(b"{}"))
    assert ask(server, lambda session: OipClient(session).metadata("a/../b c", 5)) == ({}, {}, {})
    assert server.asked[0][0] == "GET /v2/models/a%2F..%2Fb%20c HTTP/1.1"


def test_the_index() -> None:
    server = ScriptedServer(reply(b'[{"name": "a", "state": "READY"}, {"name": "b", "version": "1"}]'))
    assert ask(server, lambda session: OipClient(session).ready_models(5)) == ["a", "b"]
    assert server.asked[0][0] == "POST /v2/repository/index HTTP/1.1"


@pytest.mark.parametrize(
    "body", [b"{}", b"[1]", b'[{"name": 1}]', b'[{"name": ""}]', b"<html>", b"\xff", b"[" * 100_000]
)
def test_an_index_that_is_none(body: bytes) -> None:
    assert failure(ScriptedServer(reply(body)), lambda session: OipClient(session).ready_models(5)).failure == "wrong"


@pytest.mark.parametrize("body", [b"[]", b"null", b"", b"<html>"])
def test_metadata_that_are_none(body: bytes) -> None:
    assert failure(ScriptedServer(reply(body)), lambda session: OipClient(session).metadata("m", 5)).failure == "wrong"


@pytest.mark.parametrize(
    ("body", "length"),
    [
        (b"{}", None),
        (b'{"model_name": "m", "outputs": [{"name": "y"}]}', None),
        (b'{"model_name": "m", "outputs": []}', "9999"),
        (b'{"model_name": "m", "outputs": []}', "-1"),
        (b'{"model_name": "m", "outputs": []}', "1e3"),
        (b"", "0"),
    ],
)
def test_responses_that_are_no_oip(body: bytes, length: str | None) -> None:
    headers = {} if length is None else {"inference_header_content_length": length}
    error = failure(ScriptedServer(reply(body, **headers)), infer)
    assert error.failure == "wrong"
    assert str(error).startswith("its response is not valid OIP: ")
