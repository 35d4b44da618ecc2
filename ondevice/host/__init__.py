"""What this machine is and what limits it is under: `host.current().cpu_model()`, `host.system.cores()`.

One class a platform, chosen once; what is alike on all of them is in `system`.
"""

from __future__ import annotations

import functools
from typing import Any

from ondevice.host import description, system
from ondevice.host.android import Android
from ondevice.host.base import CpuTimes, Host
from ondevice.host.linux import Linux
from ondevice.host.macos import MacOS
from ondevice.host.raspberry_pi import RaspberryPi
from ondevice.host.sensors import Throttling

__all__ = ["CpuTimes", "Host", "Throttling", "current", "describe", "system"]

# Linux last: it takes whatever the others leave.
_PLATFORMS: tuple[type[Host], ...] = (Android, RaspberryPi, MacOS, Linux)


@functools.cache
def current() -> Host:
    """The machine that this process runs on."""
    return next(platform for platform in (each() for each in _PLATFORMS) if platform.is_here())


def describe() -> dict[str, Any]:
    """The facts about this machine that belong beside a measurement, flat; None for what it does not show."""
    return description.describe(current())
