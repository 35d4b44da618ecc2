"""JPEG pictures out of bytes that come one after the other: by their markers, whatever lies between them."""

from __future__ import annotations

import re
from collections.abc import Iterator

# The longest picture that is taken: one of 12 megapixels at the best quality is about as long, and two of them, one
# that came and one that is under way, are what a small board can spare.
MAX_FRAME_BYTES = 16 << 20

_START = b"\xff\xd8\xff"
# What ends a scan: any marker but a stuffed zero and the restarts, which are parts of it, and FF, which is filling.
_AFTER_SCAN = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
# Any number of FF may stand before a marker's own.
_FILLING = re.compile(rb"\xff+")
# Markers, by the byte behind FF: where a picture begins and ends, and where a scan's coded data does.
_SOI, _EOI, _SOS = 0xD8, 0xD9, 0xDA
_MARKER_BYTES = 2  # FF and a byte
_LENGTH_BYTES = 2  # of a segment, behind its marker; it counts itself
# Markers without a segment: TEM and the restarts.
_BARE = frozenset({0x01, *range(0xD0, 0xD8)})


class JpegSplitter:
    """Takes bytes as they come and gives whole JPEG pictures, in their order.

    Segments are stepped over by their lengths, so that a thumbnail is a part of its picture. Whatever lies
    between pictures is skipped: headers of a multipart stream, lost pieces, garbage. Holds one picture at most.
    broken: pictures that were begun and given up, cut short, malformed or over `max_bytes`. frames: whole ones.
    skipped_bytes: what belonged to none.
    """

    def __init__(self, max_bytes: int = MAX_FRAME_BYTES) -> None:
        self.frames = self.broken = self.skipped_bytes = 0
        self._max_bytes = max_bytes
        self._held = bytearray()
        self._at = 0  # where to read on, in what is held; a picture that was begun is at its start
        self._begun = self._scanning = False
        self._segment = 0  # where the last segment began

    def feed(self, piece: bytes) -> Iterator[bytes]:
        """The pictures that are whole with this piece. To be used up before the next piece."""
        self._held += piece
        while self._begun or self._begin():
            end = self._end()
            if end is None:
                if len(self._held) > self._max_bytes:
                    self._give_up(len(self._held))
                    continue
                return
            if end:
                frame = bytes(self._held[:end])
                self._skip(end, counted=False)
                self._begun = False
                if len(frame) > self._max_bytes:
                    self.broken += 1
                    continue
                self.frames += 1
                yield frame

    def end(self) -> None:
        """No more will come: what was begun is broken."""
        if self._begun:
            self._give_up(len(self._held))

    def _begin(self) -> bool:
        """Find the next picture's start; forget all before it."""
        at = self._held.find(_START)
        if at < 0:
            # Its first two bytes may be the last that came.
            self._skip(max(len(self._held) - len(_START) + 1, 0))
            return False
        self._skip(at)
        self._begun, self._scanning = True, False
        self._at = self._segment = _MARKER_BYTES
        return True

    def _end(self) -> int | None:
        """Where the picture that was begun ends; None: not within what has come; 0: it is none, and was given up."""
        while (found := self._marker()) is not None:
            if found == _EOI:
                return self._at + _MARKER_BYTES
            if not self._step(found):
                return None if self._begun else 0
        return None if self._begun else 0

    def _marker(self) -> int | None:
        """The marker at hand, behind what a scan holds and behind filling; None: not there yet, or given up."""
        if self._scanning:
            hit = _AFTER_SCAN.search(self._held, self._at)
            if hit is None:
                self._at = max(len(self._held) - 1, self._at)
                return None
            self._at, self._scanning = hit.start(), False
        if filling := _FILLING.match(self._held, self._at):
            self._at = filling.end() - 1
        if len(self._held) < self._at + _MARKER_BYTES:
            return None
        if self._held[self._at] != 0xFF:
            self._give_up(self._segment)
            return None
        return self._held[self._at + 1]

    def _step(self, marker: int) -> bool:
        """Step over a marker and its segment; False: not all of it is there, or the picture was given up."""
        if marker in _BARE:
            self._at += _MARKER_BYTES
            return True
        if marker in (_SOI, 0):  # the last one was cut short, and this is the next; a zero marks nothing
            self._give_up(self._at)
            return False
        head = self._held[self._at + _MARKER_BYTES : self._at + _MARKER_BYTES + _LENGTH_BYTES]
        if len(head) < _LENGTH_BYTES:
            return False
        length = int.from_bytes(head)
        if length < _LENGTH_BYTES:
            self._give_up(self._at)
            return False
        if len(self._held) < self._at + _MARKER_BYTES + length:
            return False
        self._segment = self._at
        self._at += _MARKER_BYTES + length
        self._scanning = marker == _SOS
        return True

    def _give_up(self, until: int) -> None:
        """What was begun is not a whole picture: look for the next from there on, but not at its own start again."""
        self.broken += 1
        self._begun = False
        self._skip(max(until, _MARKER_BYTES))

    def _skip(self, count: int, counted: bool = True) -> None:
        self.skipped_bytes += count if counted else 0
        del self._held[:count]
