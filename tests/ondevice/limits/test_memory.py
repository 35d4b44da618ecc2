"""Sizes of memory as people type them."""

from __future__ import annotations

import pytest

from ondevice.errors import UsageError
from ondevice.limits import memory


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("256MB", 256_000_000),
        ("256M", 256_000_000),
        ("256mb", 256_000_000),
        ("256 MiB", 256 << 20),
        ("1GiB", 1 << 30),
        ("1Gi", 1 << 30),
        ("1.5GB", 1_500_000_000),
        ("64k", 64_000),
        ("2T", 2 * 10**12),
        ("1048576", 1 << 20),
        ("1048576B", 1 << 20),
        ("0", 0),
    ],
)
def test_memory(text: str, size: int) -> None:
    assert memory.parse_memory(text) == size


@pytest.mark.parametrize("text", ["", "MB", "-1MB", "1.MB", "1e9", "256 megabytes", "1PB", "iB", "1iB", "nan"])
def test_malformed_memory(text: str) -> None:
    with pytest.raises(UsageError, match="is not a size"):
        memory.parse_memory(text)
