"""Infer requests read and replies written; what a running endpoint refuses; and Triton's own client, unchanged."""

from __future__ import annotations

import base64
import json
import random
import struct
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import requests

pytest.importorskip("httptools", reason="needs the extra: pip install 'ondevice-cnn[serve]'")

from serving import FAMILY, PICTURE, Endpoint, image_input, sentence

from ondevice.cloud import infer
from ondevice.cloud.backend import InferenceResult
from ondevice.errors import ProtocolError
from ondevice.protocol.metadata import TensorMetadata
from ondevice.protocol.request import RequestedOutput, encode_request
from ondevice.protocol.response import InferResponse, decode_response
from ondevice.protocol.served import ServedModel
from ondevice.protocol.tensor import Tensor

INFER, MODEL = "/v2/models/cnnselect/infer", FAMILY[2]
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


def test_a_classification_of_the_models_own_output_needs_a_ranking() -> None:
    asked = infer.decode(*native_request(outputs=[wish("logits", classification=2)]), SERVED)
    assert asked.work(SERVED, 0.0).top == 2
    asked = infer.decode(*picture_request(outputs=[wish("logits", classification=9)], parameters={"top": 3}), SERVED)
    assert asked.work(SERVED, 0.0).top == 9


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
    assert ranking.data == [b"0.750000:1:dog", b"0.200000:0:cat"]


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


# What is refused by a running endpoint


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoint]:
    with Endpoint(tmp_path_factory.mktemp("home")) as running:
        yield running
        assert running.log("internal error") == []
        assert running.log("worker died") == []


def native(endpoint: Endpoint, model: str = MODEL) -> dict[str, Any]:
    """A model's own input tensor, all zeros."""
    face = endpoint.get(f"/v2/models/{model}")["inputs"][1]
    count = face["shape"][1] * face["shape"][2]
    return {**face, "data": [0] * count}


def ask(endpoint: Endpoint, *inputs: dict[str, Any], model: str = "cnnselect", **more: Any) -> requests.Response:
    return endpoint.ask("POST", f"/v2/models/{model}/infer", json={"inputs": list(inputs), **more})


def changed(tensor: dict[str, Any], **what: Any) -> dict[str, Any]:
    return {key: value for key, value in {**tensor, **what}.items() if value is not ...}


def test_bad_tensors_are_refused(endpoint: Endpoint) -> None:
    good = native(endpoint)
    assert ask(endpoint, good, model=MODEL).status_code == 200
    cases = [
        ([changed(good, shape=[48, 48])], "must be INT8 [1, 48, 48, 1], not INT8 [48, 48]"),
        ([changed(good, shape=[1, 48, 48, 2])], "there are 2304 data"),
        ([changed(good, shape=[1, -1, 48, 1])], "not a size"),
        ([changed(good, shape=[2**31, 2**31])], "too large"),
        ([changed(good, shape="1")], "not a list"),
        ([changed(good, shape=...)], "'shape' is missing"),
        ([changed(good, datatype="FP32")], "must be INT8 [1, 48, 48, 1], not FP32"),
        ([changed(good, datatype="int8")], "'datatype' is 'int8', which the protocol does not have"),
        ([changed(good, datatype="BYTES", data=["x"] * 2304)], "must be INT8"),
        ([changed(good, data=[300] * 2304)], "out of the range of INT8"),
        ([changed(good, data=[0.5] * 2304)], "fractions"),
        ([changed(good, data=["0"] * 2304)], "strings"),
        ([changed(good, data={})], "'data' is not a list"),
        ([changed(good, data=...)], "none of 'data' and 'binary_data_size'"),
        ([changed(good, name="input")], f"give one input, image or {good['name']}, not input"),
        ([good, good], "two inputs are named"),
        ([good, image_input()], "give one input"),
        ([], "not none"),
        ([image_input()] * 100, "at most 64"),
        ([changed(image_input(), shape=[2], data=["", ""])], "one compressed picture"),
        ([changed(image_input(), datatype="UINT8", data=[1])], "one compressed picture"),
        ([changed(image_input(), data=["not base64!"])], "not base64"),
    ]
    for inputs, said in cases:
        reply = ask(endpoint, *inputs, model=MODEL)
        assert reply.status_code == 400, said
        assert said in sentence(reply)
    assert "give one input, image, not" in sentence(ask(endpoint, good))


def test_bad_outputs_are_refused(endpoint: Endpoint) -> None:
    own = endpoint.get(f"/v2/models/{MODEL}")["outputs"][3]["name"]
    cases = [
        ("cnnselect", image_input(), [{"name": own}], f"no output '{own}'"),
        (MODEL, image_input(), [{"name": "logits"}], "no output 'logits': there are label, score, index"),
        (MODEL, native(endpoint), [{"name": "label"}], "are given for the input image alone"),
        (MODEL, image_input(), [{"name": "label", "parameters": {"classification": 2}}], "is a ranking already"),
        (MODEL, image_input(), [{"name": own, "parameters": {"classification": -2}}], "not a number of classes"),
        (MODEL, image_input(), [{"name": "label"}, {"name": "label"}], "two outputs are named"),
        (MODEL, image_input(), [{}], "has no 'name'"),
    ]
    for model, tensor, outputs, said in cases:
        reply = ask(endpoint, tensor, model=model, outputs=outputs)
        assert reply.status_code == 400, said
        assert said in sentence(reply)


@pytest.mark.parametrize(
    ("body", "length", "said"),
    [
        (b"{}", "99", "Inference-Header-Content-Length is 99, the body has 2 bytes"),
        (b"{}", "-1", "not a number of bytes"),
        (b"{}", "all", "not a number of bytes"),
        (b"{}", "", "not a number of bytes"),
        (b"{}", "9" * 40, "not a number of bytes"),
        (b"{}", "1", "malformed"),
        (b'{"inputs":[]}more', "13", "4 bytes follow"),
        (b"", None, "malformed"),
        (b"[]", None, "the JSON is not an object"),
        (b"\xff\xd8\xff\xe0", None, "not UTF-8"),
        (b"[" * 100_000, None, "nested too deeply"),
        (b'{"inputs":' + b"9" * 5000 + b"}", None, "digits"),
        (b'{"inputs":{}}', None, "not a list"),
    ],
)
def test_bad_bodies_are_refused(endpoint: Endpoint, body: bytes, length: str | None, said: str) -> None:
    headers = {"Content-Type": "application/octet-stream"}
    if length is not None:
        headers["Inference-Header-Content-Length"] = length
    reply = endpoint.ask("POST", INFER, data=body, headers=headers)
    assert reply.status_code == 400
    assert said in sentence(reply)


def bomb(side: int) -> bytes:
    """A valid one-bit PNG of side x side pixels, which deflates to next to nothing."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    rows = zlib.compressobj(9)
    packed = b"".join(rows.compress(bytes(1 + (side + 7) // 8)) for _ in range(side)) + rows.flush()
    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", packed) + chunk(b"IEND", b"")


BAD_PICTURES = {
    "empty": (b"", "empty"),
    "text": (b"I am no picture", "is not a picture"),
    "cut": (PICTURE[: len(PICTURE) // 2], "cannot be decoded"),
    "bomb": (bomb(20_000), "pixels"),
    "heic": (b"\0\0\0\x18ftypheic" + bytes(100), "HEIC"),
    "eps": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "is not a picture"),
    "crc": (PICTURE[:50] + bytes(40) + PICTURE[90:], ""),
}


@pytest.mark.parametrize("which", BAD_PICTURES)
def test_bad_pictures_are_refused_however_they_come(endpoint: Endpoint, which: str) -> None:
    picture, said = BAD_PICTURES[which]
    replies = [
        endpoint.classify(picture=picture),
        endpoint.classify(MODEL, picture=picture),
        ask(endpoint, image_input(picture)),
    ]
    for reply in replies:
        assert reply.status_code == 400
        assert said in sentence(reply)


def test_mutated_bodies_are_answered_or_refused(endpoint: Endpoint) -> None:
    """500 bodies over one connection: no other status, no hang."""
    rng = random.Random(20_240_607)
    image = b'{"inputs":[{"name":"image","shape":[1],"datatype":"BYTES","parameters":{"binary_data_size":%d}}]}'
    head = image % (len(PICTURE) + 4)
    own = native(endpoint)
    own_head = json.dumps(
        {"inputs": [{**own, "data": ..., "parameters": {"binary_data_size": 2304}}], "parameters": {"sla_ms": 100}},
        default=lambda _: None,
    ).encode()
    seeds = [
        (INFER, head + struct.pack("<I", len(PICTURE)) + PICTURE, len(head)),
        (f"/v2/models/{MODEL}/infer", own_head + bytes(2304), len(own_head)),
        (INFER, json.dumps({"inputs": [image_input()], "parameters": {"top": 2}}).encode(), None),
    ]
    seen: Counter[int] = Counter()
    with requests.Session() as client:
        for number in range(500):
            path, body, length = seeds[number % 3]
            mutated, said = mutate(rng, body, length)
            headers = {"Content-Type": "application/octet-stream"}
            if said is not None:
                headers["Inference-Header-Content-Length"] = str(said)
            reply = client.post(endpoint.url + path, mutated, headers=headers, timeout=20)
            seen[reply.status_code] += 1
            if reply.status_code != 200:
                sentence(reply)
    assert set(seen) == {200, 400}
    assert seen[200] > 10
    assert endpoint.classify().status_code == 200


def mutate(rng: random.Random, body: bytes, length: int | None) -> tuple[bytes, int | None]:
    """Some bytes changed, cut out or put in, where it hurts: in the JSON and at its end; the length perhaps a lie."""
    data, head = bytearray(body), length or len(body)
    for _ in range(rng.choice((1, 1, 2, 8))):
        at = rng.choice((rng.randrange(head), min(head + rng.randrange(8), len(data) - 1), rng.randrange(len(data))))
        at = min(at, len(data) - 1)
        match rng.randrange(4):
            case 0:
                data[at] = rng.randrange(256)
            case 1:
                del data[at : at + rng.choice((1, 4, 100))]
            case 2:
                data[at:at] = rng.choice((b"9", b"-", b"null", b"[", b'"', b"\xff", b"1e999", bytes(4), b"\xff" * 4))
            case _:
                data[at] ^= 1 << rng.randrange(8)
        if not data:
            return b"", length
    if length is not None and rng.random() < 0.3:
        length = rng.choice((0, 1, length - 1, length + 1, len(data), len(data) + 1, 2**31, 2**63))
    return bytes(data), length


# Triton's client


@pytest.fixture(scope="module")
def triton() -> Any:
    return pytest.importorskip("tritonclient.http", reason="needs `pip install 'tritonclient[http]'`")


@pytest.fixture(scope="module")
def client(triton: Any, endpoint: Endpoint) -> Iterator[Any]:
    made = triton.InferenceServerClient(endpoint.url.removeprefix("http://"))
    yield made
    made.close()


@pytest.fixture
def image(triton: Any) -> Callable[[bool], Any]:
    """Makes the input of a picture, in binary or in JSON."""

    def make(binary: bool = True) -> Any:
        tensor = triton.InferInput("image", [1], "BYTES")
        value = PICTURE if binary else base64.b64encode(PICTURE)
        tensor.set_data_from_numpy(np.array([value], object), binary_data=binary)
        return tensor

    return make


@pytest.fixture
def fails(triton: Any) -> Callable[..., tuple[str, str]]:
    """The status and message of the exception that a call must end with."""
    from tritonclient.utils import InferenceServerException

    def failing(call: Callable[..., Any], *arguments: Any, **more: Any) -> tuple[str, str]:
        with pytest.raises(InferenceServerException) as caught:
            call(*arguments, **more)
        return caught.value.status(), caught.value.message()

    return failing


def test_triton_health(client: Any) -> None:
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("cnnselect")
    assert client.is_model_ready(FAMILY[0], "1")
    assert not client.is_model_ready("nothing")


def test_triton_metadata(client: Any, fails: Callable[..., tuple[str, str]]) -> None:
    assert client.get_server_metadata()["name"] == "ondevice"
    assert [tensor["name"] for tensor in client.get_model_metadata("cnnselect")["inputs"]] == ["image"]
    assert client.get_model_metadata(FAMILY[2], "1")["inputs"][1]["shape"] == [1, 48, 48, 1]
    assert [row["name"] for row in client.get_model_repository_index()] == ["cnnselect", *FAMILY]
    status, message = fails(client.get_model_metadata, "nothing")
    assert (status, message) == ("404", f"no model 'nothing': there are cnnselect, {', '.join(FAMILY)}")


def test_triton_loads_and_unloads(client: Any, fails: Callable[..., tuple[str, str]], image: Any) -> None:
    client.unload_model(FAMILY[1])
    assert not client.is_model_ready(FAMILY[1])
    status, message = fails(client.infer, FAMILY[1], [image()])
    assert status == "400"
    assert message.endswith("load first")
    client.load_model(FAMILY[1])
    assert client.is_model_ready(FAMILY[1])
    assert fails(client.load_model, "nothing")[0] == "404"


@pytest.mark.parametrize("binary_in", [True, False])
@pytest.mark.parametrize("binary_out", [True, False])
def test_triton_infers_on_cnnselect(client: Any, triton: Any, image: Any, binary_in: bool, binary_out: bool) -> None:
    outputs = [triton.InferRequestedOutput(name, binary_data=binary_out) for name in ("index", "label", "score")]
    parameters = {"sla_ms": 5000.0, "top": 3, "policy": "static-accuracy"}
    result = client.infer("cnnselect", [image(binary_in)], outputs=outputs, parameters=parameters, request_id="q7")
    assert result.as_numpy("index")[0] == 7
    label = result.as_numpy("label")[0]
    assert (label.decode() if isinstance(label, bytes) else label) == "7"
    assert result.as_numpy("score").shape == (3,)
    response = result.get_response()
    assert (response["model_name"], response["id"]) == ("cnnselect", "q7")
    assert response["parameters"]["selected_model"] == FAMILY[3]


def test_triton_infers_without_naming_outputs(client: Any, image: Any) -> None:
    result = client.infer("cnnselect", [image()], timeout=5_000_000)
    assert result.as_numpy("label")[0] == b"7"
    assert 4000 < result.get_response()["parameters"]["budget_ms"] <= 5000


@pytest.mark.parametrize("binary", [True, False])
def test_triton_infers_on_a_models_own_tensor(client: Any, triton: Any, image: Any, binary: bool) -> None:
    metadata = client.get_model_metadata(FAMILY[2])
    face, output = metadata["inputs"][1], metadata["outputs"][3]["name"]
    tensor = triton.InferInput(face["name"], face["shape"], face["datatype"])
    tensor.set_data_from_numpy(np.full(face["shape"], 3, np.int8), binary_data=binary)
    own = client.infer(FAMILY[2], [tensor], outputs=[triton.InferRequestedOutput(output, binary_data=binary)])
    assert own.as_numpy(output).shape == (1, 10)
    assert own.as_numpy(output).dtype == np.int8
    assert own.as_numpy(output).tolist() == client.infer(FAMILY[2], [tensor]).as_numpy(output).tolist()
    ranked = client.infer(
        FAMILY[2], [image()], outputs=[triton.InferRequestedOutput(output, class_count=2, binary_data=binary)]
    )
    best = ranked.as_numpy(output)[0][0]
    assert (best.decode() if isinstance(best, bytes) else best).endswith(":7:7")


def test_triton_infers_asynchronously(client: Any, image: Any) -> None:
    pending = [client.async_infer("cnnselect", [image()]) for _ in range(8)]
    assert [request.get_result().as_numpy("index")[0] for request in pending] == [7] * 8


def test_triton_gets_errors_as_its_exception(
    client: Any, triton: Any, image: Any, fails: Callable[..., tuple[str, str]]
) -> None:
    ask = client.infer
    assert fails(ask, "nothing", [image()])[0] == "404"
    assert fails(ask, "cnnselect", [image()], model_version="2") == ("404", "no version '2' of cnnselect: there is 1")
    status, message = fails(ask, "cnnselect", [image()], parameters={"sla_ms": -1})
    assert (status, message) == ("400", "sla_ms must be a number from 0.001 to 3.6e+06")
    assert "no policy" in fails(ask, "cnnselect", [image()], parameters={"policy": "best"})[1]
    assert (
        "there are label, score, index"
        in fails(ask, "cnnselect", [image()], outputs=[triton.InferRequestedOutput("logits")])[1]
    )
    assert fails(ask, "cnnselect", [image()], request_compression_algorithm="gzip")[0] == "415"
    broken = triton.InferInput("image", [1], "BYTES")
    broken.set_data_from_numpy(np.array([b"no picture"], object))
    assert "is not a picture" in fails(ask, "cnnselect", [broken])[1]
    wrong = triton.InferInput("image", [2], "FP32")
    wrong.set_data_from_numpy(np.zeros(2, np.float32))
    assert "image must be one element of BYTES, shape [1]" in fails(ask, "cnnselect", [wrong])[1]
    assert client.infer("cnnselect", [image()]).as_numpy("index")[0] == 7
