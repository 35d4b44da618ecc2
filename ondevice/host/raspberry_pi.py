"""Raspberry Pi: Linux, and a firmware that knows why the processor is slow."""

from __future__ import annotations

from ondevice.host.command import output_of
from ondevice.host.linux import Linux, LinuxSensors
from ondevice.host.sensors import Sensors, Throttling

# vcgencmd get_throttled: what is so now; the same bits 16 higher say it was so since boot.
_THROTTLE_BITS = {0: "under-voltage", 1: "frequency capped", 2: "throttled", 3: "soft temperature limit"}


class RaspberryPi(Linux):
    """Any Raspberry Pi under Linux."""

    name = "raspberry-pi"

    def is_here(self) -> bool:
        """Whether the board says so."""
        return self.board().startswith("Raspberry Pi")

    @property
    def sensors(self) -> Sensors:
        """Clock and heat as /sys and the firmware show them."""
        return RaspberryPiSensors(self.root)


class RaspberryPiSensors(LinuxSensors):
    """Clock and heat as /sys shows them, and the firmware by `vcgencmd`."""

    def temperature_c(self) -> float | None:
        """The processor's temperature now, in °C; the firmware's word where Linux shows no sensor."""
        shown = super().temperature_c()
        if shown is not None:
            return shown
        try:
            return float(output_of("vcgencmd", "measure_temp").removeprefix("temp=").removesuffix("'C"))
        except ValueError:
            return None

    def throttling(self) -> Throttling | None:
        """What the firmware says of throttling; None where `vcgencmd` is missing or not allowed."""
        try:
            word = int(output_of("vcgencmd", "get_throttled").removeprefix("throttled="), 16)
        except ValueError:
            return None
        return Throttling(_named(word), _named(word >> 16))


def _named(bits: int) -> tuple[str, ...]:
    return tuple(name for bit, name in _THROTTLE_BITS.items() if bits >> bit & 1)
