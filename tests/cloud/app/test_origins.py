"""Which pages may ask, by their browser's `Origin`."""

from __future__ import annotations

import pytest

from ondevice.cloud.app.origins import AllowedOrigins, is_same
from ondevice.errors import UsageError


@pytest.mark.parametrize(
    ("origin", "host"),
    [
        ("http://127.0.0.1:8000", "127.0.0.1:8000"),
        ("http://localhost:8000", "LOCALHOST:8000"),
        ("https://photos.example.org", "photos.example.org"),  # through a proxy
        ("https://photos.example.org", "photos.example.org:443"),
        ("http://gpu", "gpu:80"),
        ("http://[::1]:8000", "[::1]:8000"),
    ],
)
def test_a_page_of_the_endpoints_own_address_is_the_same(origin: str, host: str) -> None:
    assert is_same(origin, host, False)


@pytest.mark.parametrize(
    ("origin", "host"),
    [
        ("http://localhost:3000", "localhost:8000"),
        ("http://localhost", "localhost:8000"),
        ("http://localhost:8000", "127.0.0.1:8000"),
        ("http://127.0.0.1:80000", "127.0.0.1:8000"),
        ("https://evil.example", "127.0.0.1:8000"),
        ("https://127.0.0.1:8000.evil.example", "127.0.0.1:8000"),
        ("ftp://127.0.0.1:8000", "127.0.0.1:8000"),
        ("http://gpu", "gpu:443"),
        ("127.0.0.1:8000", "127.0.0.1:8000"),
        ("null", "null"),
        ("null", ""),
        ("", ""),
    ],
)
def test_any_other_is_not(origin: str, host: str) -> None:
    assert not is_same(origin, host, False)


def test_where_https_is_spoken_a_page_that_came_without_is_another() -> None:
    assert is_same("https://gpu:8000", "gpu:8000", True)
    assert not is_same("http://gpu:8000", "gpu:8000", True)


def test_origins_are_allowed_as_browsers_write_them() -> None:
    allowed = AllowedOrigins(["https://Photos.example.org:443", "http://localhost:3000", "chrome-extension://abcdef"])
    for origin in ("https://photos.example.org", "http://localhost:3000", "chrome-extension://abcdef"):
        assert allowed.include(origin)
    for origin in (
        "http://photos.example.org",
        "https://photos.example.org:8443",
        "http://localhost:30000",
        "null",
        "",
    ):
        assert not allowed.include(origin)
    assert not allowed.any


def test_none_null_and_all() -> None:
    assert not AllowedOrigins()
    assert not AllowedOrigins().include("null")
    assert AllowedOrigins(["null"]).include("null")
    assert AllowedOrigins(["*"]).include("https://any.example")


@pytest.mark.parametrize(
    "text", ["photos.example.org", "https://a.example/", "https://*.a", "https://u@a", "", "http:"]
)
def test_what_is_not_an_origin_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match=r"takes an origin such as https://photos.example.org, without a path, not"):
        AllowedOrigins([text])
