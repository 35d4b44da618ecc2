"""What a head must keep to."""

from __future__ import annotations

import pytest

from ondevice.cloud.http import framing


def said(head: str, http_1_1: bool = True) -> tuple[dict[str, str], int | None]:
    """The headers, and the status with which the head is refused."""
    fields = [(name.encode(), value.encode()) for name, _, value in (line.partition(": ") for line in head.split("|"))]
    made = framing.headers(fields)
    fault = framing.fault(fields, made, http_1_1)
    return made, fault and fault.status


def test_names_are_in_lower_case_and_blanks_behind_values_are_gone() -> None:
    assert said("HOST: x \t|X-Y: a b\xa0")[0] == {"host": "x", "x-y": "a b\xc2\xa0"}


def test_what_stands_twice_is_a_list() -> None:
    made, status = said("Host: x|Accept: a|accept: b, c|Transfer-Encoding: gzip|Transfer-Encoding: chunked")
    assert (made["accept"], made["transfer-encoding"]) == ("a, b, c", "gzip, chunked")
    assert status == 501


@pytest.mark.parametrize("name", ["Host", "Authorization", "Content-Encoding", "Content-Type"])
@pytest.mark.parametrize("other", ["x", "y"])
def test_what_may_stand_once_is_refused_twice_though_both_are_one(name: str, other: str) -> None:
    assert said(f"Host: a|{name}: x|{name.lower()}: {other}"[8 if name == "Host" else 0 :])[1] == 400


@pytest.mark.parametrize(
    "host", ["x", "x:80", "x:", "127.0.0.1:8000", "[::1]:8000", "my_host.example", "xn--bcher-kva.de", "%41", ""]
)
def test_these_are_hosts(host: str) -> None:
    assert said(f"Host: {host}")[1] is None


@pytest.mark.parametrize(
    "host",
    ["a b", "a, b", "a/b", "http://a", "a@b", "a:b", "a:80:80", "::1", "[::1", "a\x00", "b\u00fccher", "a?", "a#"],
)
def test_these_are_not(host: str) -> None:
    assert said(f"Host: {host}")[1] == 400


@pytest.mark.parametrize(
    ("head", "http_1_1", "status"),
    [
        ("X: y", True, 400),
        ("X: y", False, None),
        ("Host: x|Transfer-Encoding: Chunked", True, None),
        ("Host: x|Transfer-Encoding: chunked", False, 400),
        ("Host: x|Transfer-Encoding: gzip, chunked", True, 501),
        ("Host: x|Transfer-Encoding: chunked, chunked", True, 501),
        ("Host: x|Transfer-Encoding: identity", True, 501),
        ("Host: x|Transfer-Encoding: ", True, 501),
    ],
)
def test_host_and_transfer_encoding_are_those_of_the_version(head: str, http_1_1: bool, status: int | None) -> None:
    assert said(head, http_1_1)[1] == status
