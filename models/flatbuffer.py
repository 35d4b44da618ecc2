"""FlatBuffers, read without their schema (https://flatbuffers.dev/internals): tables, vectors and numbers by field.

Offsets may lead anywhere, also a million times to the same place, so each is checked and what is read is counted:
however a file is made, no more than an allowance is read of it. The package `flatbuffers` does not count.
"""

from __future__ import annotations

import mmap
import struct

# NASNet mobile, with 941 tensors and 567 operators, takes 0.35 MB as counted here. Twenty times that is read in about a
# second of a PC's time, into 30 MB of memory.
_ALLOWANCE_BYTES = 8 * 1024 * 1024
# Reading a table costs about as much as this many bytes of a vector, in time and in memory.
_TABLE_BYTES = 64
_KINDS = {kind: struct.Struct(f"<{kind}") for kind in "bBHiIfqQ"}


class PastEndError(struct.error):
    """The buffer refers to what would lie behind its end, as one does that was cut off."""


class FlatBuffer:
    """Bytes, and how much of them may still be read. Raises struct.error for reads outside of them, or over that."""

    def __init__(self, data: bytes | mmap.mmap) -> None:
        self._data, self._left = data, _ALLOWANCE_BYTES
        self.size = len(data)

    def root(self) -> FlatTable:
        """The table that the buffer begins with."""
        return FlatTable(self, self.one("I", 0))

    def one(self, kind: str, at: int) -> int:
        """The whole number at an offset, of the kind that `struct` calls `kind`."""
        form = _KINDS[kind]
        self._check(at, form.size)
        return int(form.unpack_from(self._data, at)[0])

    def many(self, kind: str, at: int, count: int) -> tuple[int | float, ...]:
        """`count` numbers from an offset."""
        length = count * _KINDS[kind].size
        self._check(at, length)
        self.spend(length)
        return struct.unpack_from(f"<{count}{kind}", self._data, at)

    def content(self, at: int, count: int) -> bytes:
        """`count` bytes from an offset."""
        self._check(at, count)
        self.spend(count)
        return self._data[at : at + count]

    def _check(self, at: int, length: int) -> None:
        if at < 0:
            raise struct.error("an offset leads out of the file")
        if at > self.size - length:
            raise PastEndError(f"it ends after {self.size} bytes, and refers to more")

    def spend(self, count: int) -> None:
        """Take `count` bytes off the allowance."""
        self._left -= count
        if self._left < 0:
            raise struct.error(f"there is more than {_ALLOWANCE_BYTES / 1e6:.0f} MB of tables and names")


class FlatTable:
    """A table in a FlatBuffer. Reads outside of it raise struct.error; a missing field reads as nothing."""

    def __init__(self, buffer: FlatBuffer, at: int) -> None:
        buffer.spend(_TABLE_BYTES)
        self._buffer, self._at = buffer, at
        self._vtable = at - buffer.one("i", at)
        self._vtable_bytes = buffer.one("H", self._vtable)

    def number(self, field: int, kind: str, default: int = 0) -> int:
        """A whole number, of the kind that `struct` calls `kind`; the schema has the default."""
        at = self._field(field)
        return self._buffer.one(kind, at) if at else default

    def table(self, field: int) -> FlatTable | None:
        """The table that a field refers to."""
        at = self._field(field)
        return FlatTable(self._buffer, at + self._buffer.one("I", at)) if at else None

    def tables(self, field: int) -> list[FlatTable]:
        """The tables of a vector."""
        start, count = self._vector(field, "I")
        offsets = self._buffer.many("I", start, count)
        return [FlatTable(self._buffer, start + 4 * i + int(offset)) for i, offset in enumerate(offsets)]

    def length(self, field: int, kind: str = "B") -> int:
        """How many numbers of this kind a vector has, all of them in the file."""
        return self._vector(field, kind)[1]

    def content(self, field: int, most: int | None = None) -> bytes:
        """The bytes of a vector or a string, at most the first `most`."""
        start, count = self._vector(field, "B")
        return self._buffer.content(start, count if most is None else min(count, most))

    def floats(self, field: int, most: int) -> tuple[float, ...]:
        """The numbers of a vector of floats, at most the first `most`."""
        start, count = self._vector(field, "f")
        return self._buffer.many("f", start, min(count, most))

    def integers(self, field: int, kind: str = "i", most: int | None = None) -> tuple[int, ...]:
        """The numbers of a vector of whole numbers, at most the first `most`."""
        start, count = self._vector(field, kind)
        return tuple(map(int, self._buffer.many(kind, start, count if most is None else min(count, most))))

    def _vector(self, field: int, kind: str) -> tuple[int, int]:
        """Where a vector's content starts, and how many numbers it has."""
        at = self._field(field)
        if not at:
            return 0, 0
        start = at + self._buffer.one("I", at)
        count = self._buffer.one("I", start)
        if start + 4 + count * _KINDS[kind].size > self._buffer.size:
            raise PastEndError(f"it ends after {self._buffer.size} bytes, in the middle of a list")
        return start + 4, count

    def _field(self, field: int) -> int:
        """Where a field stands, 0 for one that is missing."""
        slot = 4 + 2 * field
        if slot >= self._vtable_bytes:
            return 0
        offset = self._buffer.one("H", self._vtable + slot)
        return self._at + offset if offset else 0
