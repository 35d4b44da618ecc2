"""How a picture lies in a model's input tensor."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

_CHANNELS = (1, 3)  # grey, and red, green and blue
# A free size in a tensor's signature.
FREE = -1


class Layout(NamedTuple):
    """Height, width (FREE where the file leaves them open) and channels; where the channels stand.

    channels_first: [1, channels, height, width], as PyTorch exports have it. rank: 4, or 3 for a grey [1, height,
    width].
    """

    height: int
    width: int
    channels: int
    channels_first: bool = False
    rank: int = 4

    @classmethod
    def of(cls, signature: Sequence[int]) -> Layout | None:
        """The layout of a tensor of this shape, FREE sizes included; None where it is not that of one picture."""
        if len(signature) not in (3, 4) or signature[0] not in (1, FREE):
            return None
        _, a, b, *last = signature
        if not last:
            found = cls(a, b, 1, rank=3)
        elif last[0] in _CHANNELS:
            found = cls(a, b, last[0])
        elif a in _CHANNELS:
            found = cls(b, last[0], a, channels_first=True)
        else:
            return None
        return found if all(side == FREE or side > 0 for side in found.size) else None

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        return self.height, self.width

    @property
    def free(self) -> bool:
        """Whether the file leaves height or width open."""
        return FREE in self.size

    def fits(self, size: tuple[int, int]) -> bool:
        """Whether the file takes pictures of this height and width."""
        return all(own in (FREE, wanted) for own, wanted in zip(self.size, size, strict=True))

    def shape(self, size: tuple[int, int]) -> tuple[int, ...]:
        """The tensor's shape for one picture of this height and width."""
        if self.rank == 3:
            return (1, *size)
        return (1, self.channels, *size) if self.channels_first else (1, *size, self.channels)
