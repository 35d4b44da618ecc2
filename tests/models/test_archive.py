"""The archive at a file's end: its names, and archives that are none."""

from __future__ import annotations

import io
import random
import struct
import tracemalloc
import zipfile
from pathlib import Path

import pytest

from ondevice.models import archive, metadata


def packed(*names: str) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as opened:
        for name in names:
            opened.writestr(name, "a\nb\n")
    return out.getvalue()


def test_names(tmp_path: Path) -> None:
    path = tmp_path / "model.tflite"
    path.write_bytes(bytes(100) + packed("labels.txt", "more/vocab.txt"))
    assert archive.names(path) == ("labels.txt", "more/vocab.txt")


@pytest.mark.parametrize("content", [b"", b"text", bytes(1000), packed("a")[:-1]])
def test_none(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "model.tflite"
    path.write_bytes(content)
    assert archive.names(path) == ()


def test_a_list_of_contents_that_would_fill_the_memory_is_not_read(tmp_path: Path) -> None:
    path, size = tmp_path / "model.tflite", 64 << 20
    with path.open("wb") as file:
        file.truncate(size)
        file.seek(size)
        file.write(struct.pack("<4s4H2IH", b"PK\x05\x06", 0, 0, 9, 9, size, 0, 0))
    tracemalloc.start()
    try:
        assert archive.names(path) == ()
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("offset", [2**62, 2**63, 2**64 - 1])
def test_a_file_that_lies_outside_of_every_file(offset: int, tmp_path: Path) -> None:
    content = bytearray(packed("labels.txt"))
    directory, end = content.rindex(b"PK\x01\x02"), content.rindex(b"PK\x05\x06")
    extra = struct.pack("<HHQ", 1, 8, offset)  # ZIP64's own offset
    struct.pack_into("<I", content, directory + 42, 2**32 - 1)
    struct.pack_into("<H", content, directory + 30, len(extra))
    struct.pack_into("<I", content, end + 12, end + len(extra) - directory)
    content[end:end] = extra
    path = tmp_path / "model.tflite"
    path.write_bytes(content)
    assert metadata.read(path, 2).labels is None
    assert archive.names(path) in ((), ("labels.txt",))


def test_mutated_archives_never_raise(tmp_path: Path) -> None:
    good, rng, path = packed("labels.txt", "x"), random.Random(0), tmp_path / "mutant.tflite"
    lost = 0
    for _ in range(500):
        mutant = bytearray(good)
        for _ in range(rng.choice((1, 8))):
            mutant[rng.randrange(len(mutant))] = rng.randrange(256)
        path.write_bytes(mutant)
        lost += archive.names(path) != ("labels.txt", "x")
    assert 50 < lost < 500
