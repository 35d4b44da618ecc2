"""The ZIP archive that TFLite Metadata appends to a file: label lists and other associated files, by name."""

from __future__ import annotations

import contextlib
import io
import struct
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

# The names of all 21,841 classes of ImageNet fit several times; a file that claims more would fill the memory. The same
# bounds the list of contents, which is read at once: some 40,000 names.
LARGEST_FILE_BYTES = 4 * 1024 * 1024
# Whatever a malformed archive makes `zipfile` raise; OverflowError is what offsets of 2^63 and more do.
ERRORS = (zipfile.BadZipFile, zlib.error, struct.error, OSError, ValueError, RuntimeError, EOFError, OverflowError)


class _Sips(io.FileIO):
    """A file of which no more than LARGEST_FILE_BYTES are read at once."""

    def read(self, size: int | None = -1, /) -> bytes:
        if size is not None and size > LARGEST_FILE_BYTES:
            raise zipfile.BadZipFile(f"over {LARGEST_FILE_BYTES} bytes in one piece")
        return super().read(size) or b""


@contextlib.contextmanager
def opened(path: Path) -> Iterator[zipfile.ZipFile]:
    """The archive at the end of a file. Raises one of ERRORS where it has none, or one that cannot be read."""
    with _Sips(path) as file, zipfile.ZipFile(file) as archive:
        yield archive


def names(path: Path) -> tuple[str, ...]:
    """The files in the archive; none where it has none, or one that cannot be read."""
    try:
        with opened(path) as archive:
            return tuple(archive.namelist())
    except ERRORS:
        return ()


def content(opened: zipfile.ZipFile, name: str) -> bytes:
    """One of its files, of at most LARGEST_FILE_BYTES. Raises KeyError where there is none, one of ERRORS."""
    info = opened.getinfo(name)
    if info.file_size > LARGEST_FILE_BYTES:
        raise zipfile.BadZipFile(f"it has over {LARGEST_FILE_BYTES / 1e6:.0f} MB")
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise zipfile.BadZipFile("it is compressed in a way that unpacks without bounds")  # bz2 and LZMA
    with opened.open(info) as file:
        return file.read(info.file_size)  # a bound: there may be more than it says


def texts(opened: zipfile.ZipFile) -> dict[str, bytes]:
    """Its files called `.txt`, by name: the first, of LARGEST_FILE_BYTES together; what cannot be read is left out.

    A short archive may say of thousands of its files that they are megabytes, all in the same place.
    """
    found: dict[str, bytes] = {}
    left = LARGEST_FILE_BYTES
    for info in opened.infolist():
        if info.filename.lower().endswith(".txt") and info.file_size <= left:
            with contextlib.suppress(*ERRORS, KeyError):
                left -= info.file_size
                found[info.filename] = content(opened, info.filename)
    return found
