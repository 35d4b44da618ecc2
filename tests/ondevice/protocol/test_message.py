"""Messages of the protocol: the documentation's examples, there and back."""

from __future__ import annotations

import base64
import json

import numpy as np
import pytest
from messages import IMAGE, KSERVE_REQUEST, KSERVE_RESPONSE, TRITON_REQUEST, TRITON_RESPONSE, array, body

from ondevice.protocol.request import RequestedOutput, decode_request, encode_request
from ondevice.protocol.response import decode_response, encode_response
from ondevice.protocol.tensor import Tensor, from_base64


def test_kserve_request() -> None:
    request = decode_request(*KSERVE_REQUEST)
    assert (request.id, request.parameters, request.binary_output) == ("42", {}, False)
    assert request.outputs == [RequestedOutput("output0", binary=False, classification=0)]
    first, second = request.inputs
    assert (first.name, first.datatype, first.shape, first.binary) == ("input0", "UINT32", (2, 2), False)
    assert array(first).tolist() == [[1, 2], [3, 4]]
    assert (second.name, second.datatype, array(second).tolist()) == ("input1", "BOOL", [True, False, True])


def test_triton_binary_request() -> None:
    request = decode_request(*TRITON_REQUEST)
    assert request.outputs == [RequestedOutput("output0", binary=True)]
    first, second = request.inputs
    assert (first.parameters, first.binary, second.binary) == ({"binary_data_size": 16}, True, True)
    assert array(first).tolist() == [[1, 2], [3, 4]]
    assert array(second).tolist() == [True, False, True]
    view = memoryview(TRITON_REQUEST.body)
    assert array(decode_request(view, TRITON_REQUEST.length).inputs[1]).dtype == np.bool_


def test_kserve_and_triton_responses() -> None:
    response = decode_response(*KSERVE_RESPONSE)
    assert (response.model_name, response.model_version, response.id) == ("mymodel", None, "42")
    assert array(response.outputs[0]) == pytest.approx(np.array([[1, 1.1], [2, 2.1], [3, 3.1]]))
    response = decode_response(*TRITON_RESPONSE)
    assert (response.model_name, response.model_version, response.id, response.parameters) == ("mymodel", "1", None, {})
    assert array(response.outputs[0]).tolist() == [[0, 1], [2, 3], [4, 5]]


def test_image_request() -> None:
    picture, parameters = Tensor.of("image", [b"\xff\xd8\xff\xe0"]), {"sla_ms": 50.0, "policy": "cnnselect"}
    assert encode_request([picture], parameters=parameters, binary=True) == IMAGE
    request = decode_request(*IMAGE)
    assert (request.parameters, request.binary_output) == ({"sla_ms": 50.0, "policy": "cnnselect"}, True)
    (image,) = request.inputs
    assert (image.name, image.datatype, image.shape, image.data) == ("image", "BYTES", (1,), [b"\xff\xd8\xff\xe0"])
    assert image.binary


def test_an_image_in_json_is_base64() -> None:
    text = base64.b64encode(b"\xff\xd8").decode()
    tensor = {
        "name": "image",
        "datatype": "BYTES",
        "shape": [1],
        "data": [text],
        "parameters": {"content_type": "base64"},
    }
    (image,) = decode_request(body(tensor=tensor), None).inputs
    assert (image.binary, image.parameters) == (False, {"content_type": "base64"})
    assert from_base64(image.data[0]) == b"\xff\xd8"


@pytest.mark.parametrize("length", range(100))
def test_base64_is_read_however_clients_write_it(length: int) -> None:
    data = bytes(range(251, 251 - length, -1))
    standard, mime, url_safe = base64.b64encode(data), base64.encodebytes(data), base64.urlsafe_b64encode(data)
    unpadded, android = url_safe.rstrip(b"="), mime.replace(b"\n", b"\r\n")
    for written in (standard, mime, android, url_safe, unpadded, standard.rstrip(b"=")):
        assert from_base64(written) == from_base64(b"data:image/png;base64," + written) == data


def test_the_responses_an_endpoint_writes() -> None:
    outputs = [
        Tensor.of("label", ["große Wolke".encode(), b"cat"]),
        Tensor.of("score", np.float32([0.5, np.nan])),
        Tensor.of("index", np.int32([7, 2])),
    ]
    written, length = encode_response("m", "1", outputs, id="42", parameters={"queue_ms": 0.5})
    assert length is None
    assert json.loads(written, parse_constant=pytest.fail) == {
        "model_name": "m",
        "model_version": "1",
        "id": "42",
        "parameters": {"queue_ms": 0.5},
        "outputs": [
            {"name": "label", "datatype": "BYTES", "shape": [2], "data": ["große Wolke", "cat"]},
            {"name": "score", "datatype": "FP32", "shape": [2], "data": [0.5, None]},
            {"name": "index", "datatype": "INT32", "shape": [2], "data": [7, 2]},
        ],
    }
    written, length = encode_response("m", None, outputs[1:], binary={"score"})
    assert written[:length] == (
        b'{"model_name":"m","outputs":[{"name":"score","datatype":"FP32","shape":[2],"parameters":{"binary_data_size":8}},'
        b'{"name":"index","datatype":"INT32","shape":[2],"data":[7,2]}]}'
    )
    assert written[length:] == outputs[1].data.tobytes()


@pytest.mark.parametrize("binary", [False, True])
def test_a_request_there_and_back(binary: bool) -> None:
    inputs = [
        Tensor.of("a", np.arange(6, dtype=np.int16).reshape(2, 3)),
        Tensor("b", "BYTES", (2,), [b"x", b""], {"content_type": "base64"}),
        Tensor.of("c", np.zeros((0, 4))),
    ]
    wanted = [RequestedOutput("o", binary=True), RequestedOutput("p", binary=False, classification=3)]
    written = encode_request(inputs, parameters={"top": 5, "s": "ü"}, outputs=wanted, binary=binary, id="ü")
    assert (written[1] is not None) == binary
    request = decode_request(*written)
    assert (request.id, request.parameters, request.outputs) == ("ü", {"top": 5, "s": "ü"}, wanted)
    assert not request.binary_output
    assert [(t.name, t.datatype, t.shape) for t in request.inputs] == [(t.name, t.datatype, t.shape) for t in inputs]
    assert request.inputs[1].parameters["content_type"] == "base64"
    again = decode_request(*encode_request(request.inputs, binary=not binary))
    assert [t.binary for t in again.inputs] == [not binary] * 3
    assert [t.binary for t in request.inputs] == [binary] * 3
    assert np.array_equal(array(request.inputs[0]), array(inputs[0]))
    assert request.inputs[1].data == [b"x", b""]


@pytest.mark.parametrize("binary", [(), {"a"}, {"b"}, {"a", "b"}])
def test_a_response_there_and_back(binary: set[str]) -> None:
    outputs = [Tensor.of("a", np.float64([[0.1, np.pi]])), Tensor("b", "BYTES", (1,), [b"x"], {"k": 1})]
    parameters = {"profiles": [{"mean_ms": 1.5}], "none": None}
    response = decode_response(*encode_response("m", "2", outputs, id="7", parameters=parameters, binary=binary))
    assert (response.model_name, response.model_version, response.id) == ("m", "2", "7")
    assert response.parameters == parameters
    assert np.array_equal(array(response.outputs[0]), array(outputs[0]))
    assert (response.outputs[1].data, response.outputs[1].parameters["k"]) == ([b"x"], 1)
    assert {tensor.name for tensor in response.outputs if tensor.binary} == set(binary)


def test_which_outputs_are_wanted_in_binary() -> None:
    outputs = [{"name": "a"}, {"name": "b", "parameters": {"binary_data": False, "classification": 2}}]
    request = decode_request(body(parameters={"binary_data_output": True, "top": 3}, outputs=outputs), None)
    assert (request.binary_output, request.parameters) == (True, {"top": 3})
    assert request.outputs == [RequestedOutput("a", binary=True), RequestedOutput("b", binary=False, classification=2)]
    assert decode_request(encode_request([], binary=True)[0], None).binary_output
    assert not decode_request(encode_request([], binary=False)[0], None).binary_output


def test_what_is_optional_may_be_null_and_what_is_unknown_is_passed_over() -> None:
    request = decode_request(b'{"id":null,"parameters":null,"outputs":null,"inputs":[],"model_name":5}', None)
    assert (request.id, request.parameters, request.inputs, request.outputs) == (None, {}, [], [])


def test_other_servers_write_nan_as_a_word() -> None:
    message = (
        b'{"model_name":"m","outputs":[{"name":"o","datatype":"FP32","shape":[4],"data":[NaN,-Infinity,null,1]}],'
        b'"parameters":{"content_type":null,"headers":{"a":[1]}}}'
    )
    response = decode_response(message, None)
    assert np.array_equal(array(response.outputs[0]), np.float32([np.nan, -np.inf, np.nan, 1]), equal_nan=True)
    assert response.parameters == {"content_type": None, "headers": {"a": [1]}}
