"""Reading replies: what a good endpoint says, and that anything else is one failure."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from good_endpoint import INFER_MS, TOP1, answer
from hypothesis import event, given, settings
from junk import ANYTHING, spoiled
from manners import NONSENSE

from ondevice.answer import Prediction
from ondevice.client.connection.messages import HttpReply, ReplyHeaders
from ondevice.client.endpoint import reply as replies
from ondevice.errors import UpstreamError
from ondevice.protocol.response import encode_response
from ondevice.protocol.tensor import Tensor


def replied(body: bytes, **headers: str) -> HttpReply:
    """headers: their names with _ for -."""
    return HttpReply(ReplyHeaders((name.replace("_", "-"), value) for name, value in headers.items()), body)


def said(value: Mapping[str, Any], **headers: str) -> replies.ParsedReply:
    return replies.read(replied(json.dumps(value).encode(), **headers))


def as_json(value: Any) -> bytes:
    return json.dumps(value).encode()


def test_a_good_answer() -> None:
    found = said(answer(index=3))
    assert found.top == (Prediction(3, "that", 0.75), Prediction(1, "other", 0.25))
    assert (found.model, found.top1) == ("one", TOP1)
    assert (found.queue_ms, found.decode_ms, found.infer_ms) == (0.5, 0.5, INFER_MS)
    assert (found.server_ms, found.upload_ms) == (INFER_MS + 1, None)


def test_a_good_answer_in_binary() -> None:
    outputs = [
        Tensor.of("label", ["Ångström".encode(), b"\xff"]),
        Tensor.of("score", np.array([0.5, 0.25], np.float16)),
        Tensor.of("index", np.array([2**40, 0], np.uint64)),
    ]
    body, length = encode_response("m", None, outputs, binary=("label", "score", "index"))
    found = replies.read(replied(body, Inference_Header_Content_Length=str(length)))
    assert found.top == (Prediction(2**40, "Ångström", 0.5), Prediction(0, "\N{REPLACEMENT CHARACTER}", 0.25))
    assert (found.model, found.top1, found.server_ms) == ("m", None, None)


@pytest.mark.parametrize("length", ["", "5", "-1", "1e3", "9" * 30, "100000", "²"])
def test_a_header_length_that_is_wrong(length: str) -> None:
    with pytest.raises(UpstreamError, match="not valid OIP"):
        replies.read(replied(as_json(answer()), Inference_Header_Content_Length=length))


def test_the_header_s_times_come_before_the_reply_s() -> None:
    timing = "queue;dur=1.5, decode;dur=2, infer;dur=30.25, upload;dur=40, total;dur=50"
    found = said(answer(), Server_Timing=timing)
    assert (found.queue_ms, found.decode_ms, found.infer_ms) == (1.5, 2, 30.25)
    assert (found.server_ms, found.upload_ms) == (50, 40)
    found = said(answer(), Server_Timing="upload;dur=7")
    assert (found.queue_ms, found.infer_ms, found.server_ms, found.upload_ms) == (0.5, INFER_MS, 6, 7)


@pytest.mark.parametrize(
    ("header", "times"),
    [
        ("", {}),
        ("miss", {}),
        ('cache;desc="hit", db;dur=3', {"db": 3}),
        ("a;dur=1,b;dur=0.25", {"a": 1, "b": 0.25}),
        ("a;dur=1.2.3, b;dur=2", {"b": 2}),
        ("a;dur=., b;dur=-5, c;dur=nan, d;dur=inf, e;dur=1e9", {"e": 1}),
        ("a;dur=99999999999999999999", {"a": 1e9}),
        ("," * 2000 + "a;dur=1", {}),
    ],
)
def test_server_timing(header: str, times: dict[str, float]) -> None:
    assert replies.timing(replied(b"", Server_Timing=header)) == times


@pytest.mark.parametrize("body", NONSENSE.values(), ids=list(NONSENSE))
def test_what_is_no_answer_is_a_failure_in_one_line(body: bytes) -> None:
    with pytest.raises(UpstreamError) as caught:
        replies.read(replied(body))
    assert caught.value.failure == "wrong"
    assert "\n" not in str(caught.value)


def nonsense(value: Any) -> bool:
    """Whether it is neither a name nor a time nor an accuracy."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return not isinstance(value, str) and not (number and 0 <= value <= 1e9)


@given(ANYTHING.filter(nonsense))
def test_parameters_that_are_nonsense_are_as_if_left_out(value: Any) -> None:
    parameters = dict.fromkeys(("expected_top1", "queue_ms", "decode_ms", "infer_ms", "selected_model"), value)
    found = said(answer() | {"parameters": parameters})
    assert found.top[0].index == 7
    assert (found.model, found.top1, found.server_ms) == ("cnnselect", None, None)
    assert (found.queue_ms, found.decode_ms, found.infer_ms) == (0, 0, 0)


def taken(changed: dict[str, Any]) -> replies.ParsedReply | UpstreamError:
    try:
        return replies.read(replied(as_json(changed)))
    except UpstreamError as error:
        return error


@given(spoiled(answer()))
@settings(max_examples=200)
def test_whatever_is_wrong_with_an_answer_is_a_failure_or_leaves_an_answer(changed: dict[str, Any]) -> None:
    found = taken(changed)
    event(type(found).__name__)
    if isinstance(found, UpstreamError):
        assert found.failure == "wrong"
        assert "\n" not in str(found)
    else:
        assert found.top
        assert all(math.isfinite(prediction.score) and prediction.index >= 0 for prediction in found.top)
        assert all(0 <= ms <= 1e9 for ms in (found.queue_ms, found.decode_ms, found.infer_ms))


def test_bytes_cut_and_changed() -> None:
    body, rng = as_json(answer()), np.random.default_rng(0)
    failures = 0
    for _ in range(2000):
        changed = bytearray(body)
        for at in rng.integers(len(body), size=rng.integers(1, 4)).tolist():
            changed[at] = rng.integers(256)
        try:
            assert replies.read(replied(bytes(changed[: rng.integers(len(body) * 2)]))).top
        except UpstreamError:
            failures += 1
    assert 500 < failures < 2000
