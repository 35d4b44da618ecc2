"""What every platform shows: cores, bits, the kernel's architecture."""

from __future__ import annotations

import os
import struct
import sys

import pytest

from ondevice.host import system


def test_usable_cores_without_affinity(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "sched_getaffinity")
    assert system.usable_cores() == os.cpu_count()


def test_bits_are_the_pointers() -> None:
    assert system.bits() == (64 if sys.maxsize > 2**32 else 32)


@pytest.mark.parametrize(
    ("machine", "pointer", "mixed"),
    [
        ("aarch64", 8, False),
        ("aarch64", 4, True),
        ("armv8l", 4, True),
        ("armv7l", 4, False),
        ("x86_64", 4, True),
        ("i686", 4, False),
    ],
)
def test_a_32_bit_system_on_a_64_bit_kernel(
    machine: str, pointer: int, mixed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "uname", lambda: os.uname_result(("Linux", "pi", "6.12.25", "#1", machine)))
    monkeypatch.setattr(struct, "calcsize", lambda layout: pointer)
    assert system.mixed_bits() is mixed
