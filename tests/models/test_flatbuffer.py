"""FlatBuffers by hand: fields that are there, that are missing, and that lead out of the file."""

from __future__ import annotations

import struct

import pytest

from ondevice.models.flatbuffer import FlatTable

# A root at 12; its vtable at 4 with two fields: a number at +4, and a string at +8 that lies 8 bytes further.
NUMBER, TEXT, ABSENT = 0, 1, 2
BUFFER = (
    struct.pack("<I", 12)
    + struct.pack("<HHHH", 8, 12, 4, 8)
    + struct.pack("<iII", 8, 77, 4)
    + struct.pack("<I", 5)
    + b"hello"
)


def test_fields_are_found_through_the_vtable() -> None:
    table = FlatTable.root(BUFFER)
    assert table.number(NUMBER, "I") == 77
    assert table.content(TEXT) == b"hello"


def test_a_missing_field_reads_as_nothing() -> None:
    table = FlatTable.root(BUFFER)
    assert (table.number(ABSENT, "I"), table.content(ABSENT), table.tables(ABSENT), table.floats(ABSENT)) == (
        0, b"", [], ()
    )  # fmt: skip


@pytest.mark.parametrize("length", range(len(BUFFER)))
def test_a_buffer_that_is_cut_short_is_a_struct_error_or_nothing(length: int) -> None:
    cut = BUFFER[:length]
    try:
        table = FlatTable.root(cut)
        found = table.number(NUMBER, "I"), table.content(TEXT)
    except struct.error:
        return
    assert found[1] in (b"", b"hello")


def test_a_vector_longer_than_the_file_is_refused() -> None:
    huge = BUFFER[:-9] + struct.pack("<I", 2**31) + b"hello"
    with pytest.raises(struct.error):
        FlatTable.root(huge).tables(TEXT)
