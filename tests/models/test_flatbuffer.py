"""FlatBuffers by hand: fields that are there, that are missing, and that lead out of the file."""

from __future__ import annotations

import struct

import pytest

from ondevice.models.flatbuffer import FlatBuffer, FlatTable

# A root at 12; its vtable at 4 with two fields: a number at +4, and a string at +8 that lies 8 bytes further.
NUMBER, TEXT, ABSENT = 0, 1, 2
BUFFER = (
    struct.pack("<I", 12)
    + struct.pack("<HHHH", 8, 12, 4, 8)
    + struct.pack("<iII", 8, 77, 4)
    + struct.pack("<I", 5)
    + b"hello"
)


def root(data: bytes) -> FlatTable:
    return FlatBuffer(data).root()


def test_fields_are_found_through_the_vtable() -> None:
    table = root(BUFFER)
    assert table.number(NUMBER, "I") == 77
    assert table.content(TEXT) == b"hello"


def test_a_missing_field_reads_as_nothing() -> None:
    table = root(BUFFER)
    assert (table.number(ABSENT, "I"), table.number(ABSENT, "i", 7), table.table(ABSENT)) == (0, 7, None)
    assert (table.content(ABSENT), table.tables(ABSENT)) == (b"", [])
    assert (table.floats(ABSENT, 4), table.integers(ABSENT), table.length(ABSENT)) == ((), (), 0)


def test_of_a_vector_no_more_than_asked_for() -> None:
    table = root(BUFFER)
    assert (table.content(TEXT, 2), table.integers(TEXT, "B", 3)) == (b"he", tuple(b"hel"))
    assert table.length(TEXT) == 5


@pytest.mark.parametrize("length", range(len(BUFFER)))
def test_a_buffer_that_is_cut_short_is_a_struct_error_or_nothing(length: int) -> None:
    cut = BUFFER[:length]
    try:
        table = root(cut)
        found = table.number(NUMBER, "I"), table.content(TEXT)
    except struct.error:
        return
    assert found[1] in (b"", b"hello")


def test_a_vector_longer_than_the_file_is_refused() -> None:
    huge = BUFFER[:-9] + struct.pack("<I", 2**31) + b"hello"
    with pytest.raises(struct.error):
        root(huge).tables(TEXT)


def test_a_vector_of_longer_numbers_must_be_in_the_file_too() -> None:
    with pytest.raises(struct.error, match="in the middle of a list"):
        root(BUFFER).length(TEXT, "i")


@pytest.mark.parametrize("at", [-1, len(BUFFER) - 3, 2**40])
def test_an_offset_outside_of_the_data_is_refused(at: int) -> None:
    with pytest.raises(struct.error, match=r"out of the file|refers to more"):
        FlatBuffer(BUFFER).one("I", at)


def test_reading_one_place_again_and_again_comes_to_an_end() -> None:
    buffer = FlatBuffer(BUFFER)
    for _ in range(8 * 2**20 // 64):
        buffer.root()
    with pytest.raises(struct.error, match="more than 8 MB"):
        buffer.root()
