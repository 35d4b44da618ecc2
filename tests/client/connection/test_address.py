"""What is given to reach a server: its address and a token."""

from __future__ import annotations

import pytest

from ondevice.client.connection import address as addresses
from ondevice.client.connection.address import ServerAddress
from ondevice.errors import UsageError


def said_by(url: str) -> str:
    with pytest.raises(UsageError) as caught:
        ServerAddress.parse(url)
    return str(caught.value)


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("http://localhost:8000", ("http", "localhost", 8000, "")),
        ("http://localhost", ("http", "localhost", 80, "")),
        ("https://Example.org/", ("https", "example.org", 443, "")),
        ("https://example.org:8443/vision/", ("https", "example.org", 8443, "/vision")),
        ("http://localhost:8000/v2", ("http", "localhost", 8000, "")),
        ("https://example.org/vision/v2/", ("https", "example.org", 443, "/vision")),
        ("http://10.0.0.7:1/a/b", ("http", "10.0.0.7", 1, "/a/b")),
        ("http://[::1]:8000", ("http", "::1", 8000, "")),
        ("http://localhost/my models/ä%20", ("http", "localhost", 80, "/my%20models/%C3%A4%20")),
    ],
)
def test_an_address(url: str, address: tuple[str, str, int, str]) -> None:
    assert ServerAddress.parse(url) == (*address, "")


def test_the_host_header() -> None:
    assert ServerAddress.parse("http://localhost").host_header == "localhost"
    assert ServerAddress.parse("https://localhost:443/a").host_header == "localhost"
    assert ServerAddress.parse("https://localhost:80").host_header == "localhost:80"
    assert ServerAddress.parse("http://[fe80::1]:8000").host_header == "[fe80::1]:8000"


@pytest.mark.parametrize(
    ("asked", "name"), [("model.example.com", "model.example.com"), ("a_b:81", "a_b"), ("[::1]:8", "::1")]
)
def test_a_host_of_its_own_is_what_is_asked_for_and_whose_certificate_is_wanted(asked: str, name: str) -> None:
    address = ServerAddress.parse("https://10.0.0.1:8443/a", asked)
    assert (address.host_header, address.tls_name, address.where) == (asked, name, "10.0.0.1:8443")


@pytest.mark.parametrize("asked", ["", "a b", "a/b", "http://a", "a:b", "a\r\nX: y", "ä", "a:1:2", "a:123456"])
def test_what_is_not_a_host_is_one_line(asked: str) -> None:
    with pytest.raises(UsageError, match="is not a Host: give NAME or NAME:PORT") as caught:
        ServerAddress.parse("http://10.0.0.1", asked)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("http://a:8000/v2/models/cnnselect/infer", "is one address of a server; give what stands before its /v2"),
        ("http://a/b/v2/health/ready", "give what stands before its /v2"),
        ("localhost:8000", "no scheme; did you mean http://localhost:8000"),
        ("", "did you mean http://localhost:8000"),
        ("ftp://localhost", "give http"),
        ("http://", "give http"),
        ("http://:8000", "give http"),
        ("http://localhost:port", "is not a URL"),
        ("http://localhost:99999", "is not a URL"),
        ("http://localhost:-1", "is not a URL"),
        ("http://[::1", "is not a URL"),
        ("http://a..b", "is not a URL"),
        (f"http://{'a' * 64}.org", "is not a URL"),
        ("http://localhost?token=secret", "give http"),
        ("http://localhost#top", "give http"),
        ("http://me:secret@localhost", "give a bearer token instead"),
        ("http://me@localhost", "give a bearer token instead"),
    ],
)
def test_what_is_no_address_is_one_line_that_says_what_to_give(url: str, said: str) -> None:
    shown = said_by(url)
    assert said in shown
    assert "\n" not in shown
    if "me:" in url:
        assert "secret" not in shown


@pytest.mark.parametrize(
    ("token", "sent"), [(None, None), ("", None), (" \n", None), ("abc", "abc"), ("a.b-c=\r\n", "a.b-c=")]
)
def test_the_line_break_that_a_file_ends_in_is_no_part_of_the_token(token: str | None, sent: str | None) -> None:
    assert addresses.bearer(token) == sent


@pytest.mark.parametrize("token", ["a\r\nX-More: yes", "a\nb", "a\tb", "grün", "\ud800", "a\0"])
def test_what_is_no_token_is_not_shown(token: str) -> None:
    with pytest.raises(UsageError, match="token holds other characters") as caught:
        addresses.bearer(token)
    assert token not in str(caught.value)
