"""Files that are either whole or absent: atomic writes, locks, checksums, and the user's folders."""

from __future__ import annotations

import contextlib
import glob
import hashlib
import os
import stat
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from ondevice import reading, words
from ondevice.errors import OnDeviceError, UsageError, naming


def cache_dir() -> Path:
    """Where pulled models lie: `$ONDEVICE_HOME/cache`, else the platform's cache folder."""
    return _user_dir("cache", "XDG_CACHE_HOME", ".cache", "Library/Caches")


def data_dir() -> Path:
    """Where the user's own models lie: `$ONDEVICE_HOME/data`, else the platform's data folder."""
    return _user_dir("data", "XDG_DATA_HOME", ".local/share", "Library/Application Support")


def _user_dir(ours: str, variable: str, linux: str, mac: str) -> Path:
    """`$ONDEVICE_HOME/ours`, else the folder that 0.1.0 used where there is one, else platformdirs' choice.

    The two differ in apps on Android, and in Termux started without its own environment variables (there 0.1.0 had
    Linux's folders); on macOS where XDG variables are set; and on Linux where one holds a relative path.
    """
    if home := os.environ.get("ONDEVICE_HOME"):
        with naming("ONDEVICE_HOME:"):
            return expanded(home) / ours
    user = os.path.expanduser("~")  # noqa: PTH111 - Path's raises an error for a user without one
    base = Path(user, mac) if sys.platform == "darwin" else Path(os.environ.get(variable) or Path(user, linux))
    before = base / "ondevice"
    return before if before.is_dir() else _platform_dir(ours)


def _platform_dir(ours: str) -> Path:
    # Imported here, for it takes some 3 ms, which nobody needs who has a folder already.
    import platformdirs

    dirs = platformdirs.PlatformDirs("ondevice", appauthor=False)
    try:
        return dirs.user_cache_path if ours == "cache" else dirs.user_data_path
    except RuntimeError as error:
        raise OnDeviceError("this user has no home folder: set ONDEVICE_HOME to a folder for models") from error


def expanded(path: str | Path) -> Path:
    """The path, with a home folder where it begins with `~` or `~USER`. Raises UsageError where nobody knows one."""
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        user = Path(path).parts[0]
        raise UsageError(f"{path}: the home folder {user} is not known: give the whole path") from error


def sha256(path: Path) -> str:
    """The file's SHA-256 as lower-case hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[IO[bytes]]:
    """A binary file to write that becomes `path` in one step on success, and leaves nothing behind on failure.

    A pipe or a device, such as /dev/stdout, stays what it is, and is written to.
    """
    import tempfile

    if not reading.ends(path):
        with path.open("wb") as file:
            yield file
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        Path(name).chmod(0o644)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold an exclusive lock on `path` between processes; the system lets go of it if the holder dies."""
    import fcntl

    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def sweep(folder: Path, name: str, older_s: float = 0.0) -> None:
    """Remove what an interrupted `replacing` of `folder/name` left longer ago; call it under the lock, or with an age
    that no file has that is still written.
    """
    for part in folder.glob(f".{glob.escape(name)}.*.part"):
        if not older_s or time.time() - part.stat().st_mtime > older_s:
            part.unlink(missing_ok=True)


def check(path: Path) -> None:
    """Return if there is a folder for the file; to be asked before the work that it is to keep. Raises UsageError."""
    if path.is_dir():
        raise UsageError(f"{path} is a folder: give the name of a file")
    if not path.parent.is_dir():
        raise UsageError(f"{path}: folder '{path.parent}' does not exist; make it, or give another file")
    if not os.access(path.parent, os.W_OK):
        raise UsageError(f"{path}: folder '{path.parent}' may not be written to; give a file in another one")


def filled_lines(path: Path) -> list[str]:
    """The lines of a text file, without those that are blank or begin with #, nor the mark (BOM) at its beginning.

    Raises UsageError.
    """
    try:
        lines = [line.strip() for line in reading.text(path, "utf-8-sig").splitlines()]
    except (OSError, ValueError) as error:  # ValueError: not UTF-8
        raise UsageError(f"{path}: cannot be read: {words.reason(error)}") from error
    return [line for line in lines if line and not line.startswith("#")]


def is_open_to_others(path: Path) -> bool:
    """Whether any user of this machine may read the file, or change it."""
    try:
        reachable = all(folder.stat().st_mode & stat.S_IXOTH for folder in path.resolve().parents)
        return reachable and bool(path.stat().st_mode & (stat.S_IROTH | stat.S_IWOTH)) and path.is_file()
    except OSError:
        return False


def explain(error: OSError, path: Path) -> OnDeviceError:
    """The system's error as one line that names the file."""
    return OnDeviceError(f"{error.filename or path}: {words.reason(error)}")
