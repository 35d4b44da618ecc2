"""What this machine is and what limits it is under: `host.current().cpu_model()`. One class a platform, chosen once."""

from __future__ import annotations

import functools

from ondevice.host.android import Android
from ondevice.host.base import CpuTimes, Host, Throttling
from ondevice.host.linux import Linux
from ondevice.host.macos import MacOS
from ondevice.host.raspberry_pi import RaspberryPi

__all__ = ["CpuTimes", "Host", "Throttling", "current"]

# Linux last: it takes whatever the others leave.
_PLATFORMS: tuple[type[Host], ...] = (Android, RaspberryPi, MacOS, Linux)


@functools.cache
def current() -> Host:
    """The machine that this process runs on."""
    return next(platform for platform in (each() for each in _PLATFORMS) if platform.is_here())
