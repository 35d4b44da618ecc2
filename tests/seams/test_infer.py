"""What a running endpoint refuses of infer requests: tensors, outputs, bodies and pictures."""

from __future__ import annotations

import json
import random
import struct
from collections import Counter
from typing import Any

import pytest
import requests

pytest.importorskip("httptools", reason="needs the extra: pip install 'ondevice-cnn[serve]'")

from huge import black_png
from serving import FAMILY, PICTURE, Endpoint, image_input, sentence

INFER, MODEL = "/v2/models/cnnselect/infer", FAMILY[2]


def native(endpoint: Endpoint, model: str = MODEL) -> dict[str, Any]:
    """A model's own input tensor, all zeros."""
    (face,) = endpoint.get(f"/v2/models/{model}")["inputs"]
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
    own = endpoint.get(f"/v2/models/{MODEL}")["outputs"][0]["name"]
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
        (b"", None, "neither JSON nor a picture"),
        (b"[]", None, "the JSON is not an object"),
        (b"\xff\xd8\xff\xe0", None, "is not a picture"),
        (b'{"inputs": "\xff"}', None, "not UTF-8"),
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


BAD_PICTURES = {
    "empty": (b"", "empty"),
    "text": (b"I am no picture", "is not a picture"),
    "cut": (PICTURE[: len(PICTURE) // 2], "cannot be decoded"),
    "bomb": (black_png(20_000), "pixels"),
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
