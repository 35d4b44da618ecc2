"""`ondevice run` and `ondevice offload` on streams, as their user meets them."""

from __future__ import annotations

import csv
import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path

import pytest
from mjpeg import garbage, picture, sending
from rude import Rude

from ondevice.cli import frame_lines
from ondevice.cli.console import Format
from ondevice.cli.frame_lines import FrameLines
from ondevice.errors import ImageError
from ondevice.frames.frame import Frame, FrameAnswer
from ondevice.frames.pipe import MjpegPipe

Cli = Callable[..., "subprocess.CompletedProcess[str]"]
RUN = ("run", "digits_xs_int8")
OFFLOAD = ("offload", "--local", "digits_xs_int8", "--mode", "device", "--sla", "20000")
SHOTS = [picture(number) for number in range(4)]


@pytest.fixture(params=[RUN, OFFLOAD], ids=["run", "offload"])
def command(request: pytest.FixtureRequest) -> tuple[str, ...]:
    return tuple(request.param)


def test_a_line_each_and_what_became_of_the_others(cli: Cli, command: tuple[str, ...]) -> None:
    stream = b"".join(garbage(300, seed) + shot for seed, shot in enumerate(10 * SHOTS))
    done = cli(*command, "mjpeg:-", "--format", "jsonl", stdin=stream)
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert lines[-1]["frame"] == 40
    assert [*lines[0]][:5] == ["image", "frame", "time", "age_ms", "dropped"]
    assert {line["image"] for line in lines} == {"mjpeg:-"}
    assert all(line["age_ms"] >= line["total_ms"] for line in lines)
    assert [line["frame"] for line in lines] == sorted({line["frame"] for line in lines})
    assert len(lines) + sum(line["dropped"] for line in lines) == 40
    assert datetime.fromisoformat(lines[0]["time"]).utcoffset() is not None
    assert f"40 frames: {len(lines)} answered, {40 - len(lines)} dropped for a newer one" in done.stderr


def test_as_a_table_and_as_csv(cli: Cli, command: tuple[str, ...]) -> None:
    table = cli(*command, "mjpeg:-", stdin=b"".join(SHOTS))
    heads, rule, *rows = table.stdout.split("\n\n")[0].splitlines()
    assert heads.split() == ["time", "frame", "label", "score", "where", "model", "total_ms", "age_ms", "dropped"]
    assert set(rule) == {"-", " "}
    assert rows[-1].split()[1] == "4"
    printed = cli(*command, "mjpeg:-", "--format", "csv", stdin=b"".join(SHOTS)).stdout
    records = [*csv.DictReader(io.StringIO(printed))]
    assert records[-1]["frame"] == "4"
    assert [record["frame"] for record in records] == sorted({record["frame"] for record in records})


def test_a_broken_frame_costs_itself_alone(cli: Cli, command: tuple[str, ...]) -> None:
    """Its markers are well, and it has no picture in it."""
    empty = b"\xff\xd8\xff\xe0\x00\x02\xff\xd9"
    done = cli(*command, "mjpeg:-", "--format", "jsonl", stdin=empty)
    assert done.returncode == 1
    assert json.loads(done.stdout)["error"]
    assert "ondevice: error: mjpeg:-: frame 1: " in done.stderr
    assert "1 frame: 0 answered, 0 dropped for a newer one, 1 without an answer" in done.stderr


def test_cut_frames_and_unchanged_ones_are_counted(cli: Cli) -> None:
    stream = SHOTS[0] + SHOTS[1][:-50] + 30 * SHOTS[0]
    done = cli(*RUN, "mjpeg:-", "--changed", "0.05", "--format", "jsonl", stdin=stream)
    assert len(done.stdout.splitlines()) == 1
    assert "31 frames: 1 answered, " in done.stderr
    assert ", 1 that were not whole, beside these" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "Missing argument 'IMAGE...'."),
        (("mjpeg:-", "photo.jpg"), "mjpeg:- is a stream, which never ends: give it alone"),
        (("--watch", ".", "photo.jpg"), "--watch FOLDER takes the place of IMAGE...: give one or the other"),
        (("--watch", "nowhere"), "--watch nowhere: no such folder"),
        (("photo.jpg", "--changed", "0.1"), "--changed is for streams: mjpeg:-, http://…, a film or --watch FOLDER"),
        (("mjpeg:-", "--changed", "2"), "changed must be a share of the picture, over 0 and up to 1"),
        (("mjpeg:-", "--format", "json"), "--format json is whole at its end, which a stream has not"),
        (("mjpeg:nowhere",), "mjpeg:nowhere: no such file or pipe"),
        (("http://",), "http:// is not an address: it names no host"),
    ],
)
def test_what_cannot_be_meant(cli: Cli, command: tuple[str, ...], arguments: tuple[str, ...], said: str) -> None:
    done = cli(*command, *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"ondevice: error: {said}")
    assert done.stderr.count("\n") == 1


def test_a_film_among_pictures_costs_itself_alone(cli: Cli, sample: Path, tmp_path: Path) -> None:
    """As a phone's folder has them, given by a shell's `*`."""
    film = tmp_path / "film.mp4"
    film.write_bytes(b"\0\0\0\x18ftypmp42")
    done = cli(*RUN, film, sample, "--format", "jsonl")
    assert done.returncode == 1
    assert [*map(json.loads, done.stdout.splitlines())][1]["top"][0]["label"] == "7"
    assert f"{film}: is HEIC, AVIF or a video; save it as JPEG or PNG" in done.stderr


def test_a_camera_whose_frames_are_all_broken_is_told_of_once_in_a_while(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(frame_lines, "monotonic", lambda: 100.0)
    lines = FrameLines(MjpegPipe("/dev/null"), Format.CSV)
    for number in range(1, 20):
        error = ImageError("cannot be decoded" if number < 19 else "is empty", "camera")
        lines.put(FrameAnswer(Frame(b"", number), error, 1.0), {})
    assert capsys.readouterr().err.splitlines() == [
        "ondevice: error: mjpeg:/dev/null: frame 1: cannot be decoded",
        "ondevice: error: mjpeg:/dev/null: frame 19: is empty",
    ]


def test_flags_for_pictures_are_none_for_streams(cli: Cli) -> None:
    done = cli(*OFFLOAD, "mjpeg:-", "--repeat", "2")
    assert (done.returncode, "--repeat is for pictures" in done.stderr) == (2, True)
    done = cli(*OFFLOAD, "mjpeg:-", "--every", "-1")
    assert (done.returncode, "every must be over 0 ms" in done.stderr) == (2, True)


def test_a_stream_without_pictures_is_one_line(cli: Cli, command: tuple[str, ...]) -> None:
    done = cli(*command, "mjpeg:-", stdin=garbage(5000))
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.splitlines()[-1] == "ondevice: error: mjpeg:-: it ended before a JPEG picture came"


def started(*arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "ondevice", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": ""},
    )


def ended(process: subprocess.Popen[str]) -> tuple[str, int]:
    """What it says on Ctrl-C, and its exit status."""
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    return said, process.returncode


def test_a_camera_over_http_until_ctrl_c() -> None:
    """Its link is lost once, and it is named without its password."""
    with Rude(sending(SHOTS[:2], SHOTS, hold=True)) as server:
        process = started(*RUN, server.url.replace("//", "//me:secret@"), "--format", "jsonl")
        assert process.stdout
        lines: Iterator[dict[str, object]] = map(json.loads, process.stdout)
        seen = next(line for line in lines if line["frame"] == 6)
        assert seen["image"] == server.url
        said, status = ended(process)
    assert status == 130
    assert f"ondevice: {server.url}: the link was lost (it ended); it is taken up again" in said
    assert "6 frames: " in said
    assert "the link was lost 1 time" in said
    assert "secret" not in said
    assert "Traceback" not in said


def test_a_watched_folder_until_ctrl_c(tmp_path: Path) -> None:
    """Pictures come once it is known that it watches: the first until it is seen, and then another."""
    process = started("--quiet", *RUN, "--watch", tmp_path, "--format", "jsonl")
    assert process.stdout
    os.set_blocking(process.stdout.fileno(), False)
    line, number = "", 0
    while not line:
        (tmp_path / f"{(number := number + 1)}.jpg").write_bytes(picture(number))
        try:
            line = process.stdout.readline()
        except (TypeError, BlockingIOError):
            continue
    assert json.loads(line)["image"].startswith(str(tmp_path))
    said, status = ended(process)
    assert (status, "Traceback" in said) == (130, False)


def test_a_reader_that_has_enough_ends_it(tmp_path: Path) -> None:
    path = tmp_path / "stream"
    os.mkfifo(path)
    process = started(*RUN, f"mjpeg:{path}", "--format", "jsonl")
    assert process.stdout
    with path.open("wb", buffering=0) as camera:
        camera.write(SHOTS[0])
        assert process.stdout.readline()
        process.stdout.close()
        while process.poll() is None:
            try:
                camera.write(SHOTS[1])
            except BrokenPipeError:
                break
        assert process.wait(60) == 1
    assert process.stderr
    assert "Traceback" not in process.stderr.read()
    process.stderr.close()
