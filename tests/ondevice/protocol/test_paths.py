"""Paths: whatever a model is called, it is one part of one."""

from __future__ import annotations

import pytest

from ondevice.protocol import paths


@pytest.mark.parametrize(
    ("typed", "path"),
    [
        ("", ""),
        ("/", ""),
        ("/v2", ""),
        ("/v2/", ""),
        ("/a/v2", "/a"),
        ("/av2", "/av2"),
        ("/v2/a", "/v2/a"),
        ("/a/b/", "/a/b"),
        ("/a b%20c", "/a%20b%20c"),
        ("/ä", "/%C3%A4"),
        ("/a?b#c", "/a%3Fb%23c"),
    ],
)
def test_what_stands_before_the_protocols_own(typed: str, path: str) -> None:
    assert paths.prefix(typed) == path


@pytest.mark.parametrize(
    ("name", "version", "path"),
    [
        ("m", None, "/v2/models/m"),
        ("a/b", "1", "/v2/models/a%2Fb/versions/1"),
        ("100%", "ü 1", "/v2/models/100%25/versions/%C3%BC%201"),
    ],
)
def test_a_models(name: str, version: str | None, path: str) -> None:
    assert paths.of_model(name, version) == path
