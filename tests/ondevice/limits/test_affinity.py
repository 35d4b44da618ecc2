"""Processor numbers as people type them."""

from __future__ import annotations

import pytest

from ondevice.errors import UsageError
from ondevice.limits import affinity


@pytest.mark.parametrize(
    ("text", "cpus"),
    [
        ("0", (0,)),
        ("0,1", (0, 1)),
        ("0-3,6", (0, 1, 2, 3, 6)),
        ("3,1,1-2", (1, 2, 3)),
        (" 2 , 4-4 ", (2, 4)),
        ("99", (99,)),
    ],
)
def test_cpus(text: str, cpus: tuple[int, ...]) -> None:
    assert affinity.parse_cpus(text) == cpus


@pytest.mark.parametrize("text", ["", ",", "0,", "a", "-1", "3-1", "1.5", "0-", "0-9999", "0-99999999", "²", "0;1"])
def test_malformed_cpus(text: str) -> None:
    with pytest.raises(UsageError, match="--cpus takes") as caught:
        affinity.parse_cpus(text)
    assert repr(text) in str(caught.value)
