"""What an emulated time rests on, said beside every such time."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from ondevice.devices.prediction import Basis, PredictedTime


@dataclass
class Emulation:
    """What an emulated time rests on.

    predicted_ms: the mean inference, said before the first. host_ms: the real one here. error, worst, models: of
    published models that are to the fit what this one is; None and 0 where the time was published, or nobody can tell.
    basis, load_basis, spread_basis: in words. late: the share of inferences for which this host itself took longer than
    the device would have.
    """

    device: str
    threads: int
    predicted_ms: float
    host_ms: float
    error: float | None
    worst: float | None
    models: int
    basis: str
    load_ms: float
    load_basis: str
    spread_basis: str
    late: float = 0.0

    @classmethod
    def of(cls, predicted: PredictedTime, host_ms: float, load_ms: float, load_basis: str) -> Emulation:
        """Of a prediction, and what is known of this host and of loading."""
        errors = predicted.errors
        error, worst, models = (errors.mean, errors.worst, errors.count) if errors else (None, None, 0)
        return cls(
            predicted.device, predicted.threads, predicted.mean_ms, host_ms, error, worst, models, predicted.described,
            load_ms, load_basis, predicted.spread,
        )  # fmt: skip

    def as_dict(self) -> dict[str, Any]:
        """The fields as JSON takes them."""
        return asdict(self)

    @property
    def label(self) -> str:
        """The device's name as tables show it: emulated, and how well."""
        return f"{self.device} ({self.quality})"

    @property
    def quality(self) -> str:
        """That it is emulated, and how well, in two or three words."""
        if self.basis.startswith(Basis.PUBLISHED):
            return "emulated, published"
        return "emulated" if self.error is None else f"emulated ± {self.error:.0%}"

    def __str__(self) -> str:
        return (
            f"emulated {self.device}: {self.predicted_ms:.3g} ms an inference, {self.basis}; load time: "
            f"{self.load_basis}; spread: {self.spread_basis}"
        )
