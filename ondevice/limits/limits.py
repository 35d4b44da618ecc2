"""The limits of one measurement, together: checked before it, and applied in the child that measures."""

from __future__ import annotations

import sys
from dataclasses import dataclass

from ondevice.errors import UsageError
from ondevice.limits import affinity, memory, quota

# Termux's Python calls its platform android; its kernel is Linux.
_SYSTEMS = ("linux", "android")


@dataclass(frozen=True)
class Limits:
    """What a measurement may use; None sets no limit.

    cpus: the processors to run on, by number. cpu_quota: CPUs' worth of time, 0.5 being half of one processor's.
    memory_bytes: private writable memory, see `ondevice.limits.memory.cap`.
    """

    cpus: tuple[int, ...] | None = None
    cpu_quota: float | None = None
    memory_bytes: int | None = None

    def check(self) -> None:
        """Return if this machine and this process have what the limits ask for. Raises UsageError."""
        if self != Limits() and sys.platform not in _SYSTEMS:
            raise UsageError(
                f"--cpus, --cpu-quota and --memory need Linux: {sys.platform} enforces none of them; leave them out"
            )
        if self.cpus is not None:
            affinity.check_cpus(self.cpus)
        if self.cpu_quota is not None:
            quota.check_quota(self.cpu_quota)
        if self.memory_bytes is not None:
            memory.check_memory(self.memory_bytes)

    def apply_here(self) -> None:
        """Limit this process's processors and memory, for good: call it in the child, before it loads a model.

        CPU time is limited by the parent, with `ondevice.limits.cgroup.cpu_group`. Raises OnDeviceError where a limit
        is not in force afterwards, or this process is over it already.
        """
        if self.cpus is not None:
            affinity.pin(self.cpus)
        if self.memory_bytes is not None:
            memory.cap(self.memory_bytes)
