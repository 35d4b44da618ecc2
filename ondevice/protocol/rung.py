"""What a picture is sent as: cut out, scaled and compressed so far, as requests and cards name it."""

from __future__ import annotations

import enum
from typing import NamedTuple

from ondevice.errors import UsageError

# A smaller side tells no class from another, and no published classifier takes a larger one.
SIDES = (8, 4096)
# As Pillow takes them; above 95 a JPEG is larger and no better.
_QUALITIES = (1, 95)


class Compression(enum.StrEnum):
    """How it is compressed."""

    JPEG = "jpeg"
    WEBP = "webp"

    # Enum's own is written in Python, and what is sent is looked up for every request.
    __hash__ = str.__hash__

    @property
    def media_type(self) -> str:
        """What a request's Content-Type says."""
        return f"image/{self}"


class Rung(NamedTuple):
    """A step of the ladder of uploads: side x side pixels, at a quality from 1 to 95."""

    side: int
    quality: int
    compression: Compression = Compression.JPEG

    @property
    def text(self) -> str:
        """As requests and cards have it: `192,40`, `224,60,webp`."""
        plain = f"{self.side},{self.quality}"
        return plain if self.compression is Compression.JPEG else f"{plain},{self.compression}"

    @classmethod
    def parse(cls, text: str) -> Rung:
        """From `text`. Raises UsageError."""
        side, _, rest = text[:40].partition(",")
        quality, comma, name = rest.partition(",")
        try:
            made = cls(int(side), int(quality), Compression(name) if comma else Compression.JPEG)
        except ValueError:
            made = cls(0, 0)
        if not (SIDES[0] <= made.side <= SIDES[1] and _QUALITIES[0] <= made.quality <= _QUALITIES[1]):
            raise UsageError(
                f"{text[:40]!r} is not an upload: give SIDE,QUALITY, such as 192,40, or 192,40,webp; "
                f"a side from {SIDES[0]} to {SIDES[1]} pixels and a quality from {_QUALITIES[0]} to {_QUALITIES[1]}"
            )
        return made
