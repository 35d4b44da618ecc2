"""Pictures out of bytes: however they are cut, whatever lies between them, and whatever was lost of them."""

from __future__ import annotations

import io
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mjpeg import garbage, picture, with_thumbnail
from PIL import Image

from ondevice.frames.jpegs import JpegSplitter

FRAMES = [picture(1), with_thumbnail(2), picture(3, progressive=True), picture(4, side=128, noise=30)]


def split(stream: bytes, size: int = 1 << 16, splitter: JpegSplitter | None = None) -> list[bytes]:
    splitter = splitter or JpegSplitter()
    pieces = [stream[at : at + size] for at in range(0, len(stream), size)]
    frames = [frame for piece in pieces for frame in splitter.feed(piece)]
    splitter.end()
    return frames


@pytest.mark.parametrize("size", [1, 2, 3, 7, 100, 1 << 16])
def test_however_the_bytes_are_cut(size: int) -> None:
    assert split(b"".join(FRAMES), size) == FRAMES


def test_a_thumbnail_is_a_part_of_its_picture() -> None:
    frame = with_thumbnail(5)
    assert frame.count(b"\xff\xd8\xff") == frame.count(b"\xff\xd9") == 2
    assert split(3 * frame) == 3 * [frame]


def test_filling_restarts_and_marks_without_a_segment() -> None:
    out = io.BytesIO()
    Image.new("RGB", (64, 64), "red").save(out, "JPEG", restart_marker_blocks=1)
    frame = out.getvalue()
    assert b"\xff\xd0" in frame
    filled = frame.replace(b"\xff\xda", b"\xff\xff\xff\xda").replace(b"\xff\xd9", b"\xff\xff\xd9")
    assert split(frame + filled, 5) == [frame, filled]


@given(st.lists(st.integers(0, 3000), min_size=5, max_size=5), st.integers(1, 5000))
def test_garbage_between_pictures_is_skipped(counts: list[int], size: int) -> None:
    between = [garbage(count, seed) for seed, count in enumerate(counts)]
    splitter = JpegSplitter()
    stream = b"".join(junk + frame for junk, frame in zip(between, [*FRAMES, b""], strict=True))
    assert split(stream, size, splitter) == FRAMES
    assert (splitter.frames, splitter.broken) == (4, 0)


@pytest.mark.parametrize("kept", [3, 30, 0.5, 0.9, -1])
def test_a_picture_that_is_cut_short_costs_itself_alone(kept: float) -> None:
    """Wherever it was cut: in its first bytes, in a segment, in its scan, before its last byte."""
    first, cut, last = FRAMES[0], FRAMES[3], FRAMES[1]
    stream = first + cut[: int(kept * len(cut)) if 0 < kept < 1 else int(kept)] + last + FRAMES[2]
    splitter = JpegSplitter()
    found = split(stream, 1000, splitter)
    assert found[0] == first
    # What a length of its lost segment steps over is lost with it: the next at most.
    assert found[-1] == FRAMES[2]
    assert len(found) >= 2
    assert splitter.broken >= 1


def test_cut_in_its_scan_not_even_the_next_is_lost() -> None:
    splitter = JpegSplitter()
    assert split(FRAMES[3][:-200] + FRAMES[1], 64, splitter) == [FRAMES[1]]
    assert splitter.broken == 1


@given(st.binary(max_size=400), st.integers(1, 50))
def test_any_bytes_are_survived(junk: bytes, size: int) -> None:
    """And the picture after them, and enough others for what they may have begun, is found."""
    splitter = JpegSplitter(max_bytes=5000)
    found = split(junk + 40 * FRAMES[0], size, splitter)
    assert found.count(FRAMES[0]) >= 1
    assert splitter.frames == len(found)


def test_a_picture_that_was_not_whole_at_the_end_is_counted() -> None:
    splitter = JpegSplitter()
    assert split(FRAMES[0] + FRAMES[1][:500], 100, splitter) == FRAMES[:1]
    assert splitter.broken == 1


def test_what_is_too_long_is_given_up() -> None:
    endless = FRAMES[3][:-2] + 5000 * b"\x01"
    splitter = JpegSplitter(max_bytes=len(FRAMES[3]) - 1)
    assert split(FRAMES[0] + endless + FRAMES[1] + FRAMES[3] + FRAMES[0], 500, splitter)[::2] == [FRAMES[0]] * 2
    assert splitter.broken == 2


def test_memory_does_not_grow() -> None:
    frame, junk = picture(7, side=512, noise=60), garbage(1 << 20)
    splitter = JpegSplitter()
    tracemalloc.start()
    try:
        for _ in range(60):
            for piece in (junk, frame[: len(frame) // 2], frame[len(frame) // 2 :], frame[:-100]):
                assert all(found == frame for found in splitter.feed(piece))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    splitter.end()
    assert splitter.frames == 60
    assert splitter.broken == 60
    # 60 MiB of garbage went by: what is held is a piece, and a few copies of a picture.
    assert peak < 2 * len(junk) + 4 * len(frame)


def test_a_long_scan_is_looked_through_once() -> None:
    """However small the pieces: what is held is never searched again, which would take hours for this."""
    frame = picture(8, side=1024, noise=80)
    assert len(frame) > 500_000
    assert split(frame, 16) == [frame]
