"""Pictures that appear in a folder: each once it is whole, and no others."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from mjpeg import picture

from ondevice.errors import UsageError
from ondevice.frames.folder import WatchedFolder


class Watching:
    """A folder, looked at when the test says so; now: how late it is, s."""

    def __init__(self, path: Path) -> None:
        self.folder = WatchedFolder(path)
        self.path, self.now = path, 100.0

    def look(self, after_s: float = 0.1) -> list[str]:
        self.now += after_s
        return [os.path.relpath(found, self.path) for found in self.folder._look(self.now)]


def test_what_appears_is_given_once(tmp_path: Path) -> None:
    (tmp_path / "old.jpg").write_bytes(picture(0))
    watching = Watching(tmp_path)
    assert watching.look() == []
    (tmp_path / "new.jpg").write_bytes(picture(1))
    (tmp_path / "notes.txt").write_text("no picture")
    (tmp_path / ".hidden.jpg").write_bytes(picture(2))
    assert [watching.look() for _ in range(4)] == [[], ["new.jpg"], [], []]


def test_in_folders_that_are_made_later_and_by_moving(tmp_path: Path) -> None:
    """As cameras that upload by FTP make one a day; what is moved keeps its old time."""
    watching = Watching(tmp_path)
    elsewhere = tmp_path.with_name("elsewhere.png")
    elsewhere.write_bytes(b"any")
    os.utime(elsewhere, (1, 1))
    (tmp_path / "day" / "hour").mkdir(parents=True)
    shutil.move(elsewhere, tmp_path / "day" / "hour" / "moved.png")
    assert [watching.look(), watching.look()] == [[], ["day/hour/moved.png"]]


def test_what_is_written_slowly_is_given_when_it_is_whole(tmp_path: Path) -> None:
    watching, path, frame = Watching(tmp_path), tmp_path / "slow.jpg", picture(3)
    path.write_bytes(frame[:100])
    assert [watching.look() for _ in range(5)] == 5 * [[]]
    path.write_bytes(frame[:-1])
    assert [watching.look() for _ in range(5)] == 5 * [[]]
    path.write_bytes(frame)
    assert [watching.look() for _ in range(3)] == [[], ["slow.jpg"], []]


def test_what_is_never_whole_is_given_after_a_while(tmp_path: Path) -> None:
    watching = Watching(tmp_path)
    (tmp_path / "cut.jpg").write_bytes(picture(3)[:-10])
    assert [watching.look(), watching.look(4), watching.look(2), watching.look()] == [[], [], ["cut.jpg"], []]


def test_what_is_written_anew_is_another_picture(tmp_path: Path) -> None:
    watching, path = Watching(tmp_path), tmp_path / "latest.jpg"
    for number in range(3):
        path.write_bytes(picture(number))
        os.utime(path, (number + 1, number + 1))
        assert [watching.look(), watching.look(), watching.look()] == [[], ["latest.jpg"], []]


def test_in_the_order_of_their_times(tmp_path: Path) -> None:
    watching = Watching(tmp_path)
    for time, name in enumerate(("b.jpg", "a.jpg", "c.jpg"), 1000):
        (tmp_path / name).write_bytes(picture(1))
        os.utime(tmp_path / name, (time, time))
    assert [watching.look(), watching.look()] == [[], ["b.jpg", "a.jpg", "c.jpg"]]


def test_what_is_deleted_is_forgotten(tmp_path: Path) -> None:
    watching, path = Watching(tmp_path), tmp_path / "one.jpg"
    path.write_bytes(picture(1))
    watching.look()
    watching.look()
    assert len(watching.folder._known) == 1
    path.unlink()
    assert watching.look() == []
    assert watching.folder._known == watching.folder._growing == {}
    shutil.rmtree(tmp_path)  # a share that is away for a while
    assert watching.look() == []
    tmp_path.mkdir()
    path.write_bytes(picture(2))
    assert [watching.look(), watching.look()] == [[], ["one.jpg"]]


def test_it_looks_by_itself_until_it_is_closed(tmp_path: Path) -> None:
    folder = WatchedFolder(tmp_path)
    (tmp_path / "new.png").write_bytes(b"any")
    frames = iter(folder)
    assert next(frames) == str(tmp_path / "new.png")
    folder.close()
    assert [*frames] == []


def test_what_is_not_a_folder(sample: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is not a folder"):
        WatchedFolder(sample)
    with pytest.raises(UsageError, match="no such folder"):
        WatchedFolder(tmp_path / "none")
