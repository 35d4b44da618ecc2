"""Compressed bodies expanded however they are cut, and bodies compressed as clients like it."""

from __future__ import annotations

import gzip
import random
import zlib

import pytest

from ondevice.errors import ProtocolError
from ondevice.protocol import content_coding
from ondevice.protocol.content_coding import Inflater

STEP = content_coding._STEP_BYTES
BODY = b"".join(b"%d and so on, " % n for n in range(1000))


def bare(data: bytes) -> bytes:
    stream = zlib.compressobj(wbits=-15)
    return stream.compress(data) + stream.flush()


PACKED = {"gzip": ("gzip", gzip.compress), "zlib": ("deflate", zlib.compress), "bare": ("deflate", bare)}


def expanded(inflater: Inflater, *pieces: bytes) -> bytes:
    return b"".join(part for piece in pieces for part in inflater.expand(piece))


@pytest.mark.parametrize("how", PACKED)
@pytest.mark.parametrize("body", [b"", b"x", BODY, bytes(5 * STEP), bytes(STEP), random.Random(1).randbytes(3 * STEP)])
def test_a_body_is_what_it_was_however_it_is_cut(how: str, body: bytes) -> None:
    coding, pack = PACKED[how]
    packed = pack(body)
    for size in (1, 7, 1000, len(packed)):
        inflater = Inflater(coding)
        pieces = [packed[at : at + size] for at in range(0, len(packed), size)]
        assert (expanded(inflater, *pieces), inflater.finished) == (body, True)


def test_of_a_bomb_there_is_only_as_much_as_is_looked_at() -> None:
    inflater = Inflater("gzip")
    parts = inflater.expand(gzip.compress(bytes(1 << 30 >> 4)))
    assert [len(next(parts)) for _ in range(3)] == [STEP] * 3
    assert not inflater.finished


@pytest.mark.parametrize(
    ("coding", "packed", "said"),
    [
        ("gzip", b"plain text", "is not gzip, as its Content-Encoding says"),
        ("gzip", zlib.compress(BODY), "is not gzip"),
        ("gzip", gzip.compress(BODY)[:-8] + bytes(8), "is not gzip"),
        ("deflate", gzip.compress(BODY), "is not deflate"),
        ("gzip", gzip.compress(BODY) + b"more", "4 bytes follow the end of the body's gzip"),
        ("gzip", gzip.compress(BODY) * 2, "bytes follow the end"),
    ],
)
def test_what_is_not_what_it_says(coding: str, packed: bytes, said: str) -> None:
    for pieces in ([packed], [packed[:3], packed[3:]], [packed[:-1], packed[-1:]]):
        with pytest.raises(ProtocolError, match=said if len(pieces) == 1 else "gzip|deflate"):
            expanded(Inflater(coding), *pieces)


def test_what_is_cut_is_not_finished() -> None:
    inflater = Inflater("gzip")
    assert BODY.startswith(expanded(inflater, gzip.compress(BODY)[:-1]))
    assert not inflater.finished


@pytest.mark.parametrize(
    ("encoding", "read", "expands"),
    [
        ("identity", True, False),
        ("Identity", True, False),
        ("gzip", True, True),
        ("GZip", True, True),
        ("x-gzip", True, True),
        ("deflate", True, True),
        ("br", False, False),
        ("gzip, gzip", False, False),
        ("", False, False),
    ],
)
def test_which_codings_are_read(encoding: str, read: bool, expands: bool) -> None:
    assert content_coding.is_read(encoding) is read
    assert (content_coding.inflater({"content-encoding": encoding}) is not None) is expands
    assert content_coding.inflater({}) is None


@pytest.mark.parametrize(
    ("accepted", "coding"),
    [
        ("gzip", "gzip"),
        ("deflate", "deflate"),
        ("gzip, deflate, br, zstd", "gzip"),
        ("deflate, gzip;q=0.5", "deflate"),
        ("*", "gzip"),
        ("gzip;q=0, *", "deflate"),
        ("GZIP ; Q=1", "gzip"),
        ("identity, gzip;q=0.5", None),
        ("identity", None),
        ("br", None),
        ("gzip;q=0", None),
        ("gzip;q=often", None),
        (";;,,=", None),
        ("", None),
    ],
)
def test_a_body_is_compressed_as_its_client_likes(accepted: str, coding: str | None) -> None:
    body, told = content_coding.compressed(BODY, accepted)
    assert told == coding
    assert body == BODY if coding is None else expanded(Inflater(coding), body) == BODY
    assert coding is None or len(body) < len(BODY) / 2


@pytest.mark.parametrize("body", [b"", random.Random(2).randbytes(20_000)])
def test_what_does_not_shrink_stays_as_it_is(body: bytes) -> None:
    assert content_coding.compressed(body, "gzip") == (body, None)
