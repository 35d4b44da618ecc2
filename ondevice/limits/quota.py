"""How much CPU time a quota grants: as people type it, and checked; `ondevice.limits.cgroup` enforces it."""

from __future__ import annotations

import math

from ondevice.errors import UsageError
from ondevice.host import system

# The kernel takes no quota below 1 ms in a period of 100 ms.
MIN_QUOTA = 0.01


def parse_quota(text: str) -> float:
    """CPUs' worth of time from "0.5" or "50%". Raises UsageError."""
    number = text.strip().removesuffix("%")
    try:
        quota = float(number) / (100 if number != text.strip() else 1)
    except ValueError:
        quota = math.nan
    if not math.isfinite(quota):
        raise UsageError(f"--cpu-quota takes a number of CPUs such as 0.5, or a percentage such as 50%, not '{text}'")
    return quota


def check_quota(quota: float) -> None:
    """Return if this machine has that many CPUs' worth of time to grant. Raises UsageError."""
    cores = system.cores()
    if not MIN_QUOTA <= quota <= cores:
        raise UsageError(
            f"--cpu-quota {quota:g} ({quota * 100:g} %): this machine has {cores} cores; give {MIN_QUOTA:g} to {cores}"
        )
