"""Messages read without their schema: their fields, and that no bytes do harm."""

from __future__ import annotations

import io
import random

import pytest

from ondevice.models import protobuf
from ondevice.models.protobuf import BYTES, EIGHT, FOUR, VARINT, Field, fields


def read(content: bytes) -> tuple[Field, ...]:
    return fields(io.BytesIO(content), len(content))


def test_fields_of_every_wire_type_in_order() -> None:
    content = b"\x08\xac\x02" + b"\x11" + bytes(8) + b"\x1a\x03abc" + b"\x25" + bytes(4) + b"\xc2\x0c\x00"
    assert read(content) == (
        Field(1, VARINT, 300), Field(2, EIGHT, 0), Field(3, BYTES, 0), Field(4, FOUR, 0), Field(200, BYTES, 0)
    )  # fmt: skip


def test_the_last_field_may_be_cut_off() -> None:
    assert read(b"\x08\x01\x12\xff\xff\xff\xff\x0fgraph") == (Field(1, VARINT, 1), Field(2, BYTES, 0))


@pytest.mark.parametrize("content", [b"", b"\x00\x01", b"\x0b\x01", b"\x08", b"\x08" + b"\xff" * 11, b"\x07"])
def test_what_is_not_a_message(content: bytes) -> None:
    assert read(content) == ()


def test_of_a_long_message_the_first_fields_are_read() -> None:
    assert len(read(b"\x08\x01" * 100_000)) == protobuf._MOST_FIELDS


def test_any_bytes_are_a_message_or_none() -> None:
    rng = random.Random(0)
    for _ in range(2000):
        read(rng.randbytes(rng.randrange(40)))
