"""Nothing but ProtocolError comes of messages that are not valid, whatever they hold; nor is one written."""

from __future__ import annotations

import json
import random
import tracemalloc
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from messages import IMAGE, KSERVE_REQUEST, KSERVE_RESPONSE, TRITON_REQUEST, TRITON_RESPONSE, array, body

from ondevice.errors import ProtocolError
from ondevice.protocol.request import decode_request, encode_request
from ondevice.protocol.response import decode_response, encode_response
from ondevice.protocol.tensor import Tensor, from_base64

Read = Callable[[bytes, int | None], Any]
NO_REQUESTS: list[tuple[bytes, str]] = [
    (b"", "the JSON is malformed: Expecting value"),
    (b"{", "the JSON is malformed"),
    (b"[]", "the JSON is not an object"),
    (b"5", "the JSON is not an object"),
    (b'{"inputs":[]} {}', "the JSON is malformed: Extra data"),
    (b"\xef\xbb\xbf{}", "the JSON is malformed"),
    (b'{"id":"\xff"}', "the JSON is not UTF-8 at byte 7"),
    ('{"inputs":[]}'.encode("utf-16"), "not UTF-8"),
    (b'{"inputs":[],"id":"\\ud800"}', "a string in the JSON holds half a surrogate pair"),
    (b'{"inputs":[],"parameters":{"\\uDFFF":1}}', "half a surrogate pair"),
    (b'{"id":"a\nb"}', "the JSON is malformed: Invalid control character"),
    (b"[" * 100_000, "the JSON is nested too deeply"),
    (b'{"a":' * 100_000, "nested too deeply"),
    (b'{"inputs":[],"parameters":{"x":' + b"9" * 5000 + b"}}", "a number has too many digits"),
    (b'{"inputs":[],"parameters":{"x":NaN}}', "NaN is not JSON; the binary extension carries it"),
    (b'{"inputs":[],"parameters":{"x":-Infinity}}', "-Infinity is not JSON"),
    (b'{"inputs":[],"parameters":{"x":1e999}}', "parameter 'x' is inf, not a string, boolean or number of 64 bits"),
    (b'{"inputs":[],"parameters":{"x":18446744073709551616}}', "parameter 'x' is 18446744073709551616, not"),
    (b"{}", "'inputs' is missing"),
    (body(inputs={}), "'inputs' is not a list"),
    (body(inputs=["x"]), "'inputs' holds 'x', which is not an object"),
    (body(inputs=[{}] * 65), "there are 65 inputs; at most 64 are read"),
    (body(inputs=[{}]), "an input has no 'name'"),
    (body(id=5), "'id' is 5, not a string"),
    (body(id=["a"]), "'id' is ['a'], not a string"),
    (body(parameters=[]), "'parameters' is not an object"),
    (body(parameters={"x": None}), "parameter 'x' is None, not a string"),
    (body(parameters={"x": {"a": 1}}), "parameter 'x' is {'a': 1}, not"),
    (body(parameters={"binary_data_output": 1}), "binary_data_output is 1, not true or false"),
    (body(outputs={}), "'outputs' is not a list"),
    (body(outputs=[1]), "'outputs' holds 1, which is not an object"),
    (body(outputs=[{"name": str(n)} for n in range(65)]), "there are 65 outputs; at most 64 are read"),
    (body(outputs=[{"name": "o"}, {"name": "o"}]), "two outputs are named 'o'"),
    (body(outputs=[{"name": ""}]), "an output has no 'name'"),
    (body(outputs=[{"name": "o", "parameters": 1}]), "output 'o': 'parameters' is not an object"),
    (body(outputs=[{"name": "o", "parameters": {"binary_data": "yes"}}]), "output 'o': binary_data is 'yes', not true"),
    (body(outputs=[{"name": "o", "parameters": {"classification": -1}}]), "output 'o': classification is -1, not a"),
    (body(outputs=[{"name": "o", "parameters": {"classification": True}}]), "classification is True"),
    (body(outputs=[{"name": "o", "parameters": {"classification": 2**40}}]), "classification is 1099511627776"),
    (body(outputs=[{"name": "o", "parameters": {"shared_memory_region": "r"}}]), "output 'o': shared memory is not"),
    (body(tensor={"name": None}), "an input has no 'name'"),
    (body(tensor={"name": 5}), "'name' is 5, not a string"),
    (body(tensor={"datatype": None}), "input 'x': 'datatype' is missing; give one of BOOL"),
    (body(tensor={"datatype": "BF16"}), "input 'x': 'datatype' is 'BF16', which the protocol does not have"),
    (body(tensor={"shape": None}), "input 'x': 'shape' is missing"),
    (body(tensor={"shape": [-2]}), "input 'x': 'shape' holds -2, which is not a size"),
    (body(tensor={"data": None}), "input 'x': none of 'data' and 'binary_data_size' given"),
    (body(tensor={"data": [1]}), "input 'x': there are 1 data, shape [2] takes 2"),
    (body(tensor={"parameters": "p"}), "input 'x': 'parameters' is not an object"),
    (body(tensor={"parameters": {"shared_memory_region": "r"}}), "input 'x': shared memory is not supported"),
    (body(tensor={"parameters": {"binary_data_size": 2}}), "input 'x': both of 'data' and 'binary_data_size' given"),
    (body(tensor={"data": None, "parameters": {"binary_data_size": 2}}), "binary_data_size is 2, 0 bytes are left; is"),
    (
        body(tensor={"data": None, "parameters": {"binary_data_size": -1}}),
        "binary_data_size is -1, not a number of bytes",
    ),
    (body(tensor={"data": None, "parameters": {"binary_data_size": True}}), "binary_data_size is True, not a number"),
    (body(tensor={"data": None, "parameters": {"binary_data_size": 2.0}}), "binary_data_size is 2.0, not a number"),
    (body(inputs=[{"name": "x", "datatype": "INT8", "shape": [0], "data": []}] * 2), "two inputs are named 'x'"),
    (body(tensor={"name": "n" * 10_000, "shape": [3]}), "there are 2 data, shape [3] takes 3"),
]


def check_text(text: str) -> str:
    assert "\n" not in text
    assert 10 < len(text) < 300
    return "refused"


def refusal(read: Read, message: bytes, length: int | None) -> str:
    """The one line with which a message is refused."""
    with pytest.raises(ProtocolError) as caught:
        read(message, length)
    check_text(str(caught.value))
    return str(caught.value)


@pytest.mark.parametrize(("message", "why"), NO_REQUESTS, ids=range(len(NO_REQUESTS)))
def test_what_is_no_request(message: bytes, why: str) -> None:
    assert why in refusal(decode_request, message, None)


@pytest.mark.parametrize("length", [-1, len(TRITON_REQUEST.body) + 1, 10**30])
def test_a_header_length_that_is_not_within_the_body(length: int) -> None:
    text = refusal(decode_request, TRITON_REQUEST.body, length)
    assert text == f"Inference-Header-Content-Length is {length}, the body has {len(TRITON_REQUEST.body)} bytes"


def test_binary_data_too_few_or_too_many() -> None:
    message, length = TRITON_REQUEST
    assert "binary_data_size is 3, 2 bytes are left" in refusal(decode_request, message[:-1], length)
    assert "1 bytes follow the last tensor" in refusal(decode_request, message + b"\0", length)
    assert "the JSON is malformed: Extra data" in refusal(decode_request, message, None)
    wrong = message.replace(b'"binary_data_size" : 16', b'"binary_data_size" : 15')
    assert "input 'input0': binary_data_size is 15, UINT32 [2, 2] takes 16 bytes" in refusal(
        decode_request, wrong, length
    )


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"model_name": None}, "'model_name' is missing"),
        ({"model_name": 1}, "'model_name' is 1, not a string"),
        ({"model_version": 1}, "'model_version' is 1, not a string"),
        ({"id": 1}, "'id' is 1, not a string"),
        ({"outputs": None}, "'outputs' is missing"),
        ({"outputs": [{"name": "o"}]}, "output 'o': 'datatype' is missing"),
        ({"parameters": 1}, "'parameters' is not an object"),
        ({"outputs": [{"name": "o", "datatype": "INT8", "shape": [1], "data": [None]}]}, "output 'o': there are nulls"),
    ],
)
def test_what_is_no_response(changes: dict[str, Any], why: str) -> None:
    assert why in refusal(decode_response, json.dumps({**json.loads(KSERVE_RESPONSE.body), **changes}).encode(), None)


def test_an_error_is_no_response() -> None:
    assert refusal(decode_response, b'{"error": "unknown model"}', None) == "'model_name' is missing"


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), b"bytes", np.float32(1), {1, 2}])
def test_what_json_cannot_say_is_not_written(bad: Any) -> None:
    with pytest.raises(ProtocolError, match="cannot be written in JSON: "):
        encode_request([], parameters={"x": bad}, binary=False)
    with pytest.raises(ProtocolError, match="cannot be written in JSON: "):
        encode_response("m", "1", [], parameters={"x": bad})


def test_nan_goes_into_a_request_in_binary_alone() -> None:
    tensor = Tensor.of("x", np.float32([np.nan]))
    assert np.isnan(array(decode_request(*encode_request([tensor], binary=True)).inputs[0])).all()
    with pytest.raises(ProtocolError, match="JSON has no NaN and no infinities: send tensor 'x' in binary"):
        encode_request([tensor], binary=False)


@pytest.mark.parametrize(
    "element", [b"/9g=/9g=", b"/9g ", b"/9g*", b"/", b"/9g=A", b"\xff\xd8\xff\xe0", b"data:", b"data:,/9g="]
)
def test_what_is_no_base64(element: bytes) -> None:
    with pytest.raises(ProtocolError, match="is not base64: "):
        from_base64(element)


def test_a_shape_alone_takes_no_memory() -> None:
    huge = [
        {"name": "x", "datatype": datatype, "shape": [2**31 - 1], **rest}
        for datatype in ("FP64", "BYTES", "BOOL")
        for rest in ({"data": [[]]}, {"data": []}, {"parameters": {"binary_data_size": 0}})
    ]
    messages = [body(inputs=[tensor]) for tensor in huge]
    tracemalloc.start()
    try:
        for message in messages:
            refusal(decode_request, message, len(message))
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


GOLDEN: list[tuple[Read, bytes, int | None]] = [
    (decode_request, *KSERVE_REQUEST),
    (decode_request, *TRITON_REQUEST),
    (decode_request, *IMAGE),
    (decode_response, *KSERVE_RESPONSE),
    (decode_response, *TRITON_RESPONSE),
]
HOSTILE: list[Any] = [
    None, True, False, 0, 1, -1, 3, 24, 2**31, 2**63, 2**64, -(2**63) - 1, 10**400, 0.5, 1e300, "", "x", "\ud800",
    "FP16", "BYTES", "BOOL", "UINT64", "\0", [], {}, [[]], [[[]]], [1, [2]], [None], [{}], {"binary_data_size": 8},
    [1] * 9, [0, 5], {"name": "x"}, [{"name": "x"}], float("nan"), float("-inf"),
]  # fmt: skip


def outcome(read: Read, message: bytes, length: int | None) -> str:
    """What becomes of a message that may be none; anything but an answer or ProtocolError fails the test."""
    try:
        read(message, length)
    except ProtocolError as error:
        return check_text(str(error))
    return "read"


def mutated(message: bytes, rng: random.Random) -> bytes:
    changed = bytearray(message)
    for _ in range(rng.choice([1, 1, 1, 2, 5])):
        at = rng.randrange(len(changed) + 1)
        kind = rng.choice(["flip", "cut", "insert", "remove", "repeat"])
        if kind == "flip" and at < len(changed):
            changed[at] ^= 1 << rng.randrange(8)
        elif kind == "cut":
            del changed[at:]
        elif kind == "insert":
            changed[at:at] = rng.choice(
                [rng.randbytes(1), b"[", b"{", b'"', b"-", b"9", b"e9", b"null", b"\\ud8", b"NaN"]
            )
        elif kind == "remove":
            del changed[at : at + rng.randrange(1, 9)]
        else:
            changed[at:at] = changed[at : at + rng.randrange(1, 99)]
    return bytes(changed)


@pytest.mark.parametrize(("read", "message", "length"), GOLDEN)
def test_mutated_bodies(read: Read, message: bytes, length: int | None) -> None:
    rng = random.Random(5)
    seen: Counter[str] = Counter()
    for _ in range(1500):
        if length is None or rng.random() < 0.3:
            seen[outcome(read, mutated(message, rng), length)] += 1
        else:
            head, tail = message[:length], message[length:]
            head, tail = (mutated(head, rng), tail) if rng.random() < 0.5 else (head, mutated(tail, rng))
            seen[outcome(read, head + tail, len(head))] += 1
    assert min(seen["read"], seen["refused"]) > 50


def places(value: Any) -> list[tuple[Any, Any]]:
    """Every place in a JSON value, as a container and a key or index in it."""
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [place for key, inner in pairs for place in [(value, key), *places(inner)]]


@pytest.mark.parametrize(("read", "message", "length"), GOLDEN)
def test_hostile_values_in_every_place(read: Read, message: bytes, length: int | None) -> None:
    tail = b"" if length is None else message[length:]
    seen: Counter[str] = Counter()
    for number in range(len(places(json.loads(message[:length])))):
        for hostile in HOSTILE:
            changed = json.loads(message[:length])
            container, key = places(changed)[number]
            container[key] = hostile
            head = json.dumps(changed).encode()
            seen[outcome(read, head + tail, None if length is None else len(head))] += 1
    assert min(seen["read"], seen["refused"]) > 20
