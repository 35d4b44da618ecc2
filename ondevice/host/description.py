"""The facts about a machine that belong beside a measurement."""

from __future__ import annotations

import os
import sys
from typing import Any

from ondevice.host.base import Host
from ondevice.host.system import bits, cores, kernel_machine, usable_cores


def describe(machine: Host) -> dict[str, Any]:
    """What is known of the machine at this moment, flat; None for what it does not show."""
    kernel, throttling = os.uname(), machine.sensors.throttling()
    return {
        "platform": machine.name,
        "cpu_model": machine.cpu_model(),
        "cores": cores(),
        "usable_cores": usable_cores(),
        "cpu_quota": machine.cpu_quota(),
        "governor": machine.sensors.governor() or None,
        "frequency_mhz": machine.sensors.frequency_mhz(),
        "temperature_c": machine.sensors.temperature_c(),
        "throttled": None if throttling is None else str(throttling),
        "memory_bytes": machine.memory.total_bytes(),
        "memory_limit_bytes": machine.memory.limit_bytes(),
        "machine": kernel_machine(),
        "bits": bits(),
        "system": f"{kernel.sysname} {kernel.release}",
        "python": sys.version.split()[0],
    }
