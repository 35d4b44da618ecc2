"""How often a model is right on what is sent of pictures, as measured: a card's section."""

from __future__ import annotations

from dataclasses import dataclass

from ondevice.errors import UsageError
from ondevice.protocol.rung import Rung
from ondevice.protocol.upload_shares import UploadShares

# No card that was measured has so many; a ladder of thousands would burden every request that chooses from it.
_MOST_RUNGS = 100


@dataclass(frozen=True)
class MeasuredUploads:
    """rungs: as `Rung.text` has them. bytes: the mean size of what is sent, of each. top1: the share right, of each.
    whole: the share right of the same n pictures' whole files. data: in words, what pictures these were.

    What is sent is the part of a picture that the card's `crop` keeps, and the model then looks at all of it.
    """

    rungs: tuple[str, ...]
    bytes: tuple[int, ...]
    top1: tuple[float, ...]
    whole: float
    n: int
    data: str

    def __post_init__(self) -> None:
        try:
            known = [Rung.parse(text) for text in self.rungs]
        except UsageError as error:
            raise ValueError(str(error)) from error
        if not 1 <= len(known) <= _MOST_RUNGS or len({*known}) < len(known):
            raise ValueError(f"rungs are 1 to {_MOST_RUNGS} different ones")
        if not len(known) == len(self.bytes) == len(self.top1):
            raise ValueError("there is one of bytes and of top1 for each of rungs")
        if not all(size > 0 for size in self.bytes) or not all(0 <= share <= 1 for share in self.top1):
            raise ValueError("bytes are over 0, and top1 are fractions from 0 to 1")
        if not 0 < self.whole <= 1 or self.n < 1:
            raise ValueError("whole is over 0 and at most 1, and n is at least 1")

    @property
    def kept(self) -> dict[Rung, float]:
        """The share of its accuracy on whole files that the model has at each rung; over 1 where that was better."""
        shares = zip(self.rungs, self.top1, strict=True)
        return {Rung.parse(text): share / self.whole for text, share in shares}

    @property
    def sizes(self) -> dict[Rung, float]:
        """The mean size of what is sent at each rung, bytes."""
        return {Rung.parse(text): float(size) for text, size in zip(self.rungs, self.bytes, strict=True)}

    @property
    def shares(self) -> UploadShares:
        """As endpoints tell them; what was better than the whole file counts as all that there is."""
        kept = tuple(min(share, 1.0) for share in self.kept.values())
        return UploadShares(self.rungs, tuple(map(float, self.bytes)), kept)
