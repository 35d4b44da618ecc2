"""What a platform is asked of the processor's clock and heat at this moment."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Throttling:
    """What slows the processor down at this moment, and what has at any time since boot; both empty: nothing."""

    now: tuple[str, ...]
    since_boot: tuple[str, ...]

    def __str__(self) -> str:
        words = [f"{cause} now" for cause in self.now] + [f"{cause} since boot" for cause in self.since_boot]
        return ", ".join(words) or "none"


class Sensors:
    """The processor's clock and heat; a platform overrides what it shows."""

    def governor(self) -> str:
        """The first processor's frequency governor; empty where the system does not show it."""
        return ""

    def frequency_mhz(self) -> float | None:
        """The fastest processor's clock now; None where the system does not show it."""
        return None

    def temperature_c(self) -> float | None:
        """The processor's temperature now, in °C; None where the system does not show it."""
        return None

    def throttling(self) -> Throttling | None:
        """What slows the processor down; None where the system does not tell, which is not the same as nothing."""
        return None
