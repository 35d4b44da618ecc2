"""What replies mean: each status is one kind of failure, and what is said of it is one short line."""

from __future__ import annotations

import json

import pytest

from ondevice.errors import FailureKind, UpstreamError
from ondevice.protocol import replies


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, "rejected"),
        (401, "denied"),
        (403, "denied"),
        (404, "missing"),
        (405, "wrong"),
        (408, "wrong"),
        (413, "rejected"),
        (415, "rejected"),
        (422, "rejected"),
        (429, "busy"),
        (500, "wrong"),
        (503, "busy"),
        (204, "wrong"),
        (302, "wrong"),
        (999, "wrong"),
    ],
)
def test_a_status_is_one_kind_of_failure(status: int, kind: str) -> None:
    failure = replies.refusal("it", status, b"").failure
    assert failure is FailureKind(kind)
    assert failure == kind


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b'{"error": "no such model"}', "host:1 answers 404: no such model"),
        (b'{"error": "no\\nsuch \\u001b[31mmodel"}', "host:1 answers 404: no such  [31mmodel"),
        (json.dumps({"error": "x" * 1000}).encode(), f"host:1 answers 404: {'x' * 200}"),
        (b'{"error": {"code": 5}}', "host:1 answers 404"),
        (b'{"message": "no"}', "host:1 answers 404"),
        (b"[]", "host:1 answers 404"),
        (b"7", "host:1 answers 404"),
        (b"<h1>Not Found</h1>", "host:1 answers 404"),
        (b"\xff", "host:1 answers 404"),
        (b"[" * 100_000, "host:1 answers 404"),
        (b"", "host:1 answers 404"),
    ],
)
def test_what_it_says_instead_is_repeated_in_one_short_line(body: bytes, said: str) -> None:
    assert str(replies.refusal("host:1", 404, body)) == said


def test_json() -> None:
    assert replies.parsed(b'{"a": [1, NaN]}')["a"][0] == 1


@pytest.mark.parametrize("body", [b"", b"<html>", b"\xff", b"{", b"[" * 100_000, b"1" * 5000])
def test_what_is_not_json(body: bytes) -> None:
    with pytest.raises(UpstreamError, match="is not JSON") as caught:
        replies.parsed(body)
    assert caught.value.failure is FailureKind.WRONG
