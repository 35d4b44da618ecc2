"""Bytes that have come and are not read yet."""

from __future__ import annotations

import re

# A bare line feed ends a line too (RFC 9112, section 2.2).
_HEAD_END = re.compile(rb"\n\r?\n")
# So many bytes before what was not there at the last look an end may begin.
_END_BYTES = 2


class Unread:
    """Bytes in the order in which they came. Each read takes what it gives."""

    def __init__(self) -> None:
        self._data, self._at = bytearray(), 0
        # Up to there no head ends.
        self._searched = 0

    def __len__(self) -> int:
        return len(self._data) - self._at

    def add(self, data: bytes) -> None:
        """Behind all others."""
        del self._data[: self._at]
        self._searched, self._at = max(self._searched - self._at, 0), 0
        self._data += data

    def begins(self, start: bytes) -> bool:
        """Whether it begins so, as far as it is there."""
        return self._data.startswith(start[: len(self)], self._at)

    def take(self, most_bytes: int) -> bytes:
        """So many, or as many as there are."""
        piece = bytes(self._data[self._at : self._at + most_bytes])
        self._at += len(piece)
        return piece

    def line(self, most_bytes: int) -> bytes | None:
        """The next line without its end; None: it is not whole. Raises ValueError for a longer one."""
        end = self._data.find(b"\n", self._at)
        if (end if end >= 0 else len(self._data)) - self._at > most_bytes:
            raise ValueError(f"a line of it is over {most_bytes >> 10} KiB")
        if end < 0:
            return None
        line = bytes(self._data[self._at : end])
        self._at = end + 1
        return line.removesuffix(b"\r")

    def head(self, most_bytes: int) -> bytes | None:
        """The lines up to an empty one; None: that is not there. Raises ValueError if they are longer."""
        found = _HEAD_END.search(self._data, max(self._searched - _END_BYTES, self._at))
        end = found.start() if found else len(self._data)
        if end - self._at > most_bytes:
            raise ValueError(f"its head is over {most_bytes >> 10} KiB")
        if not found:
            self._searched = end
            return None
        head = bytes(self._data[self._at : end])
        self._at = found.end()
        return head.removesuffix(b"\r")
