"""What uploads leave of one model's accuracy, as its metadata tell it where that was measured."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from ondevice.errors import UsageError
from ondevice.protocol.rung import Rung

# Nobody measures as many; who publishes thousands would have every choice among them take long.
_MOST_RUNGS = 100


class UploadShare(NamedTuple):
    """One of them: the mean size of a picture, bytes, and the share of the accuracy that is left, from 0 to 1."""

    rung: Rung
    size_bytes: float
    kept: float


@dataclass(frozen=True)
class UploadShares:
    """rungs: as `Rung.text` has them. bytes, kept: of each, as `UploadShare` has them. Raises ValueError."""

    rungs: tuple[str, ...]
    bytes: tuple[float, ...]
    kept: tuple[float, ...]

    def __post_init__(self) -> None:
        if not len(self.rungs) == len(self.bytes) == len(self.kept) <= _MOST_RUNGS:
            raise ValueError(f"there is one of bytes and of kept for each of at most {_MOST_RUNGS} rungs")
        try:
            shares = self.each
        except UsageError as error:
            raise ValueError(str(error)) from error
        if not all(0 < size_bytes < float("inf") and 0 <= kept <= 1 for _, size_bytes, kept in shares):
            raise ValueError("bytes are over 0, and kept are shares from 0 to 1")

    @cached_property
    def each(self) -> tuple[UploadShare, ...]:
        """One after the other."""
        rows = zip(self.rungs, self.bytes, self.kept, strict=True)
        return tuple(UploadShare(Rung.parse(text), size_bytes, kept) for text, size_bytes, kept in rows)
