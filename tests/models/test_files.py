"""Files are whole or absent, locks hold between processes, and folders are where the platform wants them."""

from __future__ import annotations

import fcntl
import hashlib
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ondevice.errors import OnDeviceError, UsageError
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


VARIABLES = ("ONDEVICE_HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME", "ANDROID_DATA", "ANDROID_ROOT", "PREFIX", "SHELL")
ANDROID = {"ANDROID_DATA": "/data", "ANDROID_ROOT": "/system"}
TERMUX = {**ANDROID, "PREFIX": "/data/data/com.termux/files/usr", "SHELL": "/data/data/com.termux/files/usr/bin/bash"}
LIBRARY = ("user/Library/Caches/ondevice", "user/Library/Application Support/ondevice")
XDG = ("user/.cache/ondevice", "user/.local/share/ondevice")
APP = ("/data/user/0/org.example/cache/ondevice", "/data/user/0/org.example/files/ondevice")
# platform, environment, cache and data folders: where 0.1.0 had them
PLACES = [
    ("linux", {}, *XDG),
    ("linux", {"XDG_CACHE_HOME": "c", "XDG_DATA_HOME": "d"}, "c/ondevice", "d/ondevice"),
    ("linux", {"XDG_CACHE_HOME": "", "XDG_DATA_HOME": "d"}, XDG[0], "d/ondevice"),
    ("linux", {"ONDEVICE_HOME": "h", "XDG_CACHE_HOME": "c"}, "h/cache", "h/data"),
    ("linux", {"ONDEVICE_HOME": "~/h"}, "user/h/cache", "user/h/data"),
    ("linux", TERMUX, *XDG),
    ("linux", {**TERMUX, "XDG_CACHE_HOME": "c"}, "c/ondevice", XDG[1]),
    ("darwin", {}, *LIBRARY),
    ("darwin", {"ONDEVICE_HOME": "h"}, "h/cache", "h/data"),
]
# The same, where platformdirs may choose another place: 0.1.0's counts where there is one.
OTHERS = [
    ("linux", ANDROID, *XDG),
    ("darwin", {"XDG_CACHE_HOME": "c", "XDG_DATA_HOME": "d"}, *LIBRARY),
]


@pytest.fixture
def pretend(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str, dict[str, str]], None]]:
    """Makes this a machine of a platform, for platformdirs, which looks when it is imported, and for us."""

    def forget() -> None:
        for name in [name for name in sys.modules if name.split(".")[0] == "platformdirs"]:
            del sys.modules[name]

    def become(platform: str, environment: dict[str, str]) -> None:
        forget()
        for variable in VARIABLES:
            monkeypatch.delenv(variable, raising=False)
        for variable, value in environment.items():
            ours = value and not value.startswith(("~", "/"))
            monkeypatch.setenv(variable, str(tmp_path / value) if ours else value)
        monkeypatch.setenv("HOME", str(tmp_path / "user"))
        monkeypatch.setattr(sys, "platform", platform)

    yield become
    forget()


@pytest.mark.parametrize(("platform", "environment", "cache", "data"), PLACES)
def test_folders_are_where_the_platform_has_them(
    platform: str, environment: dict[str, str], cache: str, data: str, pretend: Callable[..., None], tmp_path: Path
) -> None:
    pretend(platform, environment)
    assert (files.cache_dir(), files.data_dir()) == (tmp_path / cache, tmp_path / data)


@pytest.mark.parametrize(("platform", "environment", "cache", "data"), [*PLACES, *OTHERS])
def test_folders_that_are_there_stay(
    platform: str, environment: dict[str, str], cache: str, data: str, pretend: Callable[..., None], tmp_path: Path
) -> None:
    pretend(platform, environment)
    for folder in (cache, data):
        (tmp_path / folder).mkdir(parents=True)
    assert (files.cache_dir(), files.data_dir()) == (tmp_path / cache, tmp_path / data)


def test_an_app_on_android_has_its_own_folders(
    pretend: Callable[..., None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend("/data/user/0/org.example/files/app")
    pretend("linux", ANDROID)
    assert (files.cache_dir(), files.data_dir()) == tuple(map(Path, APP))


def test_a_user_without_a_home_folder_is_told_what_to_set(
    pretend: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    pretend("linux", {})
    monkeypatch.delenv("HOME")
    monkeypatch.setattr("pwd.getpwuid", lambda _: {}["nobody"])
    with pytest.raises(OnDeviceError, match="set ONDEVICE_HOME"):
        files.cache_dir()


def test_a_home_of_nobody_is_told_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ONDEVICE_HOME", "~nobody-at-all/x")
    with pytest.raises(UsageError, match="ONDEVICE_HOME: ~nobody-at-all/x: the home folder ~nobody-at-all is"):
        files.cache_dir()
    with pytest.raises(UsageError, match="give the whole path"):
        files.expanded("~nobody-at-all/model.tflite")


def test_who_has_folders_does_not_wait_for_the_platforms_answer(pretend: Callable[..., None], tmp_path: Path) -> None:
    pretend("linux", {})
    (tmp_path / XDG[0]).mkdir(parents=True)
    files.cache_dir()
    assert "platformdirs" not in sys.modules
    files.data_dir()
    assert "platformdirs" in sys.modules


def test_sweep_removes_the_parts_of_one_file_alone(tmp_path: Path) -> None:
    kept = {"a.bin", ".a.bin.lock", ".b.bin.x1.part", "a.bin.x2.part", ".ca.bin.x3.part"}
    for name in {*kept, ".a.bin.x4.part", ".a.bin.x5.part", ".[a].bin.x6.part"}:
        (tmp_path / name).touch()
    files.sweep(tmp_path, "a.bin")
    files.sweep(tmp_path, "[a].bin")
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


def test_lines_begin_after_the_mark_of_their_encoding(tmp_path: Path) -> None:
    path = tmp_path / "tokens"
    path.write_bytes("\ufeff# of the phones\r\none\r\n\r\n two \r\n".encode())
    assert files.filled_lines(path) == ["one", "two"]
    path.write_bytes("\ufeffone".encode())
    assert files.filled_lines(path) == ["one"]


@pytest.fixture
def shared_folder() -> Iterator[Path]:
    """One that all users of this machine may go into, unlike pytest's."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


@pytest.mark.parametrize(("mode", "is_open"), [(0o644, True), (0o602, True), (0o640, False), (0o600, False)])
def test_a_file_that_any_user_may_read_or_change(shared_folder: Path, mode: int, is_open: bool) -> None:
    path = shared_folder / "tokens"
    path.write_text("secret")
    path.chmod(mode)
    assert files.is_open_to_others(path) is is_open
    shared_folder.chmod(0o700)
    assert not files.is_open_to_others(path), "nobody else gets there"


def test_what_is_not_a_file_is_open_to_nobody(shared_folder: Path) -> None:
    assert not files.is_open_to_others(shared_folder)
    assert not files.is_open_to_others(shared_folder / "none")
