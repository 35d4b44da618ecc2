"""What an emulated time rests on, said beside every such time."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass
class Emulation:
    """What an emulated time rests on.

    predicted_ms: the mean inference, said before the first. host_ms: the real one here. error, worst, models: of the
    time model, on published models left out of its fit. basis, load_basis, spread_basis: in words. late: the share of
    inferences for which this host itself took longer than the device would have.
    """

    device: str
    threads: int
    predicted_ms: float
    host_ms: float
    error: float
    worst: float
    models: int
    basis: str
    load_ms: float
    load_basis: str
    spread_basis: str
    late: float = 0.0

    def as_dict(self) -> dict[str, Any]:
        """The fields as JSON takes them."""
        return asdict(self)

    @property
    def label(self) -> str:
        """The device's name as tables show it: emulated, and how well."""
        return f"{self.device} (emulated ± {self.error:.0%})"

    def __str__(self) -> str:
        return (
            f"emulated {self.device}: {self.predicted_ms:.3g} ms an inference predicted before the first, "
            f"± {self.error:.0%} (worst {self.worst:.0%}) on {self.models} published models left out of the fit; "
            f"{self.basis}; load time: {self.load_basis}; spread: {self.spread_basis}"
        )
