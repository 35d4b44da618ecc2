"""Films, by ffmpeg."""

from __future__ import annotations

import io
import shutil
import subprocess
from pathlib import Path

import pytest
from mjpeg import picture
from PIL import Image

from ondevice.errors import ImageError, MissingError, UsageError
from ondevice.frames import sources
from ondevice.frames.film import Film
from ondevice.frames.pipe import MjpegPipe
from ondevice.frames.web import WebCamera

needs_ffmpeg = pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="needs ffmpeg")


@pytest.fixture
def film(tmp_path: Path) -> Path:
    """Half a second, 20 frames a second."""
    path = tmp_path / "a film: %d.mp4"
    made = ["-f", "lavfi", "-i", "testsrc=size=160x120:rate=20", "-t", "0.5", "-pix_fmt", "yuv420p"]
    subprocess.run(["ffmpeg", "-v", "error", *made, f"file:{path}"], check=True)
    return path


@needs_ffmpeg
def test_every_frame_of_a_film(film: Path) -> None:
    source = Film(str(film))
    frames = [*source]
    assert len(frames) == 10
    assert {Image.open(io.BytesIO(frame)).size for frame in frames} == {(160, 120)}
    assert source.broken == 0


@needs_ffmpeg
def test_ffmpeg_ends_with_whoever_has_enough(film: Path) -> None:
    source = Film(str(film))
    frames = iter(source)
    next(frames)
    source.close()
    assert len([*frames]) < 9
    assert source._process
    assert source._process.returncode is not None


@needs_ffmpeg
def test_what_ffmpeg_says_of_what_is_not_a_film(tmp_path: Path) -> None:
    path = tmp_path / "broken.mp4"
    path.write_bytes(b"no film")
    with pytest.raises(ImageError, match="ffmpeg says: "):
        [*Film(str(path))]


@needs_ffmpeg
def test_a_playlist_in_a_films_clothes_fetches_nothing(tmp_path: Path) -> None:
    path = tmp_path / "list.mp4"
    path.write_text("#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nhttp://127.0.0.1:9/secret.ts\n#EXT-X-ENDLIST\n")
    with pytest.raises(ImageError, match="ffmpeg says"):
        [*Film(str(path))]


@pytest.fixture
def playing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An ffmpeg that plays two frames of any film and complains of the rest; gives the film."""
    (tmp_path / "frames").write_bytes(picture(1) + picture(2))
    program = tmp_path / "ffmpeg"
    program.write_text(f"#!/bin/sh\ncat {tmp_path / 'frames'}\necho 'some fault' >&2\necho 'it is cut short' >&2\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    return tmp_path / "film.mp4"


def test_a_film_that_ends_early_says_why(playing: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert [*Film(str(playing))] == [picture(1), picture(2)]
    assert caplog.messages == [f"{playing}: ffmpeg says: it is cut short"]


def test_without_ffmpeg(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MissingError, match="films need ffmpeg") as caught:
        Film("clip.mp4")
    assert caught.value.missing == "ffmpeg"


def test_which_source_a_text_means(tmp_path: Path) -> None:
    (tmp_path / "pipe").write_bytes(b"")
    assert isinstance(sources.find(f"mjpeg:{tmp_path / 'pipe'}"), MjpegPipe)
    assert isinstance(sources.find("HTTP://camera/video"), WebCamera)
    for text in ("photo.jpg", "clip.mp4", ".mp4", "", "mjpeg", "ftp://camera"):
        assert not sources.means_stream(text)
        with pytest.raises(UsageError, match="not a stream of pictures"):
            sources.find(text)
    (tmp_path / "clip.MP4").write_bytes(b"")
    assert sources.means_stream(str(tmp_path / "clip.MP4"))
    assert not sources.is_live(str(tmp_path / "clip.MP4"))
