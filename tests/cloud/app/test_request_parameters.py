"""The parameters of a request."""

from __future__ import annotations

from typing import Any

import pytest

from ondevice.cloud.app import request_parameters
from ondevice.cloud.select.parameters import RequestParameters
from ondevice.errors import ProtocolError
from ondevice.protocol.rung import Compression, Rung
from ondevice.selection.replies import Replies


def test_nothing_said_is_none() -> None:
    assert request_parameters.from_parameters({}) == RequestParameters(None, None, None, None, 5, 0.0)


def test_all_parameters() -> None:
    given = {"sla_ms": 100, "upload_ms": 20.5, "return_ms": 0, "policy": "greedy", "top": 3, "device_top1": 0.4}
    assert request_parameters.from_parameters(given) == RequestParameters(100.0, 20.5, 0.0, "greedy", 3, 0.4)


def test_tritons_timeout_is_a_deadline_in_microseconds() -> None:
    assert request_parameters.from_parameters({"timeout": 50_000}).sla_ms == 50
    assert request_parameters.from_parameters({"timeout": 50_000, "sla_ms": 80}).sla_ms == 80
    for none in (0, 0.0):
        assert request_parameters.from_parameters({"timeout": none}).sla_ms is None
        assert request_parameters.from_parameters({"timeout": none, "sla_ms": 80}).sla_ms == 80


def test_other_servers_parameters_are_left_alone() -> None:
    assert (
        request_parameters.from_parameters({"priority": 2, "sequence_id": 7, "binary_data_output": True})
        == RequestParameters()
    )


@pytest.mark.parametrize("value", [0, -1, float("nan"), float("inf"), 1e300, True, "100", [100], 10**400])
def test_an_absurd_deadline_is_refused(value: Any) -> None:
    with pytest.raises(ProtocolError, match=r"sla_ms must be a number from 0\.001 to 3\.6e\+06"):
        request_parameters.from_parameters({"sla_ms": value})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("upload_ms", -1),
        ("return_ms", float("nan")),
        ("timeout", -1),
        ("timeout", 0.5),
        ("timeout", False),
        ("device_top1", 1.1),
        ("top", 0),
        ("top", 1.5),
        ("top", True),
        ("top", 1001),
        ("policy", 3),
    ],
)
def test_what_makes_no_sense_is_refused_by_its_name(name: str, value: Any) -> None:
    with pytest.raises(ProtocolError, match=name):
        request_parameters.from_parameters({name: value})


def test_a_query_is_text() -> None:
    assert request_parameters.queried("sla_ms=50&top=1&policy=random") == RequestParameters(
        50.0, None, None, "random", 1
    )
    assert request_parameters.queried("") == RequestParameters()


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("sla=50", "no parameter 'sla'"),
        ("sla_ms=fast", "sla_ms must be a number, not 'fast'"),
        ("sla_ms=nan", "sla_ms must be a number from"),
        ("top=1.5", "top must be a number"),
        ("top=1&top=2", "a parameter stands twice in the query"),
    ],
)
def test_a_query_with_mistakes_is_refused(query: str, said: str) -> None:
    with pytest.raises(ProtocolError, match=said):
        request_parameters.queried(query)


def test_a_question_has_its_parameters_in_the_query_and_in_the_body() -> None:
    assert request_parameters.of_question("", b"") == {}
    assert request_parameters.of_question("top=2", b'{"bytes":7}') == {"top": 2, "bytes": 7}
    for query, body, said in (
        ("", b'{"sla":50}', "no parameter 'sla': there are sla_ms"),
        ("bytes=7", b"", "no parameter 'bytes'"),
        ("top=2", b'{"top":2}', "top: give it in the query or in the body"),
    ):
        with pytest.raises(ProtocolError, match=said):
            request_parameters.of_question(query, body)


def test_the_size_of_a_picture_that_is_not_sent_yet() -> None:
    assert request_parameters.size_bytes({"bytes": 1000}) == 1000
    assert request_parameters.size_bytes({}) == 0
    for bad in (-1, 1.5, True, "x", 1 << 50):
        with pytest.raises(ProtocolError, match="bytes"):
            request_parameters.size_bytes({"bytes": bad})


def test_what_was_learned_of_replies() -> None:
    known = Replies().distribution
    told = request_parameters.queried(f"reply={known.text}").reply
    assert told
    assert told.given(10.0) == pytest.approx(known.given(10.0), rel=1e-3)
    assert request_parameters.from_parameters({}).reply is None
    for wrong in ("1,2,3", "", 5, ["0.5"]):
        with pytest.raises(ProtocolError, match="reply: a slope from 0 to 1"):
            request_parameters.from_parameters({"reply": wrong})


def test_how_many_answers_it_takes() -> None:
    assert request_parameters.from_parameters({}).anytime == 1
    assert request_parameters.from_parameters({"anytime": 2.0}).anytime == 2
    assert request_parameters.queried("anytime=8").anytime == 8
    for wrong in (0, 9, 1.5, True, "2", None):
        with pytest.raises(ProtocolError, match="anytime must be a whole number from 1 to 8"):
            request_parameters.from_parameters({"anytime": wrong})


def test_what_was_done_to_the_picture_before_it_was_sent() -> None:
    assert request_parameters.queried("upload=192,40&cropped=0.875") == RequestParameters(
        upload=Rung(192, 40), cropped=0.875
    )
    given = {"upload": "224,60,webp", "cropped": 1}
    assert request_parameters.from_parameters(given) == RequestParameters(upload=Rung(224, 60, Compression.WEBP))


@pytest.mark.parametrize("wrong", ["", "192", "0,40", "192,96", "192,40,png", 192, None, [192, 40]])
def test_what_is_not_an_upload_is_refused(wrong: Any) -> None:
    with pytest.raises(ProtocolError, match=r"^upload: '.*' is not an upload: give SIDE,QUALITY, such as 192,40"):
        request_parameters.from_parameters({"upload": wrong})


@pytest.mark.parametrize("wrong", [0, 0.009, 1.01, -1, float("nan"), True, "0.875", None])
def test_what_is_not_a_share_of_a_picture_is_refused(wrong: Any) -> None:
    with pytest.raises(ProtocolError, match=r"^cropped must be a number from 0\.01 to 1$"):
        request_parameters.from_parameters({"cropped": wrong})
