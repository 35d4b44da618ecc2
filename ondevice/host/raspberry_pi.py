"""Raspberry Pi: Linux, and a firmware that knows why the processor is slow."""

from __future__ import annotations

from ondevice.host.base import Throttling, said
from ondevice.host.linux import Linux

# vcgencmd get_throttled: what is so now; the same bits 16 higher say it was so since boot.
_THROTTLE_BITS = {0: "under-voltage", 1: "frequency capped", 2: "throttled", 3: "soft temperature limit"}


class RaspberryPi(Linux):
    """Any Raspberry Pi under Linux."""

    name = "raspberry-pi"

    def is_here(self) -> bool:
        """Whether the board says so."""
        return self.board().startswith("Raspberry Pi")

    def temperature_c(self) -> float | None:
        """The processor's temperature now, in °C; the firmware's word where Linux shows no sensor."""
        shown = super().temperature_c()
        if shown is not None:
            return shown
        try:
            return float(said("vcgencmd", "measure_temp").removeprefix("temp=").removesuffix("'C"))
        except ValueError:
            return None

    def throttling(self) -> Throttling | None:
        """What the firmware says of throttling; None where `vcgencmd` is missing or not allowed."""
        try:
            word = int(said("vcgencmd", "get_throttled").removeprefix("throttled="), 16)
        except ValueError:
            return None
        return Throttling(_named(word), _named(word >> 16))


def _named(bits: int) -> tuple[str, ...]:
    return tuple(name for bit, name in _THROTTLE_BITS.items() if bits >> bit & 1)
