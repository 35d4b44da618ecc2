"""FlatBuffers, read without their schema (https://flatbuffers.dev/internals): tables, vectors and numbers by field."""

from __future__ import annotations

import struct


class FlatTable:
    """A table in a FlatBuffer. Reads outside the data raise struct.error; a missing field reads as 0 or empty."""

    def __init__(self, buffer: bytes, at: int) -> None:
        self._buffer, self._at = buffer, at

    @classmethod
    def root(cls, buffer: bytes) -> FlatTable:
        """The table that the buffer begins with."""
        return cls(buffer, _unpack("I", buffer, 0))

    def number(self, field: int, kind: str) -> int:
        """A whole number, of the kind that `struct` calls `kind`."""
        at = self._field(field)
        return _unpack(kind, self._buffer, at) if at else 0

    def table(self, field: int) -> FlatTable:
        """The table that a field refers to."""
        at = self._field(field)
        return FlatTable(self._buffer, at + _unpack("I", self._buffer, at))

    def tables(self, field: int) -> list[FlatTable]:
        """The tables of a vector."""
        start, count = self._vector(field)
        if count * 4 > len(self._buffer):
            raise struct.error("a vector longer than the file")
        slots = range(start, start + 4 * count, 4)
        return [FlatTable(self._buffer, slot + _unpack("I", self._buffer, slot)) for slot in slots]

    def content(self, field: int) -> bytes:
        """The bytes of a vector or a string."""
        start, count = self._vector(field)
        return bytes(struct.unpack_from(f"<{count}s", self._buffer, start)[0])

    def floats(self, field: int) -> tuple[float, ...]:
        """The first four floats of a vector: normalization has one, or one a channel."""
        start, count = self._vector(field)
        return struct.unpack_from(f"<{min(count, 4)}f", self._buffer, start)

    def _vector(self, field: int) -> tuple[int, int]:
        at = self._field(field)
        if not at:
            return 0, 0
        start = at + _unpack("I", self._buffer, at)
        return start + 4, _unpack("I", self._buffer, start)

    def _field(self, field: int) -> int:
        vtable = self._at - _unpack("i", self._buffer, self._at)
        slot = 4 + 2 * field
        if vtable < 0 or slot >= _unpack("H", self._buffer, vtable):
            return 0
        offset = _unpack("H", self._buffer, vtable + slot)
        return self._at + offset if offset else 0


def _unpack(kind: str, buffer: bytes, at: int) -> int:
    if at < 0:
        raise struct.error("an offset before the file")
    return int(struct.unpack_from(f"<{kind}", buffer, at)[0])
