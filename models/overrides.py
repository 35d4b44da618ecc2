"""What a person says of a model, which goes before all that is found."""

from __future__ import annotations

from dataclasses import dataclass

from ondevice.errors import UsageError
from ondevice.models.value_range import MeanAndStd, normalization


@dataclass(frozen=True)
class Overrides:
    """What is said; None, or empty, where nothing is.

    labels: `imagenet`, `digits` or a text file's path. value_range: what pixels 0 and 255 become. mean, std: in pixel
    units, one or one a channel, instead of a range. crop, bgr: as `Input` has them. size: height and width, for inputs
    that leave them open. background: whether output 0 is a background class. Raises UsageError for what cannot be.
    """

    labels: str | None = None
    value_range: tuple[float, float] | None = None
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    crop: float | None = None
    size: tuple[int, int] | None = None
    bgr: bool | None = None
    background: bool | None = None

    def __post_init__(self) -> None:
        low, high = self.value_range or (0.0, 1.0)
        for wrong, message in (
            (not low < high, f"the range's low end must be below its high end, not {low:g},{high:g}"),
            (bool(self.mean) != bool(self.std), "mean and std are given together"),
            (self.value_range and self.mean, "a range, or mean and std: both say what becomes of pixels"),
            (0 in self.std, "std cannot be 0"),
            (not 0 < (self.crop or 1.0) <= 1 or self.crop == 0, "crop is over 0 and at most 1"),
            (not all(1 <= side <= 8192 for side in self.size or ()), "size is in pixels, from 1 to 8192"),
        ):
            if wrong:
                raise UsageError(message)

    @property
    def normalization(self) -> MeanAndStd | None:
        """Mean and std in pixel units, if they or a range are given."""
        if self.value_range is None:
            return (self.mean, self.std) if self.mean else None
        return normalization(self.value_range)
