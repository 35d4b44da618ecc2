"""Protocol Buffers, read without their schema (https://protobuf.dev/programming-guides/encoding/): which fields there
are at the top of a message, and how long each is. Contents are passed over, not read.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import IO, NamedTuple

# The wire types whose length is known: a number, 8 bytes, bytes with their length before them, 4 bytes.
VARINT, EIGHT, BYTES, FOUR = 0, 1, 2, 5
# A varint has 7 bits in each byte and 64 bits at most.
_LONGEST_VARINT_BYTES = 10
# Every format that is told apart here shows itself in its first fields; a graph has one a layer.
_MOST_FIELDS = 64


class Field(NamedTuple):
    """A field at the top of a message: its number, its wire type, and its value where it is a varint, else 0."""

    number: int
    wire: int
    value: int


def fields(file: IO[bytes], size: int) -> tuple[Field, ...]:
    """The first fields of the message that a file of `size` bytes is; empty where it is not one.

    The last may be longer than the file, as in one that was cut off.
    """
    file.seek(0)
    try:
        return tuple(_fields(file, size))
    except ValueError:
        return ()


def _fields(file: IO[bytes], size: int) -> Iterator[Field]:
    for _ in range(_MOST_FIELDS):
        if file.tell() >= size:
            return
        key = _varint(file)
        number, wire = key >> 3, key & 7
        if not number or wire not in (VARINT, EIGHT, BYTES, FOUR):
            raise ValueError("not a message")
        value = _varint(file) if wire in (VARINT, BYTES) else 0
        yield Field(number, wire, value if wire == VARINT else 0)
        # No file is longer: what claims to be would not be sought.
        file.seek(min(size, file.tell() + {BYTES: value, EIGHT: 8, FOUR: 4}.get(wire, 0)))


def _varint(file: IO[bytes]) -> int:
    value = 0
    for place in range(_LONGEST_VARINT_BYTES):
        byte = file.read(1)
        if not byte:
            break
        value |= (byte[0] & 0x7F) << (7 * place)
        if byte[0] < 0x80:
            return value
    raise ValueError("not a number")
