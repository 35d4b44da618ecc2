"""What a .tflite file says of itself, and that a malformed one is never worse than a silent one."""

from __future__ import annotations

import io
import random
import struct
import tracemalloc
import zipfile
from pathlib import Path

import pytest

from ondevice.models import metadata
from ondevice.models.labels import Labels
from ondevice.models.metadata import Embedded

QUANTIZED = "mobilenet_v1_0.25_128_quant.tflite"
TF2 = "tf2_mobilenet_v2_1.0_224_ptq.tflite"
LARGEST = 4 * 1024 * 1024
TEN = [f"name {i}" for i in range(10)]


def packed(content: bytes, name: str = "labels.txt", method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """A ZIP archive of one file."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        archive.writestr(name, content)
    return out.getvalue()


def lines(*listed: str) -> bytes:
    return "\n".join([*listed, ""]).encode()


def names(found: Embedded) -> tuple[str, ...]:
    return found.labels.names if found.labels else ()


@pytest.fixture
def tf2(data: Path) -> bytes:
    return (data / "tflite" / TF2).read_bytes()


@pytest.mark.parametrize(
    "name",
    [
        QUANTIZED,
        "mobilenet_v1_0.5_160_quant.tflite",
        "mobilenet_v1_0.75_192_quant.tflite",
        "mobilenet_v2_1.0_224_quant.tflite",
        TF2,
    ],
)
def test_the_real_files(name: str, data: Path) -> None:
    found = metadata.read(data / "tflite" / name, 1001)
    assert (found.mean, found.std) == ((127.5,), (127.5,))
    assert len(names(found)) == 1001
    assert names(found)[:2] == ("background", "tench, Tinca tinca")


def test_labels_must_be_as_many_as_the_outputs(data: Path) -> None:
    found = metadata.read(data / "tflite" / QUANTIZED, 1002)
    assert (found.mean, found.labels) == ((127.5,), None)
    assert found.note == (
        f"{QUANTIZED} has 1002 classes, imagenet_labels.txt in {QUANTIZED} 1001 names; "
        "add the one that is missing, in the network's order (`background` first, if output 0 is that)"
    )


@pytest.mark.parametrize("content", [b"", b"\x00", bytes(64), b"\xff" * 64, b"PK\x05\x06" + b"\xff" * 18, b"text" * 99])
def test_files_that_say_nothing(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "model.tflite"
    path.write_bytes(content)
    assert metadata.read(path, 10) == Embedded()


def test_no_file(tmp_path: Path) -> None:
    assert metadata.read(tmp_path / "gone.tflite", 10) == Embedded()


def test_truncated_files(tf2: bytes, tmp_path: Path) -> None:
    path = tmp_path / "cut.tflite"
    rng = random.Random(1)
    for length in (*range(0, 64, 5), *(rng.randrange(len(tf2)) for _ in range(40)), len(tf2) - 1):
        path.write_bytes(tf2[:length])
        found = metadata.read(path, 1001)
        assert names(found) == (), "the archive's end is cut off"
        assert found.mean in ((), (127.5,))


def hot(data: bytes) -> list[int]:
    """Offsets that the reader looks at: the file's head, its metadata, and the archive with its directory."""
    at = data.rfind(b"TFLITE_METADATA")
    archive = data.index(b"PK\x03\x04")
    directory = data.rindex(b"PK\x01\x02")
    near = (range(64), range(at - 400, at + 100), range(archive - 1500, archive + 200), range(directory, len(data)))
    return [offset for part in near for offset in part if 0 <= offset < len(data)]


def test_mutated_files_never_raise(data: Path, tmp_path: Path) -> None:
    good = (data / "tflite" / QUANTIZED).read_bytes()
    rng, offsets, path = random.Random(0), hot(good), tmp_path / "mutant.tflite"
    different = 0
    for _ in range(250):
        mutant = bytearray(good)
        for _ in range(rng.choice((1, 4, 32))):
            at = rng.choice(offsets)
            mutant[at] = rng.choice((0, 0xFF, mutant[at] ^ 1 << rng.randrange(8), rng.randrange(256)))
        path.write_bytes(mutant)
        found = metadata.read(path, 1001)
        assert len(found.mean) <= 4
        assert len(names(found)) in (0, 1001)
        different += (found.mean, found.std) != ((127.5,), (127.5,)) or not names(found)
    assert 20 < different < 250, "the mutants must hit what is read, and not always"


def test_mutated_archives_never_raise(tmp_path: Path) -> None:
    good, rng, path = packed(lines(*TEN)), random.Random(0), tmp_path / "mutant.tflite"
    lost = 0
    for _ in range(400):
        mutant = bytearray(good)
        mutant[rng.randrange(len(mutant))] ^= 1 << rng.randrange(8)
        path.write_bytes(bytes(100) + mutant)
        found = names(metadata.read(path, 10))
        assert len(found) in (0, 10)
        lost += not found
    assert 100 < lost < 400


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_an_appended_label_file(method: int, tmp_path: Path) -> None:
    path = tmp_path / "model.tflite"
    path.write_bytes(bytes(100) + packed("eins\r\nzwei\nfünf".encode(), "sub/labels.txt", method))
    found = Labels("sub/labels.txt in model.tflite", ("eins", "zwei", "fünf"))
    assert metadata.read(path, 3) == Embedded(labels=found)


def test_of_several_files_the_one_that_fits(tmp_path: Path) -> None:
    path = tmp_path / "model.tflite"
    path.write_bytes(bytes(100))
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("notes.txt", "one line")
        archive.writestr("labels.csv", lines(*"ab"))
        archive.writestr("labels.txt", lines(*"cd"))
        archive.writestr("more.txt", lines(*"ef"))
    assert names(metadata.read(path, 2)) == ("c", "d")


@pytest.mark.parametrize(
    "archive",
    [
        packed(lines(*TEN), "labels.csv"),
        packed(lines(*TEN[:9])),
        packed(lines(*TEN))[:-1],
        packed(lines(*TEN), method=zipfile.ZIP_BZIP2),
    ],
    ids=["other suffix", "fewer", "cut", "unbounded compression"],
)
def test_label_files_that_do_not_count(archive: bytes, tmp_path: Path) -> None:
    path = tmp_path / "model.tflite"
    path.write_bytes(bytes(100) + archive)
    assert names(metadata.read(path, 10)) == ()


@pytest.mark.parametrize(("size", "read"), [(LARGEST, True), (LARGEST + 1, False), (64 << 20, False)])
def test_a_label_file_over_the_limit_is_ignored(size: int, read: bool, tmp_path: Path) -> None:
    path = tmp_path / "model.tflite"
    head = b"a\n" * 9
    path.write_bytes(packed(head + b"b" * (size - len(head))))
    assert path.stat().st_size < 100_000
    assert (len(names(metadata.read(path, 10))) == 10) == read


def test_a_label_file_that_lies_about_its_size_is_not_unpacked_whole(tmp_path: Path) -> None:
    path = tmp_path / "model.tflite"
    bomb = bytearray(packed(b"a\n" * (64 << 20)))
    directory = bomb.rindex(b"PK\x01\x02")
    for at in (22, directory + 24):  # the uncompressed size, in the file's header and in the directory
        struct.pack_into("<I", bomb, at, 20)
    path.write_bytes(bomb)
    tracemalloc.start()
    try:
        found = metadata.read(path, 10)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert names(found) == (), "its checksum is wrong"
    assert peak < 16 << 20


@pytest.mark.parametrize("count", [2**32 - 1, 2**31, 10**6])
def test_a_vector_longer_than_the_file(count: int, data: Path, tmp_path: Path) -> None:
    content = bytearray((data / "tflite" / QUANTIZED).read_bytes())
    name = content.rindex(b"TFLITE_METADATA")
    struct.pack_into("<I", content, name - 4, count)
    path = tmp_path / "model.tflite"
    path.write_bytes(content)
    assert metadata.read(path, 1001).mean == ()
