"""MJPEG from pipes and files."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest
from mjpeg import garbage, picture

from ondevice.errors import ImageError, UsageError
from ondevice.frames.jpegs import MAX_FRAME_BYTES
from ondevice.frames.pipe import MjpegPipe

FRAMES = [picture(number) for number in range(5)]


def test_a_named_pipe(tmp_path: Path) -> None:
    path = tmp_path / "camera"
    os.mkfifo(path)
    writer = threading.Thread(target=path.write_bytes, args=(garbage(1000) + b"".join(FRAMES),))
    source = MjpegPipe(str(path))
    writer.start()
    assert [*source] == FRAMES
    writer.join()
    assert (source.name, source.broken) == (f"mjpeg:{path}", 0)


def test_what_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such file or pipe"):
        MjpegPipe(str(tmp_path / "none"))
    with pytest.raises(UsageError, match="--watch takes folders"):
        MjpegPipe(str(tmp_path))


@pytest.mark.parametrize(
    ("stream", "said"),
    [
        (b"", "ended before a JPEG picture came"),
        (b"\0\0\0\1" + garbage(1000), "ended before a JPEG picture came"),
        (FRAMES[0][:-9], "none was whole"),
        (garbage(MAX_FRAME_BYTES + (1 << 20)), "no JPEG picture in the first 16 MiB"),
    ],
)
def test_no_picture_at_all_is_an_error(tmp_path: Path, stream: bytes, said: str) -> None:
    path = tmp_path / "stream"
    path.write_bytes(stream)
    with pytest.raises(ImageError, match=said):
        [*MjpegPipe(str(path))]


def test_an_endless_file_is_an_error_too() -> None:
    with pytest.raises(ImageError, match="no JPEG picture in the first 16 MiB"):
        [*MjpegPipe("/dev/zero")]
