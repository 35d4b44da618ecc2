"""Files are whole or absent, locks hold between processes, and folders are where the platform wants them."""

from __future__ import annotations

import fcntl
import hashlib
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from ondevice.errors import OnDeviceError
from ondevice.models import files


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_new_file_appears_whole_in_a_new_folder(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "new.bin"
    with files.replacing(path) as out:
        out.write(b"whole")
        assert not path.exists(), "not before it is whole"
    assert (path.read_bytes(), names(path.parent)) == (b"whole", ["new.bin"])


def test_the_old_content_stays_until_the_new_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    with files.replacing(path) as out:
        out.write(b"new")
        out.flush()
        assert path.read_bytes() == b"old"
    assert path.read_bytes() == b"new"


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("old", [b"old", None])
def test_failure_leaves_what_was_there(old: bytes | None, error: type[BaseException], tmp_path: Path) -> None:
    path = tmp_path / "file"
    if old is not None:
        path.write_bytes(old)

    def fail() -> None:
        with files.replacing(path) as out:
            out.write(b"half")
            raise error

    with pytest.raises(error):
        fail()
    assert names(tmp_path) == ([] if old is None else ["file"])
    assert old is None or path.read_bytes() == old


def test_a_failing_last_step_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "file" / "in the way").mkdir(parents=True)
    with pytest.raises(OSError, match="directory"), files.replacing(tmp_path / "file") as out:
        out.write(b"whole")
    assert names(tmp_path) == ["file"]


def test_files_are_readable_by_all(tmp_path: Path) -> None:
    with files.replacing(tmp_path / "file") as out:
        assert stat.S_IMODE(next(tmp_path.iterdir()).stat().st_mode) == 0o600, "until it is whole"
        out.write(b"x")
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o644


HOLD = """
import sys
from pathlib import Path
from ondevice.models import files
with files.locked(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""
COUNT = """
import sys
from pathlib import Path
from ondevice.models import files
lock, counter = map(Path, sys.argv[1:])
for _ in range(200):
    with files.locked(lock):
        counter.write_text(str(int(counter.read_text()) + 1))
"""


def test_another_process_is_kept_out_until_the_holder_dies(tmp_path: Path) -> None:
    lock = tmp_path / "new" / "lock"
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(lock)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with lock.open("ab") as file, pytest.raises(BlockingIOError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        holder.kill()
    with files.locked(lock), lock.open("ab") as file, pytest.raises(BlockingIOError):
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_the_lock_is_let_go_of_after_an_error(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    with pytest.raises(ValueError, match="inside"), files.locked(lock):
        raise ValueError("inside")
    with lock.open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # raises if it is held
    assert lock.read_bytes() == b""


def test_processes_take_turns(tmp_path: Path) -> None:
    counter = tmp_path / "counter"
    counter.write_text("0")
    command = [sys.executable, "-c", COUNT, str(tmp_path / "lock"), str(counter)]
    workers = [subprocess.Popen(command) for _ in range(3)]
    assert [worker.wait() for worker in workers] == [0, 0, 0]
    assert counter.read_text() == "600"


@pytest.mark.parametrize(
    ("platform", "environment", "cache", "data"),
    [
        ("linux", {}, "user/.cache/ondevice", "user/.local/share/ondevice"),
        ("linux", {"XDG_CACHE_HOME": "c", "XDG_DATA_HOME": "d"}, "c/ondevice", "d/ondevice"),
        ("linux", {"XDG_CACHE_HOME": "", "XDG_DATA_HOME": "d"}, "user/.cache/ondevice", "d/ondevice"),
        ("linux", {"ONDEVICE_HOME": "h", "XDG_CACHE_HOME": "c"}, "h/cache", "h/data"),
        ("linux", {"ONDEVICE_HOME": "~/h"}, "user/h/cache", "user/h/data"),
        (
            "darwin",
            {"XDG_CACHE_HOME": "c"},
            "user/Library/Caches/ondevice",
            "user/Library/Application Support/ondevice",
        ),
        ("darwin", {"ONDEVICE_HOME": "h"}, "h/cache", "h/data"),
    ],
)
def test_folders(
    platform: str,
    environment: dict[str, str],
    cache: str,
    data: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for variable in ("ONDEVICE_HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME"):
        monkeypatch.delenv(variable, raising=False)
    for variable, value in environment.items():
        monkeypatch.setenv(variable, str(tmp_path / value) if value and not value.startswith("~") else value)
    monkeypatch.setenv("HOME", str(tmp_path / "user"))
    monkeypatch.setattr(sys, "platform", platform)
    assert (files.cache_dir(), files.data_dir()) == (tmp_path / cache, tmp_path / data)


def test_sweep_removes_the_parts_of_one_file_alone(tmp_path: Path) -> None:
    kept = {"a.bin", ".a.bin.lock", ".b.bin.x1.part", "a.bin.x2.part", ".ca.bin.x3.part"}
    for name in {*kept, ".a.bin.x4.part", ".a.bin.x5.part"}:
        (tmp_path / name).touch()
    files.sweep(tmp_path, "a.bin")
    assert set(names(tmp_path)) == kept


def test_sweep_knows_what_replacing_writes(tmp_path: Path) -> None:
    with files.replacing(tmp_path / "a.bin") as out:
        out.write(b"x")
        (part,) = tmp_path.iterdir()
    part.touch()  # as if the process had been killed
    files.sweep(tmp_path, "a.bin")
    assert names(tmp_path) == ["a.bin"]


def test_sweeping_no_folder(tmp_path: Path) -> None:
    files.sweep(tmp_path / "gone", "a.bin")
    assert names(tmp_path) == []


def test_sha256(tmp_path: Path) -> None:
    content = bytes(range(256)) * 5000
    (tmp_path / "file").write_bytes(content)
    assert files.sha256(tmp_path / "file") == hashlib.sha256(content).hexdigest()


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (PermissionError(13, "Permission denied", "there"), "there: permission denied"),
        (OSError(28, "No space left on device"), "here: no space left on device"),
        (OSError("Odd"), "here: odd"),
    ],
)
def test_system_errors_in_one_line(error: OSError, said: str) -> None:
    explained = files.explain(error, Path("here"))
    assert isinstance(explained, OnDeviceError)
    assert str(explained) == said
