"""A folder in which pictures appear: of a camera that uploads by FTP, of a program that saves what it sees."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from time import monotonic
from typing import NamedTuple

from ondevice.errors import UsageError
from ondevice.frames.source import FrameSource
from ondevice.image import SUFFIXES

# It is looked through ten times a second, as often as phones classify.
_PAUSE_S = 0.1
# A pause is so many times as long as the look before it: a folder of very many files takes a tenth of the time.
_PAUSES = 9
# A picture that does not end as its kind does is whole after so long without a change: an upload over a bad network
# stalls for some seconds.
_STALLED_S = 5.0
# How a whole JPEG ends, within its last bytes: some phones put a trailer behind.
_JPEG_END, _TAIL_BYTES = b"\xff\xd9", 64


class FileState(NamedTuple):
    """What tells whether a file has changed."""

    modified_ns: int
    size_bytes: int


class WatchedFolder(FrameSource):
    """Gives the paths of pictures that appear, or change, in the folder and those in it, each once it is whole.

    Not those that are there at first, nor hidden ones. Raises UsageError where it is not a folder.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(str(folder))
        if not folder.is_dir():
            raise UsageError(f"--watch {folder}: " + ("is not a folder" if folder.exists() else "no such folder"))
        # All that are there are known, and so only those: what was deleted is forgotten.
        self._known = dict(_files(self.name))
        self._growing: dict[str, tuple[FileState, float]] = {}

    def __iter__(self) -> Iterator[str]:
        pause_s = _PAUSE_S
        while not self._closing.wait(pause_s):
            begun = monotonic()
            yield from self._look(begun)
            pause_s = max(_PAUSE_S, _PAUSES * (monotonic() - begun))

    def _look(self, now: float) -> list[str]:
        """What has become whole since the last look, oldest first."""
        there = dict(_files(self.name))
        self._known = {path: state for path, state in self._known.items() if path in there}
        new = {path: state for path, state in there.items() if self._known.get(path) != state}
        before = self._growing
        self._growing = {path: _since(before.get(path), state, now) for path, state in new.items()}
        whole = [path for path in new if path in before and self._is_whole(path, before[path], now)]
        for path in whole:
            self._known[path], _ = self._growing.pop(path)
        return sorted(whole, key=self._known.__getitem__)

    def _is_whole(self, path: str, before: tuple[FileState, float], now: float) -> bool:
        state, since = self._growing[path]
        if state != before[0]:
            return False
        return now - since >= _STALLED_S or _ends_well(path, state.size_bytes)


def _since(before: tuple[FileState, float] | None, state: FileState, now: float) -> tuple[FileState, float]:
    return before if before is not None and before[0] == state else (state, now)


def _ends_well(path: str, size_bytes: int) -> bool:
    """Whether a file that has stopped growing ends as it should; of other kinds than JPEG it is taken to."""
    if not path.lower().endswith((".jpg", ".jpeg")):
        return size_bytes > 0
    try:
        with Path(path).open("rb") as file:
            file.seek(max(size_bytes - _TAIL_BYTES, 0))
            return _JPEG_END in file.read(_TAIL_BYTES)
    except OSError:
        return False


def _files(folder: str) -> Iterator[tuple[str, FileState]]:
    """All pictures below the folder, by their names; what cannot be read now is not there."""
    folders = [folder]
    while folders:
        try:
            with os.scandir(folders.pop()) as entries:
                for entry in entries:
                    if entry.name.startswith("."):
                        continue
                    if entry.is_dir(follow_symlinks=False):
                        folders.append(entry.path)
                    elif entry.name[entry.name.rfind(".") :].lower() in SUFFIXES and entry.is_file():
                        status = entry.stat()
                        yield entry.path, FileState(status.st_mtime_ns, status.st_size)
        except OSError:
            continue
