"""Headers: the length of the JSON, the kind of a body, and a server's own times."""

from __future__ import annotations

import pytest

from ondevice.errors import ProtocolError
from ondevice.protocol import headers


def test_the_length_of_the_json() -> None:
    assert [headers.json_length(text) for text in ("0", "17", "007", "9" * 18, None)] == [0, 17, 7, 10**18 - 1, None]


@pytest.mark.parametrize("text", ["", "-1", "+1", " 1", "1.0", "1e3", "0x10", "1_0", "²", "9" * 19, "9" * 9999])
def test_what_is_not_a_length(text: str) -> None:
    with pytest.raises(ProtocolError, match=r"^Inference-Header-Content-Length is '.{0,40}', not a number of bytes$"):
        headers.json_length(text)


def test_a_body_is_said_to_be_json_or_json_with_binary_data_behind_it() -> None:
    assert headers.of_body(None) == {"Content-Type": "application/json"}
    binary = {"Content-Type": "application/octet-stream", "Inference-Header-Content-Length": "17"}
    assert headers.of_body(17) == binary
    assert headers.json_length(binary[headers.LENGTH]) == 17


def test_a_servers_own_times() -> None:
    text = headers.timing({headers.QUEUE: 0.0, headers.INFER: 12.34567, headers.TOTAL: 1e6})
    assert text == "queue;dur=0.000, infer;dur=12.346, total;dur=1000000.000"
    assert headers.durations_ms(text) == {"queue": 0.0, "infer": 12.346, "total": 1e6}


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", {}),
        ("cache;desc=hit, db;dur=53, app;dur=47.2", {"db": 53.0, "app": 47.2}),
        ("a;dur=1, a;dur=2", {"a": 2.0}),
        ("a;dur=1.2.3, b;dur=., c;dur=4", {"c": 4.0}),
        ("a;dur=-1, b;dur=nan, c;dur=inf, d;dur=1e9", {"d": 1.0}),
        ("x" * 2000 + ";dur=1", {}),
    ],
)
def test_what_is_not_understood_of_them_is_left_out(text: str, found: dict[str, float]) -> None:
    assert headers.durations_ms(text) == found
